"""Subscriptions to Redis channels. All are sharded channels, which behave like plain ones on a single node."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime.bounds import SUBSCRIBE_TIMEOUT_S, SUBSCRIBER_RETRY_S, SUBSCRIBER_SILENCE_S
from livegift.store.client import Node, Store, refused
from livegift.store.link import Command, Link

log = structlog.get_logger()

Handler = Callable[[bytes], None]


class _Unconfirmed:
    """Channels that were subscribed together and that Redis has not all confirmed yet."""

    __slots__ = ("channels", "is_confirmed")

    def __init__(self, channels: Iterable[str]) -> None:
        self.channels = set(channels)
        self.is_confirmed = asyncio.get_running_loop().create_future()

    def remove(self, channel: str) -> None:
        self.channels.discard(channel)
        if not self.channels and not self.is_confirmed.done():
            self.is_confirmed.set_result(None)


class _NodeSubscriber:
    """All subscriptions on one node, over one connection that is re-established when it is lost."""

    def __init__(self, node: Node, on_restored: Callable[[str], None], *, is_cluster: bool) -> None:
        self._node = node
        self._on_restored = on_restored
        self._is_cluster = is_cluster
        self._link: Link | None = None
        self._heard_at = 0.0
        self.handlers: dict[str, Handler] = {}
        self._unconfirmed: dict[str, _Unconfirmed] = {}
        self._leaving: Counter[str] = Counter()  # unsubscriptions that Redis has still to confirm
        self._outgoing: list[tuple[str, str]] = []  # verb and channel, in order, of what goes out together
        self._sending: asyncio.Task[None] | None = None

    async def subscribe(self, handlers: Mapping[str, Handler]) -> None:
        """Subscribe; returns once Redis has confirmed, so that everything published from then on arrives."""
        unconfirmed = _Unconfirmed(handlers)
        self.handlers.update(handlers)
        self._unconfirmed.update(dict.fromkeys(handlers, unconfirmed))
        for channel in handlers:
            self._post("SSUBSCRIBE", channel)
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await unconfirmed.is_confirmed
        except BaseException as error:
            for channel in list(unconfirmed.channels):
                if self._unconfirmed.get(channel) is unconfirmed:
                    self.unsubscribe(channel)
            if isinstance(error, TimeoutError):
                message = f"Redis did not confirm the subscription to {next(iter(handlers))}"
                raise StoreUnavailableError(message) from None
            raise

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe. Messages in flight are dropped."""
        if self.handlers.pop(channel, None) is None:
            return
        unconfirmed = self._unconfirmed.pop(channel, None)
        if unconfirmed is not None and not unconfirmed.is_confirmed.done():
            unconfirmed.remove(channel)
        self._post("SUNSUBSCRIBE", channel)

    def _post(self, verb: str, channel: str) -> None:
        """Send a command with all others of this turn of the loop. Without a connection, `run` will subscribe."""
        if self._link is None or not self._link.is_open:
            return
        self._outgoing.append((verb, channel))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(), name=f"subscribe {self._node.name}")

    async def _send(self) -> None:
        try:
            while self._outgoing and self._link is not None:
                posted, self._outgoing = self._outgoing, []
                for verb, channel in posted:
                    if verb == "SUNSUBSCRIBE":
                        self._leaving[channel] += 1
                with suppress(StoreUnavailableError):  # the reader notices it too and subscribes again
                    await self._link.send(self._commands(posted))
        finally:
            self._sending = None

    def _commands(self, posted: Iterable[tuple[str, str]]) -> list[Command]:
        if self._is_cluster:  # which would refuse one command for several slots
            return list(posted)
        return [(verb, *(channel for _, channel in run)) for verb, run in groupby(posted, itemgetter(0))]

    async def run(self) -> None:
        """Read until cancelled; after a lost connection, subscribe to everything again."""
        watch = asyncio.create_task(self._watch(), name=f"watch {self._node.name}")
        try:
            while True:
                try:
                    await self._connect_and_read()
                except StoreUnavailableError as error:
                    log.warning("subscriber.lost", node=self._node.name, error=str(error))
                    if self._link is not None:
                        await self._link.close()
                    await asyncio.sleep(SUBSCRIBER_RETRY_S)
        finally:
            watch.cancel()
            if self._sending is not None:
                self._sending.cancel()
            if self._link is not None:
                await self._link.close()

    async def _connect_and_read(self) -> None:
        link = await self._node.link().open()
        self._link = link
        self._leaving.clear()
        self._outgoing.clear()  # the handlers say what is subscribed on the new connection
        self._heard_at = asyncio.get_running_loop().time()
        restored = set(self.handlers)
        if restored:
            await link.send(self._commands([("SSUBSCRIBE", channel) for channel in self.handlers]))
        while True:
            messages = await link.read()
            self._heard_at = asyncio.get_running_loop().time()
            for message in messages:
                if isinstance(message, list):
                    self._on_message(message, restored)
                else:
                    log.warning("subscriber.refused", node=self._node.name, error=refused(message))

    def _on_message(self, message: list[Any], restored: set[str]) -> None:
        kind, channel = message[0], message[1].decode()
        if kind == b"smessage":
            handler = self.handlers.get(channel)
            if handler is not None:
                self._handle(handler, channel, message[2])
        elif kind == b"ssubscribe":
            self._on_confirmed(channel)
            if channel in restored:
                restored.discard(channel)
                self._on_restored(channel)
        elif kind == b"sunsubscribe":
            self._on_unsubscribed(channel)

    @staticmethod
    def _handle(handler: Handler, channel: str, message: bytes) -> None:
        """Handle a message. One that fails must not end the subscriptions of everybody else."""
        try:
            handler(message)
        except Exception:
            log.exception("subscriber.message_not_handled", channel=channel)

    def _on_unsubscribed(self, channel: str) -> None:
        if self._leaving[channel] > 1:
            self._leaving[channel] -= 1
        elif self._leaving.pop(channel, 0):
            return
        elif channel in self.handlers:
            # Unrequested: the slot has moved away, and Redis takes the subscription back.
            raise StoreUnavailableError("a channel has moved to another node", executed=False)

    def _on_confirmed(self, channel: str) -> None:
        if channel in self._leaving:
            return  # of an earlier subscription, which has ended since
        unconfirmed = self._unconfirmed.pop(channel, None)
        if unconfirmed is not None:
            unconfirmed.remove(channel)

    async def _watch(self) -> None:
        """Ask for signs of life: a connection that dies silently would lose messages for ever."""
        while True:
            await asyncio.sleep(SUBSCRIBER_SILENCE_S / 2)
            link = self._link
            if link is None or not link.is_open:
                continue
            if asyncio.get_running_loop().time() - self._heard_at > SUBSCRIBER_SILENCE_S:
                log.warning("subscriber.silent", node=self._node.name)
                await link.close()
                continue
            with suppress(StoreUnavailableError):
                await link.send([("PING",)])


