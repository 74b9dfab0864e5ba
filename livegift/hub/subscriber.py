"""Subscriptions to Redis channels. All are sharded channels, which behave like plain ones on a single node."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime.bounds import SUBSCRIBE_TIMEOUT_S, SUBSCRIBER_RETRY_S, SUBSCRIBER_SILENCE_S
from livegift.store.client import Link, Node, Store, refused

log = structlog.get_logger()

Handler = Callable[[bytes], None]


class _NodeSubscriber:
    """All subscriptions on one node, over one connection that is re-established when it is lost."""

    def __init__(self, node: Node, on_restored: Callable[[str], None]) -> None:
        self._node = node
        self._on_restored = on_restored
        self._link: Link | None = None
        self._heard_at = 0.0
        self.handlers: dict[str, Handler] = {}
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._leaving: Counter[str] = Counter()  # unsubscriptions that Redis has still to confirm

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Subscribe; returns once Redis has confirmed, so that everything published from then on arrives."""
        self.handlers[channel] = handler
        confirmed = self._confirmed.setdefault(channel, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                if self._link is not None and self._link.is_open:
                    with suppress(StoreUnavailableError):  # the reader notices it too and subscribes again
                        await self._link.send([("SSUBSCRIBE", channel)])
                await asyncio.shield(confirmed)
        except TimeoutError:
            self.handlers.pop(channel, None)
            self._confirmed.pop(channel, None)
            raise StoreUnavailableError(f"Redis did not confirm the subscription to {channel}") from None

    async def unsubscribe(self, channel: str) -> None:
        """Unsubscribe. Messages in flight are dropped."""
        self.handlers.pop(channel, None)
        self._confirmed.pop(channel, None)
        if self._link is not None and self._link.is_open:
            self._leaving[channel] += 1
            with suppress(StoreUnavailableError):
                await self._link.send([("SUNSUBSCRIBE", channel)])

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
            if self._link is not None:
                await self._link.close()

    async def _connect_and_read(self) -> None:
        link = await self._node.link().open()
        channels = list(self.handlers)
        for channel in channels:
            future = self._confirmed.get(channel)
            if future is None or future.done():
                self._confirmed[channel] = asyncio.get_running_loop().create_future()
        self._link = link
        self._leaving.clear()
        self._heard_at = asyncio.get_running_loop().time()
        if channels:
            # One command per channel: in a cluster, one command for several slots would be refused.
            await link.send([("SSUBSCRIBE", channel) for channel in channels])
        restored = set(channels)
        while True:
            message = await link.read()
            self._heard_at = asyncio.get_running_loop().time()
            if not isinstance(message, list):
                log.warning("subscriber.refused", node=self._node.name, error=refused(message))
                continue
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
        if self._leaving[channel]:
            self._leaving[channel] -= 1
            self._leaving += Counter()  # drops the zeros
        elif channel in self.handlers:
            # Unrequested: the slot has moved away, and Redis takes the subscription back.
            raise StoreUnavailableError("a channel has moved to another node", executed=False)

    def _on_confirmed(self, channel: str) -> None:
        future = self._confirmed.get(channel)
        if future is not None and not future.done():
            future.set_result(None)

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

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Call `handler` with each message from now on. Raises StoreUnavailableError when that isn't confirmed."""
        node = self._store.node_of(channel)
        node.check()
        subscriber = self._nodes.get(node.name)
        if subscriber is None:
            subscriber = self._nodes[node.name] = _NodeSubscriber(node, self._on_restored)
            self._tasks.append(asyncio.create_task(subscriber.run(), name=f"subscriber {node.name}"))
        self._channels[channel] = subscriber
        try:
            await subscriber.subscribe(channel, handler)
        except StoreUnavailableError:
            self._channels.pop(channel, None)
            raise

    async def unsubscribe(self, channel: str) -> None:
        """Stop calling the handler."""
        subscriber = self._channels.pop(channel, None)
        if subscriber is not None:
            await subscriber.unsubscribe(channel)

    async def aclose(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
