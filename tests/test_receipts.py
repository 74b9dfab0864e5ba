"""Money to coins to diamonds to money, as the people who pay and earn can see it."""

from collections.abc import Iterator

import pytest

from tests.hostile import unharmed
from tests.system import System
from tests.test_creators import balance
from tests.test_orders import becomes, buy, decide
from tests.viewer import Viewer
from tests.waiting import wait_until


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


async def test_the_whole_way_of_a_gift_can_be_seen(system: System) -> None:
    system.open_room("receipts", "cleo")
    await system.grant({"ann": 60}, ref="receipts")
    order = buy(system, "ann", package_id="coins-550")
    decide(system, order, "pay")
    await becomes(system, "ann", order, "credited")
    async with Viewer(system.address(), system.token("ann")) as ann:
        event = (await ann.gift("receipts", "balloon", anonymous=True))["gift_event_id"]
        assert (await ann.gift("receipts", "heart"))["status"] == "accepted"
    cleo = system.token("cleo", "creator")
    await wait_until(lambda: balance(system, cleo)["diamonds_total"] == 505, "it is booked")

    path = f"/v1/gifts/{event}/receipt"
    mine = system.http("GET", path, token=system.token("ann"))[1]
    assert mine["paid_with"] == [
        {"coins": 60, "from": "grant", "ref": "grant:receipts-ann"},
        {
            "coins": 440,
            "from": "order",
            "ref": f"order:{order['id']}",
            "amount_micros": 440 * 9_990_000 // 550,
            "currency": "USD",
        },
    ]
    assert (mine["coins"], mine["diamonds"], mine["diamonds_usd_micros"]) == (500, 500, 2_500_000)
    assert "payout" not in mine
    theirs = system.http("GET", path, token=cleo)[1]
    assert theirs["payout"] is None
    assert not {"paid_with", "sender"} & theirs.keys(), "an anonymous sender stays so"
    everything = system.http("GET", path, token=system.token("root", "admin"))[1]
    assert (everything["sender"], everything["payout"]) == ("ann", None)
    assert system.http("GET", path, token=system.token("eve"))[0] == 404
    assert system.http("GET", "/v1/gifts/no-such-gift/receipt", token=cleo)[0] == 404

    history = system.http("GET", "/v1/wallet/history?limit=3", token=system.token("ann"))[1]
    assert [(item["what"], item["coins"]) for item in history["items"]] == [
        ("gift", -5),
        ("gift", -500),
        ("order", 550),
    ]
    assert history["items"][1]["gift_event_id"] == event
    assert (history["items"][2]["amount"], history["items"][2]["currency"]) == (999, "USD")
    path = f"/v1/wallet/history?cursor={history['next_cursor']}"
    rest = system.http("GET", path, token=system.token("ann"))[1]
    assert [(item["what"], item["coins"]) for item in rest["items"]] == [("grant", 60)]
    assert rest["next_cursor"] is None
    spend = system.http("GET", "/v1/wallet/spend", token=system.token("ann"))[1]
    assert spend["coins"]["total"] == spend["coins"]["day"] == 505
    assert spend["money"] == [{"currency": "USD", "day": 999, "month": 999, "year": 999, "total": 999}]


def test_prices_in_money_and_what_reaches_the_creator(system: System) -> None:
    gifts = {gift["id"]: gift for gift in system.http("GET", "/v1/gifts")[1]["gifts"]}
    assert (gifts["confetti"]["amount"], gifts["confetti"]["currency"]) == (199, "USD")
    assert gifts["rose"]["amount"] == 2, "1.99 cents, rounded up"
    rates = system.http("GET", "/v1/rates")[1]
    package = next(p for p in rates["packages"] if (p["id"], p["region"]) == ("coins-100", "US"))
    assert (package["payout_usd_micros"], package["creator_share_ppm"]) == (500_000, 251_256)
