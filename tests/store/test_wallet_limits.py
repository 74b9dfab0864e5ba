"""Limits of the wallets in Redis: gifts of a minute, the operator's caps, and the viewer's own."""

import pytest
import redis

from livegift.domain.allowances import Caps, Policy
from livegift.domain.spending import Accepted, Refused
from tests.store.live import Live, codes
from tests.store.test_wallet_guards import gift

DAY = 20261130


@pytest.fixture
def live(client: redis.Redis) -> Live:
    made = Live(client)
    made.credit("ann", 1_000)
    return made


def test_gifts_of_a_minute_are_counted(live: Live) -> None:
    policy = Policy(DAY, Caps(), gifts_per_minute=2)
    outcomes = live.gifts([gift(ref, policy=policy) for ref in "abcd"])
    assert codes(outcomes) == ["", "", "rate_limited", "rate_limited"]
    refused = outcomes[2]
    assert isinstance(refused, Refused)
    assert refused.retry_after_ms is not None
    assert 0 < refused.retry_after_ms <= 60_000
    usage = live.balance("ann").usage
    assert (usage.day_coins, usage.minute_gifts) == (10, 2)


def test_the_count_of_the_minute_comes_from_the_stored_wallet(live: Live) -> None:
    policy = Policy(DAY, Caps(), gifts_per_minute=2)

    def one_minute() -> tuple[list[str], int]:
        minute = live.now_ms() // 60_000
        sent = [live.gift(gift(f"{ref}{minute}", policy=policy)) for ref in "abc"]
        return codes(sent), live.now_ms() // 60_000 - minute

    found, minutes = one_minute()
    if minutes:  # a minute ended in between
        found, _ = one_minute()
    assert found == ["", "", "rate_limited"]


def test_usage_and_caps_go_on_after_gifts_without_a_limit_of_the_minute(live: Live) -> None:
    live.gift(gift("1", policy=Policy(DAY, Caps(), gifts_per_minute=9)))
    assert isinstance(live.gift(gift("2", policy=Policy(DAY, Caps()))), Accepted)
    assert live.balance("ann").usage[:3] == (DAY, 10, 10)
    over = live.gift(gift("3", policy=Policy(DAY, Caps(day=14), gifts_per_minute=9)))
    assert isinstance(over, Refused)
    assert over.limit is not None
    assert (over.limit.kind, over.limit.used) == ("day", 10)