class Subscriber:
    """All subscriptions of this process."""

    def __init__(self, store: Store, on_restored: Callable[[str], None]) -> None:
        """Call `on_restored` with each channel that was subscribed again: messages may have been missed."""
        self._store = store
        self._on_restored = on_restored
        self._nodes: dict[str, _NodeSubscriber] = {}
        self._channels: dict[str, _NodeSubscriber] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Call `handler` with each message from now on. Raises StoreUnavailableError when that isn't confirmed."""
        await self.subscribe_many(self._store.node_of(channel), {channel: handler})

    async def subscribe_many(self, node: Node, handlers: Mapping[str, Handler]) -> None:
        """Subscribe to channels of one node together, like `subscribe`."""
        node.check()
        subscriber = self._nodes.get(node.name)
        if subscriber is None:
            subscriber = _NodeSubscriber(node, self._on_restored, is_cluster=self._store.is_cluster)
            self._nodes[node.name] = subscriber
            self._tasks.append(asyncio.create_task(subscriber.run(), name=f"subscriber {node.name}"))
        self._channels.update(dict.fromkeys(handlers, subscriber))
        try:
            await subscriber.subscribe(handlers)
        except BaseException:
            for channel in handlers:
                if channel not in subscriber.handlers:
                    self._channels.pop(channel, None)
            raise

    def unsubscribe(self, channel: str) -> None:
        """Stop calling the handler."""
        subscriber = self._channels.pop(channel, None)
        if subscriber is not None:
            subscriber.unsubscribe(channel)

    async def aclose(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
