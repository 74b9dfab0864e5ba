"""Amounts around the ceiling of 10^13 and around 2^53, where doubles and text differ."""

import time

import pytest

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.errors import RequestError
from livegift.domain.money import AmountError
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, Change, GiftSend, Refused
from livegift.features.grants.service import grant_coins
from livegift.store.wallets import Display, Outcome, gift_send, parse_outcome
from tests.faults.small import ROOM
from tests.inprocess import InProcess, passes

EXACT = 2**53


async def priced(system: InProcess, ref: str, price: int, diamonds: int, user: str = "rich", count: int = 1) -> Outcome:
    """Send a gift of any price, as a hub with such a catalogue would."""
    send = GiftSend(user, ref, "ab", ROOM, "bob", "yacht", price, count, diamonds, streakable=False)
    root = system.outbox.roots[partition_of(user, system.settings.partitions)]
    display = Display('["Rich","Bob","Yacht",1,1,3,"Y"]')
    (reply,) = await system.store.call(gift_send(root, [(send, display)], int(time.time() * 1000), 1000, 86_400))
    return parse_outcome(reply)


@pytest.mark.parametrize("coins", [AMOUNT_MAX - 1, AMOUNT_MAX])
async def test_up_to_the_ceiling_every_digit_arrives(small: InProcess, coins: int) -> None:
    assert await grant_coins(small.database, small.wallets, "all", "rich", coins)
    assert (await small.wallets.read("rich")).balance == coins
    refused = await priced(small, "more", coins + 1, 1)
    assert isinstance(refused, Refused)
    assert (await small.wallets.read("rich")).balance == coins
    accepted = await priced(small, "all", coins, coins)
    assert isinstance(accepted, Accepted)
    assert (accepted.coins, accepted.balance) == (coins, 0)
    await passes(small)


@pytest.mark.parametrize("coins", [AMOUNT_MAX + 1, EXACT - 1, EXACT, EXACT + 1])
async def test_above_the_ceiling_nothing_is_granted(small: InProcess, coins: int) -> None:
    with pytest.raises(AmountError):
        await grant_coins(small.database, small.wallets, "much", "rich", coins)
    refused = await small.wallets.change(Change("rich", "much", "ab", coins, "grant"))
    assert isinstance(refused, Refused)
    assert refused.code == "invalid"
    assert (await small.wallets.read("rich")).balance == 0
    await passes(small)


@pytest.mark.parametrize("over", [1, AMOUNT_MAX])
async def test_a_balance_never_passes_the_ceiling(small: InProcess, over: int) -> None:
    assert await grant_coins(small.database, small.wallets, "first", "rich", AMOUNT_MAX)
    with pytest.raises(RequestError):
        await grant_coins(small.database, small.wallets, "second", "rich", over)
    assert (await small.wallets.read("rich")).balance == AMOUNT_MAX


@pytest.mark.parametrize(
    ("price", "diamonds", "count"),
    [
        (AMOUNT_MAX + 1, 1, 1),
        (EXACT - 1, 1, 1),
        (EXACT, 1, 1),
        (EXACT + 1, 1, 1),
        (1, AMOUNT_MAX + 1, 1),
        (1, EXACT + 1, 1),
        (AMOUNT_MAX // 999 + 1, 1, 999),
        (1, AMOUNT_MAX // 999 + 1, 999),
    ],
)
async def test_a_gift_above_the_ceiling_is_refused(small: InProcess, price: int, diamonds: int, count: int) -> None:
    assert await grant_coins(small.database, small.wallets, "all", "rich", AMOUNT_MAX)
    refused = await priced(small, "much", price, diamonds, count=count)
    assert isinstance(refused, Refused)
    assert refused.code == "invalid"
    assert (await small.wallets.read("rich")).balance == AMOUNT_MAX


async def test_large_amounts_add_up_without_losing_one(small: InProcess) -> None:
    """Let the room's and the partition's sums pass the ceiling of a single amount."""
    for turn in range(20):
        assert await grant_coins(small.database, small.wallets, f"turn-{turn}", "rich", AMOUNT_MAX - 1)
        assert isinstance(await priced(small, f"turn-{turn}", AMOUNT_MAX - 1, AMOUNT_MAX - 1), Accepted)
    await passes(small)
