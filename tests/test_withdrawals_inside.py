"""A withdrawal's steps one by one: a crash after each, a provider that refuses or is silent, a dispute in between."""

from collections.abc import AsyncIterator

import pytest

from livegift.contract.errors import RequestError
from livegift.features.orders import withdrawals
from livegift.features.orders.service import apply_provider_event
from livegift.payments.provider import PaymentEvent, ProviderError, ProviderRefusedError
from livegift.runtime.settings import Settings
from tests.inprocess import InProcess, passes
from tests.purchasing import KEEPS, Shop
from tests.test_audit import run_audit

pytestmark = pytest.mark.slow  # whole systems, several seconds each


@pytest.fixture
async def inside(settings: Settings) -> AsyncIterator[Shop]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        yield Shop(system)


async def give_back(shop: Shop, order_id: str, user: str) -> str:
    system = shop.system
    found = await withdrawals.withdraw(
        system.database, system.wallets, {"sandbox": shop.provider}, order_id, user, KEEPS
    )
    return found.order.status


@pytest.fixture(autouse=True)
def _quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegift.features.orders.feature.SWEEP_WITHDRAWALS_S", 0.2)
    monkeypatch.setattr(withdrawals, "SWEEP_WITHDRAWALS_S", 0.0)
    monkeypatch.setattr("livegift.features.orders.feature.SWEEP_ORDERS_S", 0.2)
    monkeypatch.setattr("livegift.features.orders.service.SWEEP_ORDERS_S", 0.0)


async def balance(shop: Shop, user: str) -> int:
    return (await shop.system.wallets.read(user)).balance


async def test_the_money_goes_only_after_the_coins_are_booked(inside: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await inside.bought("kim")
    await inside.system.stop("aggregator")
    monkeypatch.setattr(withdrawals, "WITHDRAWAL_WAIT_S", 0.2)
    assert await give_back(inside, order.order.id, "kim") == "withdrawing"
    assert await balance(inside, "kim") == 0, "the coins are taken"
    payment = await inside.provider.read(order.provider_ref or "")
    assert payment is not None
    assert payment.state == "paid", "no money is asked for yet"
    assert await give_back(inside, order.order.id, "kim") == "withdrawing", "again is harmless"
    inside.system.start_aggregator()
    await inside.becomes(order.order.id, "refunded")
    payment = await inside.provider.read(order.provider_ref or "")
    assert payment is not None
    assert payment.state == "refunded"
    await passes(inside.system)


async def test_a_process_that_dies_after_any_step(inside: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request dies: after it was noted, after the coins were taken, after the provider was asked."""

    class DeadError(BaseException):
        """The process is no more."""

    async def dies(*_: object, **__: object) -> None:
        raise DeadError

    for user, step in (("lea", "move_due_coins"), ("mia", "_pay"), ("nia", "apply_provider_event")):
        order = await inside.bought(user)
        with monkeypatch.context() as patch:
            # The sweep of this very process waits until then.
            patch.setattr("livegift.features.orders.withdrawals.SWEEP_WITHDRAWALS_S", 3_600.0)
            patch.setattr(withdrawals, step, dies)
            with pytest.raises(DeadError):
                await give_back(inside, order.order.id, user)
        await inside.becomes(order.order.id, "refunded")
        assert await balance(inside, user) == 0
    await passes(inside.system)


async def test_coins_come_back_when_the_provider_refuses_for_good(
    inside: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sweep's provider would not refuse.
    monkeypatch.setattr(withdrawals, "SWEEP_WITHDRAWALS_S", 3_600.0)
    order = await inside.bought("oda")
    with monkeypatch.context() as patch:

        async def refuses(*_: object) -> None:
            raise ProviderRefusedError("the card is no more")

        patch.setattr(inside.provider, "refund", refuses)
        assert await give_back(inside, order.order.id, "oda") == "restoring"
    await inside.becomes(order.order.id, "credited")
    assert await balance(inside, "oda") == 100
    await passes(inside.system)
    assert await give_back(inside, order.order.id, "oda") == "refunded"
    assert await balance(inside, "oda") == 0
    await passes(inside.system)


async def test_an_order_that_is_given_back_again_after_the_refund_has_failed(inside: Shop) -> None:
    """Each round has coins of its own that were taken first, and the audit looks at each."""
    system, order = inside.system, await inside.bought("vic")
    assert await give_back(inside, order.order.id, "vic") == "refunded"
    made = order.order
    names = (made.id, order.provider_ref, made.amount, made.currency)
    said = PaymentEvent("evt-failed", "refund_failed", *names, reversal_ref="re_1")
    await apply_provider_event(system.database, system.wallets, "sandbox", said, KEEPS)
    await inside.becomes(made.id, "credited")
    assert await balance(inside, "vic") == 100
    await passes(system)
    assert await give_back(inside, made.id, "vic") == "refunded"
    assert await balance(inside, "vic") == 0
    await passes(system)
    async with system.database.begin() as connection:
        later = "UPDATE order_events SET at = at - interval '1 hour' WHERE event_id = $1"
        await connection.exec_driver_sql(later.replace("$1", f"'withdraw-{made.id}-2'"))
    status, report = await run_audit(system)
    assert status == 1
    assert f"order {made.id}: its money was given back by this server, but its coins were taken only after" in report


async def test_a_provider_that_does_not_answer_is_asked_again(inside: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await inside.bought("pia")

    async def fails(*_: object) -> None:
        raise ProviderError("no answer")

    monkeypatch.setattr(inside.provider, "refund", fails)
    assert await give_back(inside, order.order.id, "pia") in ("withdrawing", "refunded")
    await inside.becomes(order.order.id, "refunded")
    await passes(inside.system)


async def test_a_dispute_while_the_coins_are_taken_takes_them_once(
    inside: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await inside.bought("quy")
    await inside.system.stop("aggregator")
    monkeypatch.setattr(withdrawals, "WITHDRAWAL_WAIT_S", 0.1)
    assert await give_back(inside, order.order.id, "quy") == "withdrawing"
    await inside.pay(order, "disputed")
    inside.system.start_aggregator()
    await inside.becomes(order.order.id, "charged_back")
    assert (await inside.system.wallets.read("quy")).frozen is False
    assert await balance(inside, "quy") == 0
    await passes(inside.system)


async def test_a_frozen_wallet_and_a_stranger_give_nothing_back(inside: Shop) -> None:
    order = await inside.bought("rob")
    with pytest.raises(RequestError, match="not_found"):
        await give_back(inside, order.order.id, "sue")
    chargeback = await inside.bought("rob")
    await inside.system.gift("rob", "r1", "bob", "confetti", "spent")
    await inside.system.gift("rob", "r1", "bob", "heart", "spent-2")
    await inside.pay(chargeback, "disputed")  # below zero, so frozen
    await inside.becomes(chargeback.order.id, "charged_back")
    with pytest.raises(RequestError, match="wallet_frozen"):
        await give_back(inside, order.order.id, "rob")
    assert (await inside.read(order.order.id)).order.status == "credited"
    await passes(inside.system)
