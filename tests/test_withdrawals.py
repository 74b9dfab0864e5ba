"""A buyer gives orders back beside gifts in flight: coins or money, never both, whatever runs in parallel or dies."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.hostile import unharmed
from tests.system import System
from tests.test_orders import becomes, buy, decide, wallet
from tests.viewer import Viewer
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # whole systems, several seconds each

CN_PRICE = 1_400


def sell_in_cn(system: System) -> None:
    body = {"coins": 100, "prices": [{"region": "CN", "currency": "CNY", "amount": CN_PRICE}]}
    status, answer = system.http("PUT", "/v1/admin/coin-packages/cn-100", body, token=system.token("root", "admin"))
    assert status == 200, answer


async def buy_credited(system: System, user: str) -> dict[str, Any]:
    order = await asyncio.to_thread(buy, system, user, package_id="cn-100", region="CN")
    await asyncio.to_thread(decide, system, order, "pay")
    await becomes(system, user, order, "credited")
    return order


async def withdraw(system: System, user: str, order: dict[str, Any], web: str = "web 1") -> tuple[int, Any]:
    path = f"/v1/orders/{order['id']}/withdraw"
    return await asyncio.to_thread(system.http, "POST", path, token=system.token(user), web=web)


def statuses(system: System, user: str) -> list[tuple[str, int]]:
    with psycopg.connect(system.settings.database_url) as connection:
        rows = connection.execute("SELECT status, coins + bonus_coins FROM orders WHERE user_id = %s", (user,))
        return [(str(status), int(coins)) for status, coins in rows]


def sent_coins(system: System, user: str) -> int:
    with psycopg.connect(system.settings.database_url) as connection:
        row = connection.execute("SELECT coalesce(sum(coins), 0) FROM gifts WHERE sender = %s", (user,)).fetchone()
    assert row is not None
    return int(row[0])


async def adds_up(system: System, user: str, paid: int) -> int:
    """Money that was kept has bought exactly what was sent and what is left; returns how many orders went back."""

    def through() -> bool:
        return all(status in ("credited", "refunded") for status, _ in statuses(system, user))

    await wait_until(through, f"the withdrawals of {user} are through", 60)
    found = statuses(system, user)
    assert len(found) == paid
    kept = sum(coins for status, coins in found if status == "credited")
    await wait_until(
        lambda: wallet(system, user)["balance"] + sent_coins(system, user) == kept,
        f"{user}'s wallet and gifts are worth what was paid: {found}, {wallet(system, user)}",
        30,
    )
    assert wallet(system, user)["balance"] >= 0
    assert not wallet(system, user)["frozen"]
    return sum(status == "refunded" for status, _ in found)


@pytest.fixture
def shop(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        sell_in_cn(running)
        yield running


async def test_a_withdrawal_beside_gifts_in_flight(shop: System) -> None:
    """Each viewer has one order, sends all of it in small gifts and takes it back in the middle: one of both."""
    for attempt in range(4):
        users = [f"fly-{attempt}-{n}" for n in range(3)]
        orders = await asyncio.gather(*(buy_credited(shop, user) for user in users))

        async def race(user: str, order: dict[str, Any]) -> None:
            async with Viewer(shop.address(), shop.token(user)) as viewer:

                async def give() -> None:
                    for n in range(20):
                        await viewer.send(type="gift.send", ref=f"g{n}", room="r1", gift_id="heart")

                await asyncio.gather(give(), withdraw(shop, user, order))
                await wait_until(lambda: len(viewer.results) == 20, "each gift has an answer", 30)

        await asyncio.gather(*(race(user, order) for user, order in zip(users, orders, strict=True)))
        for user in users:
            await adds_up(shop, user, 1)
    report = await shop.audit()
    assert report.passed, report.to_text()


async def test_five_withdrawals_of_one_packages_coins(shop: System) -> None:
    """Five orders, four of them spent: at most one can go back, however many are asked for at once."""
    orders = [await buy_credited(shop, "five") for _ in range(5)]
    async with Viewer(shop.address(), shop.token("five")) as viewer:
        for n in range(4):
            await viewer.send(type="gift.send", ref=f"g{n}", room="r1", gift_id="confetti")
        await wait_until(lambda: len(viewer.results) == 4, "the gifts have answers")
    answers = await asyncio.gather(*(withdraw(shop, "five", order) for order in orders for _ in range(2)))
    assert {status for status, _ in answers} <= {200, 409}, answers
    assert await adds_up(shop, "five", 5) == 1
    assert wallet(shop, "five")["balance"] == 0
    report = await shop.audit()
    assert report.passed, report.to_text()


async def test_withdrawals_with_partial_spending_between(shop: System) -> None:
    orders = [await buy_credited(shop, "part") for _ in range(4)]
    async with Viewer(shop.address(), shop.token("part")) as viewer:

        async def give() -> None:
            for n in range(30):
                await viewer.send(type="gift.send", ref=f"g{n}", room="r1", gift_id="coffee")
                await asyncio.sleep(0)

        await asyncio.gather(give(), *(withdraw(shop, "part", order) for order in orders))
        await wait_until(lambda: len(viewer.results) == 30, "the gifts have answers", 30)
    await adds_up(shop, "part", 4)
    report = await shop.audit()
    assert report.passed, report.to_text()
