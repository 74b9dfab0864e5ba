"""Which order an event of a provider pays: none that it does not name, and what the audit says where one did."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import ColumnElement, and_

from livegift.features.earnings.public import RefundTerms
from livegift.features.orders import odd_payments, payment_events, reversals
from livegift.features.orders import service as orders
from livegift.features.orders.payment_events import ProviderEvent, apply
from livegift.features.orders.public import Promotion, put_promotion
from livegift.features.orders.queries import NewOrder, StoredOrder, create_order, note_checkout, read_order
from livegift.features.orders.rules import Order
from livegift.features.orders.tables import orders as table
from livegift.payments.provider import PaymentEvent
from livegift.runtime.settings import Settings
from tests.inprocess import InProcess, passes
from tests.purchasing import Shop
from tests.test_audit import run_audit
from tests.waiting import wait_until

TERMS = RefundTerms("creator_keeps", 24)
PAID = ProviderEvent("stripe", "evt-1", "paid", "o1", "pi_1", 999, "USD", "cs_o1")
# What another product sells: no order of ours, a checkout of its own, no payment (a subscription).
FOREIGN = replace(PAID, order_id=None, payment_ref=None, session_ref="cs_shop")


async def make(system: InProcess, order_id: str, user: str, provider: str = "stripe", amount: int = 999) -> None:
    order = Order(order_id, user, 550, 0, amount, "USD", provider)
    await create_order(system.database, NewOrder(order, "US", "hash"))
    await note_checkout(system.database, order_id, f"cs_{order_id}", f"https://pay.example/{order_id}")


async def order_of(system: InProcess, order_id: str) -> StoredOrder:
    found = await read_order(system.database, order_id)
    assert found is not None
    return found


async def hear(system: InProcess, event: ProviderEvent) -> None:
    said = PaymentEvent(
        event.id,
        event.kind,
        event.order_id,
        event.payment_ref,
        event.amount,
        event.currency,
        event.session_ref,
        event.reversal_ref,
    )
    await orders.apply_provider_event(system.database, system.wallets, event.provider, said, TERMS)


async def credited(system: InProcess, order_id: str) -> None:
    async def there() -> bool:
        return (await order_of(system, order_id)).order.status == "credited"

    await wait_until(there, f"{order_id} is credited")


@pytest.mark.parametrize("count", [1, 2])
async def test_what_names_no_order_pays_none(settings: Settings, count: int) -> None:
    async with InProcess(settings) as system:
        for n in range(count):
            await make(system, f"o{n}", "ann")
        for kind in ("paid", "expired", "declined", "refunded", "disputed"):
            event = replace(FOREIGN, kind=kind, id=f"evt-{kind}")  # type: ignore[arg-type]
            assert await apply(system.database, event, TERMS) is None
        shop = replace(FOREIGN, id="evt-shop", order_id="shop-4711", payment_ref="pi_shop")
        assert await apply(system.database, shop, TERMS) is None
        assert [(await order_of(system, f"o{n}")).order.status for n in range(count)] == ["created"] * count
        await passes(system)


async def test_each_of_its_names_is_enough_and_a_wrong_one_is_for_a_person(settings: Settings) -> None:
    async with InProcess(settings) as system:
        for name in ("o1", "o2", "o3", "o4"):
            await make(system, name, "ann")
        outcomes: dict[str, Any] = {}

        async def said(name: str, event: ProviderEvent) -> None:
            applied = await apply(system.database, replace(event, id=name), TERMS)
            outcomes[name] = applied and (applied[0].order.id, applied[1])

        await said("by id", replace(PAID, session_ref=None))
        await said("by checkout", replace(PAID, order_id=None, payment_ref="pi_2", session_ref="cs_o2"))
        await said("by payment", replace(PAID, kind="refunded", order_id=None, session_ref=None))
        await said("another provider", replace(PAID, provider="sandbox", order_id="o3", payment_ref="pi_3"))
        await said("the payment of another order", replace(PAID, order_id="o3", session_ref="cs_o3"))
        await said(
            "the checkout of another order", replace(PAID, order_id="o3", payment_ref="pi_3", session_ref="cs_o4")
        )
        await said("another amount", replace(PAID, order_id="o3", payment_ref="pi_3", session_ref="cs_o3", amount=998))
        await said(
            "another currency", replace(PAID, order_id="o3", payment_ref="pi_3", session_ref="cs_o3", currency="EUR")
        )
        await said("paid twice", replace(PAID, payment_ref="pi_9"))
        await said("a refund of another payment", replace(PAID, kind="refunded", order_id="o2", payment_ref="pi_9"))
        assert outcomes == {
            "by id": ("o1", "applied"),
            "by checkout": ("o2", "applied"),
            "by payment": ("o1", "applied"),
            "another provider": None,
            "the payment of another order": ("o3", "mismatch"),
            "the checkout of another order": ("o3", "mismatch"),
            "another amount": ("o3", "mismatch"),
            "another currency": ("o3", "mismatch"),
            "paid twice": ("o1", "duplicate"),
            "a refund of another payment": ("o2", "mismatch"),
        }
        assert (await order_of(system, "o3")).order.status == "created"


async def test_a_dispute_that_overtakes_its_payment_is_not_lost(settings: Settings) -> None:
    async with InProcess(settings) as system:
        await make(system, "o1", "ann")
        dispute = ProviderEvent("stripe", "evt-d", "disputed", None, "pi_1", 999, "USD")
        for event in (dispute, replace(dispute, id="evt-shop", payment_ref="pi_shop"), dispute):
            assert await apply(system.database, event, TERMS) is None
        await hear(system, PAID)
        assert (await order_of(system, "o1")).order.status == "charged_back"
        await wait_until(lambda: returned(system, "o1"), "the coins have come and gone")
        assert (await system.wallets.read("ann")).balance == 0
        await passes(system)
        assert await payment_events.forget_early_events(system.database, 0) == 1, "the shop's alone was left"


async def returned(system: InProcess, order_id: str) -> bool:
    return (await order_of(system, order_id)).order.returned_coins == 550


# --- The faults put back: the audit sees them -------------------------------------------------------------------------


def by_what_it_does_not_say(event: ProviderEvent) -> ColumnElement[bool]:
    """As it was: without an order's id by the payment, which nothing had been paid with yet."""
    return table.c.id == event.order_id if event.order_id else table.c.payment_ref.is_(event.payment_ref)


