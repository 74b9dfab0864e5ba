"""Users who say hello: all of them at once, as after a restart, or one now and then.

On each node one group after the other is subscribed to and its wallets are read; who arrives meanwhile is in the next.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.hub.subscriber import Handler, Subscriber
from livegift.runtime.bounds import HELLO_ANSWER_S, HELLOS_AT_ONCE_MAX
from livegift.store.client import Node, Store
from livegift.store.wallets import Balance, Wallets

log = structlog.get_logger()

Unsubscribed = Callable[[Iterable[str]], Mapping[str, Handler]]


class _Arrival(NamedTuple):
    user: str
    deadline: float
    wallet: "asyncio.Future[Balance]"

    def settle(self, wallet: Balance | StoreUnavailableError) -> None:
        if self.wallet.done():
            return  # the connection has gone
        if isinstance(wallet, StoreUnavailableError):
            self.wallet.set_exception(wallet)
        else:
            self.wallet.set_result(wallet)


class Arrivals:
    """Subscribes to the channels of users and reads their wallets, many at a time."""

    def __init__(self, store: Store, subscriber: Subscriber, wallets: Wallets, unsubscribed: Unsubscribed) -> None:
        """Subscribe to what `unsubscribed` returns for users."""
        self._store = store
        self._subscriber = subscriber
        self._wallets = wallets
        self._unsubscribed = unsubscribed
        self._waiting: dict[Node, list[_Arrival]] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}

    async def wallet_of(self, user: str) -> Balance:
        """Return the wallet of `user`, read after the subscription was confirmed: no change falls between the two.

        Raises StoreUnavailableError, within HELLO_ANSWER_S.
        """
        loop = asyncio.get_running_loop()
        node = self._store.node_of(self._wallets.root_of(user))
        arrival = _Arrival(user, loop.time() + HELLO_ANSWER_S, loop.create_future())
        self._waiting.setdefault(node, []).append(arrival)
        if node not in self._tasks:
            self._tasks[node] = loop.create_task(self._serve(node), name=f"arrivals {node.name}")
        return await arrival.wallet

    async def _serve(self, node: Node) -> None:
        try:
            while waiting := self._waiting.pop(node, None):
                group, later = waiting[:HELLOS_AT_ONCE_MAX], waiting[HELLOS_AT_ONCE_MAX:]
                if later:
                    self._waiting[node] = later
                await self._welcome(node, group)
        finally:
            del self._tasks[node]

    async def _welcome(self, node: Node, group: list[_Arrival]) -> None:
        error = StoreUnavailableError("the wallet can't be read in time", executed=False)
        try:
            async with asyncio.timeout_at(group[0].deadline):
                missing = self._unsubscribed([one.user for one in group])
                if missing:
                    await self._subscriber.subscribe_many(node, missing)
                wallets = await self._wallets.read_many([one.user for one in group])
            for one, wallet in zip(group, wallets, strict=True):
                one.settle(wallet)
        except StoreUnavailableError as caught:
            error = caught
        except TimeoutError:
            pass
        except Exception:  # nobody may wait for ever, and the next group may be served
            log.exception("arrivals.failed", node=node.name)
        finally:
            for one in group:
                one.settle(error)

    async def aclose(self) -> None:
        """Stop."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
