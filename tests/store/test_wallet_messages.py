"""What other devices of a user hear of the wallet."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import orjson
import pytest
import redis

from livegift.contract.messages import LimitReminder, Wallet
from livegift.dev.embedded import RedisServer
from livegift.domain.spending import Change
from livegift.store.keys import user_channel
from tests.contract.structs import as_struct
from tests.store.live import Live
from tests.store.test_wallet_guards import gift

SENTINEL = b"sentinel"


class Listener:
    """Subscribed to a user's channel."""

    def __init__(self, live: Live, user: str, client: redis.Redis, stack: ExitStack) -> None:
        self._live = live
        self._channel = user_channel(live.root, user)
        self._pubsub = stack.enter_context(closing(client.pubsub()))  # type: ignore[no-untyped-call]
        self._pubsub.ssubscribe(self._channel)
        assert self._next()["type"] == "ssubscribe"

    def _next(self) -> dict[str, object]:
        message = self._pubsub.get_sharded_message(timeout=10)
        assert message is not None, "nothing came"
        return dict(message)

    def heard(self) -> list[dict[str, object]]:
        """All that came up to now: what was sent before the sentinel comes before it."""
        self._live.run("SPUBLISH", self._channel, SENTINEL)
        found = []
        while (data := self._next()["data"]) != SENTINEL:
            assert isinstance(data, bytes)
            as_struct(data, Wallet | LimitReminder)
            found.append(orjson.loads(data))
        return found


@pytest.fixture
def live(client: redis.Redis) -> Live:
    made = Live(client)
    made.credit("ann", 100)
    return made


@pytest.fixture
def listen(redis_server: RedisServer, live: Live) -> Iterator[Callable[[str], Listener]]:
    """Subscribes to a user's channel, on a connection of its own."""
    with ExitStack() as stack:
        client = stack.enter_context(closing(redis.Redis.from_url(redis_server.url, protocol=2)))
        yield lambda user: Listener(live, user, client, stack)


def test_a_gift_is_not_published_by_the_debit(live: Live, listen: Callable[[str], Listener]) -> None:
    """The relay tells of it (tests/test_balances.py), the sender's own process tells the sender's connections there."""
    both = [listen("ann") for _ in range(2)]
    live.gifts([gift("1"), gift("2", streakable=True)])
    assert [listener.heard() for listener in both] == [[], []]


def test_a_credit_is_published_even_to_one(live: Live, listen: Callable[[str], Listener]) -> None:
    only = listen("ann")
    live.credit("ann", 5, "more")
    live.change(Change("ann", "back", "aa", -205, "refund", overdraw=True))
    assert only.heard() == [
        {"type": "wallet", "balance": 105, "seq": 2, "reason": "grant"},
        {"type": "wallet", "balance": -100, "seq": 3, "reason": "refund"},
    ]


def test_what_changed_nothing_is_not_published(live: Live, listen: Callable[[str], Listener]) -> None:
    only = listen("ann")
    live.credit("ann", 100)
    live.change(Change("ann", "start", "bb", 5, "grant"))
    live.change(Change("ann", "too much", "aa", -1000, "correction"))
    assert only.heard() == []


def test_nobody_hears_of_somebody_elses_wallet(live: Live, listen: Callable[[str], Listener]) -> None:
    others = [listen(user) for user in ("bob", "bob", "an", "ann:x")]
    live.credit("ann", 5, "more")
    live.gift(gift("1"))
    assert [listener.heard() for listener in others] == [[], [], [], []]
