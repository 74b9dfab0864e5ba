"""Faults of orders that were there once, put back: `livegift audit` ends with 1 and names them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from livegift.features.orders import payment_events, promotions, withdrawals
from livegift.features.orders import service as orders
from livegift.features.orders.public import Promotion, put_promotion
from livegift.features.orders.queries import order_of
from livegift.features.orders.rules import Order
from livegift.features.orders.service import refund
from livegift.runtime.settings import Settings
from tests.inprocess import InProcess, passes
from tests.purchasing import KEEPS, Shop
from tests.test_audit import run_audit
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # whole systems, several seconds each


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        yield Shop(system)


async def give_back(shop: Shop, order_id: str, user: str) -> None:
    system = shop.system
    await withdrawals.withdraw(system.database, system.wallets, {"sandbox": shop.provider}, order_id, user, KEEPS)


async def named(shop: Shop, *expected: str) -> None:
    status, report = await run_audit(shop.system)
    assert status == 1, report
    for words in expected:
        assert words in report, report


async def test_money_that_goes_back_after_a_look_at_the_balance(shop: Shop) -> None:
    """The first version: what it saw was spent by the time it took it."""
    order = await shop.bought("kim")
    await passes(shop.system)
    system, order_id = shop.system, order.order.id
    assert (await system.wallets.read("kim")).balance >= order.order.total_coins
    await system.gift("kim", "r1", "bob", "confetti", "in-flight")
    await refund(system.database, system.wallets, {"sandbox": shop.provider}, order_id, KEEPS)
    await wait_until(lambda: _balance_is(shop, "kim", -100), "the coins are taken")
    await named(shop, f"order {order_id}: its money was given back by this server, but no operator has asked for that")


async def test_coins_that_are_taken_though_they_are_not_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check in Redis."""
    order = await shop.bought("lea")
    await shop.system.gift("lea", "r1", "bob", "coffee", "before")
    monkeypatch.setattr(orders, "REVERSED", {"withdrawing", "refunded", "charged_back"})
    await give_back(shop, order.order.id, "lea")
    await shop.becomes(order.order.id, "refunded")
    await named(
        shop,
        "wallet lea: entry 3 (withdrawal:",
        f"order {order.order.id}: its money was given back by this server, but its buyer did not have the coins: -10",
    )


async def test_money_that_goes_before_the_coins(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paid without waiting for the booking; then the coins follow."""
    order = await shop.bought("mia")

    async def later(*args: Any) -> Any:
        return args[-1]

    with monkeypatch.context() as patch:
        patch.setattr(withdrawals, "_take", later)
        patch.setattr(Order, "coins_are_back", property(lambda order: order.status == "withdrawing"))
        await give_back(shop, order.order.id, "mia")
    await shop.becomes(order.order.id, "refunded")
    await wait_until(lambda: _balance_is(shop, "mia", 0), "the coins are taken")
    await named(shop, f"order {order.order.id}: its money was given back by this server, but its coins were taken only")


async def promote(shop: Shop, **more: object) -> None:
    """Fifty coins on top of the smallest package, once for each user."""
    now = datetime.now(UTC)
    times = now - timedelta(hours=1), now + timedelta(hours=1)
    promotion = Promotion("once", "coins-100", None, 50, *times, 1)
    await put_promotion(shop.system.database, replace(promotion, **more), "root")  # type: ignore[arg-type]


async def test_a_promotion_that_a_user_has_more_often_than_allowed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declined, ordered again, all paid: nobody looks how often it was used."""
    await promote(shop)
    made = [await shop.order("nia") for _ in range(3)]
    for order in made:
        await shop.pay(order, "declined")
    await shop.pay(made[0])
    await shop.becomes(made[0].order.id, "credited")
    await passes(shop.system)

    async def none(*_: object) -> int:
        return 0

    monkeypatch.setattr(promotions, "uses", none)
    for order in made[1:]:
        await shop.pay(order)
        await shop.becomes(order.order.id, "credited")
    await named(shop, "promotion once: user nia has had it 3 times, at most 1 were allowed: orders ord-")


async def test_a_promotion_that_nobody_decides_about(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first version: what was offered with the order was given, whenever that was paid."""
    await promote(shop)
    order = await shop.order("oda")
    await shop.pay(order, "declined")

    async def undecided(_: object, row: Any) -> tuple[Order, dict[str, Any]]:
        return order_of(row), {}

    monkeypatch.setattr(payment_events, "decide", undecided)
    await shop.pay(order)
    await shop.becomes(order.order.id, "credited")
    await named(shop, f"order {order.order.id}: paid without deciding about promotion once, it gave 100 coins and 50")


async def test_a_promotion_that_was_not_granted_and_is_given_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await promote(shop)
    order = await shop.order("pia")
    await shop.pay(order, "expired")
    await promote(shop, ends_at=datetime.now(UTC) - timedelta(minutes=1))
    monkeypatch.setattr(promotions, "decided", lambda order, _, **__: order)
    await shop.pay(order)
    await shop.becomes(order.order.id, "credited")
    await named(shop, f"order {order.order.id}: paid without promotion once, it gave 100 coins and 50 on top")


async def _balance_is(shop: Shop, user: str, coins: int) -> bool:
    return (await shop.system.wallets.read(user)).balance == coins