def by_the_amount(event: ProviderEvent) -> ColumnElement[bool]:
    return and_(table.c.amount == event.amount, table.c.status == "created")


@pytest.mark.parametrize("fault", [by_what_it_does_not_say, by_the_amount])
async def test_the_audit_names_an_order_that_a_strangers_checkout_paid(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    async with InProcess(settings) as system:
        await make(system, "o1", "ann")
        monkeypatch.setattr(payment_events, "named_by", fault)
        await hear(system, FOREIGN)
        await credited(system, "o1")
        code, said = await run_audit(system)
        assert code == 1, said
        assert "order o1: credited by event evt-1 of stripe, which names order (none) and checkout cs_shop" in said


@pytest.mark.slow
async def test_the_audit_names_a_payment_that_pays_two_orders(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with InProcess(settings) as system:
        for name in ("o1", "o2"):
            await make(system, name, "ann")
        await hear(system, PAID)
        await credited(system, "o1")
        await passes(system)
        # As if nobody looked whose payment it is, and nobody noted it.
        monkeypatch.setattr(payment_events, "named_by", lambda event: table.c.id == event.order_id)
        move = payment_events._move

        async def forgetful(connection: Any, row: Any, order: Order, _: str | None, more: dict[str, Any]) -> None:
            await move(connection, row, order, None, more)

        monkeypatch.setattr(payment_events, "_move", forgetful)
        await hear(system, replace(PAID, id="evt-2", order_id="o2"))
        await credited(system, "o2")
        code, said = await run_audit(system)
        assert code == 1, said
        assert "payment pi_1 of stripe was taken for orders o1, o2" in said
        assert "checkout cs_o1 of stripe was taken for orders o1, o2" in said


async def test_the_audit_names_what_was_paid_with_another_amount_provider_or_payment(settings: Settings) -> None:
    async with InProcess(settings) as system:
        await make(system, "o1", "ann")
        await hear(system, PAID)
        await credited(system, "o1")
        for change, expected in {
            "amount = 1": "1 USD; expected stripe",
            "currency = 'EUR'": "999 EUR; expected stripe",
            "named_order = NULL, session_ref = 'cs_other'": "names order (none) and checkout cs_other",
            "provider = 'sandbox'": "event evt-1 of sandbox",
            "payment_ref = 'pi_other'": "event evt-1 (paid) of stripe is about payment pi_other, the order's is pi_1",
            "outcome = 'stale'": "credited by no event at all",
        }.items():
            await execute(system, f"UPDATE order_events SET {change}")  # noqa: S608 - our own text
            report = await system.audit(2.0)
            assert expected in "\n".join(report.checks[5].violations), report.to_text()
            await execute(
                system,
                "UPDATE order_events SET amount = 999, currency = 'USD', named_order = 'o1', session_ref = 'cs_o1', "
                "provider = 'stripe', payment_ref = 'pi_1', outcome = 'applied'",
            )
        await passes(system)


async def execute(system: InProcess, statement: str) -> None:
    async with system.database.begin() as connection:
        assert (await connection.exec_driver_sql(statement)).rowcount == 1


# --- Money that goes, and comes again ---------------------------------------------------------------------------------


async def status_is(system: InProcess, order_id: str, status: str) -> None:
    async def there() -> bool:
        return (await order_of(system, order_id)).order.status == status

    await wait_until(there, f"{order_id} is {status}")


async def test_a_dispute_that_is_won_and_a_refund_that_fails_give_the_coins_again(settings: Settings) -> None:
    async with InProcess(settings) as system:
        await make(system, "o1", "ann")
        await hear(system, PAID)
        await credited(system, "o1")
        dispute = ProviderEvent("stripe", "evt-d", "disputed", None, "pi_1", 999, "USD", reversal_ref="dp_1")
        await hear(system, dispute)
        assert (await order_of(system, "o1")).order.status == "charged_back"
        for n in range(2):
            await hear(system, replace(dispute, kind="dispute_won", id=f"evt-w{n}"))
        await status_is(system, "o1", "credited")
        assert (await system.wallets.read("ann")).balance == 550
        await passes(system)
        refunded = replace(dispute, kind="refunded", id="evt-r", reversal_ref=None)
        await hear(system, refunded)
        await hear(system, replace(refunded, kind="refund_failed", id="evt-f", reversal_ref="re_1"))
        await status_is(system, "o1", "credited")
        assert (await system.wallets.read("ann")).balance == 550
        await hear(system, replace(refunded, id="evt-r2"))
        await wait_until(lambda: returned_in_all(system, 3 * 550), "the coins went three times")
        assert (await system.wallets.read("ann")).balance == 0
        await passes(system)
        # The audit sees money that came again without a word of the provider, and the reverse.
        await execute(system, "UPDATE order_events SET outcome = 'stale' WHERE event_id = 'evt-f'")
        code, said = await run_audit(system)
        assert code == 1
        assert "order o1: its money came again 2 times in the books, 1 times by the provider" in said


async def returned_in_all(system: InProcess, coins: int) -> bool:
    return (await order_of(system, "o1")).order.returned_coins == coins


@pytest.mark.slow
async def test_a_dispute_that_is_won_gives_no_coins_for_money_that_was_refunded_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refund and a dispute at the same time, and the dispute is heard of first; the last is the fault put back."""
    async with InProcess(settings) as system:
        for n in (1, 2):
            await make(system, f"o{n}", f"ann-{n}")
            await hear(system, replace(PAID, id=f"evt-p{n}", order_id=f"o{n}", payment_ref=f"pi_{n}", session_ref=None))
            await credited(system, f"o{n}")
        for n, status, code in ((1, "charged_back", 0), (2, "credited", 1)):
            dispute = ProviderEvent(
                "stripe", f"evt-d{n}", "disputed", f"o{n}", f"pi_{n}", 999, "USD", reversal_ref=f"dp_{n}"
            )
            await hear(system, dispute)
            await hear(system, replace(dispute, id=f"evt-r{n}", kind="refunded", reversal_ref=None))
            await wait_until(partial(returned, system, f"o{n}"), "the coins are taken")
            await hear(system, replace(dispute, id=f"evt-w{n}", kind="dispute_won"))
            await status_is(system, f"o{n}", status)
            assert (await run_audit(system))[0] == code
            monkeypatch.setattr(reversals, "_is_refunded", lambda _: False)
        _, said = await run_audit(system)
        assert "order o2: credited, but event evt-r2 (refunded) says that its money is gone" in said


@pytest.mark.slow
async def test_the_refund_of_a_second_payment_does_not_count_as_the_orders_own(settings: Settings) -> None:
    async with InProcess(settings) as system:
        await make(system, "o1", "ann")
        await hear(system, PAID)
        await credited(system, "o1")
        second = replace(PAID, id="evt-2", payment_ref="pi_2")
        await hear(system, second)
        await odd_payments.note_decision(system.database, "stripe", "evt-2", "refund", "root", "paid twice")
        await hear(system, replace(second, id="evt-r", kind="refunded"))
        dispute = ProviderEvent("stripe", "evt-d", "disputed", None, "pi_1", 999, "USD", reversal_ref="dp_1")
        await hear(system, dispute)
        await wait_until(lambda: returned(system, "o1"), "the coins are taken")
        await hear(system, replace(dispute, id="evt-w", kind="dispute_won"))
        await status_is(system, "o1", "credited")
        await passes(system)


async def test_a_promotion_is_decided_also_where_the_coins_come_by_the_end_of_a_refund(settings: Settings) -> None:
    """The refund has overtaken its payment, and fails: the coins come by that, within what a user may have."""
    async with InProcess(settings) as system:
        now = datetime.now(UTC)
        times = now - timedelta(hours=1), now + timedelta(hours=1)
        await put_promotion(system.database, Promotion("once", "coins-100", None, 50, *times, 1), "root")
        shop = Shop(system)
        made = [await shop.order("kim") for _ in range(2)]
        for n, order in enumerate(made):
            await said_of(system, order, "refunded", f"evt-r{n}")
            await said_of(system, order, "paid", f"evt-p{n}")
            await said_of(system, order, "refund_failed", f"evt-f{n}")
            await shop.becomes(order.order.id, "credited")
        granted = [found.promotion and found.promotion.granted for found in [await shop.read(o.order.id) for o in made]]
        assert granted == [True, False]
        assert (await system.wallets.read("kim")).balance == 250
        await passes(system)


async def said_of(system: InProcess, order: StoredOrder, kind: Any, event_id: str) -> None:
    made = order.order
    names = (made.id, order.provider_ref, made.amount, made.currency)
    await hear(system, ProviderEvent("sandbox", event_id, kind, *names, reversal_ref=f"re_{event_id[-1]}"))
