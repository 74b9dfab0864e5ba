"""Orders on the real ledger: any events in any order make the same money, and creators lose what they are to lose."""

import asyncio
from contextlib import suppress
from random import Random

import pytest
from sqlalchemy import text

from livegift.composition import audit_plan
from livegift.contract.errors import RequestError
from livegift.domain.payments import EventKind
from livegift.features.corrections import queries as corrections
from livegift.features.corrections.rules import Correction
from livegift.features.earnings.public import RefundTerms
from livegift.features.earnings.queries import Earnings, earnings_of
from livegift.features.orders import queries as orders
from livegift.features.orders.checks import wrong_orders
from livegift.features.orders.payment_events import ProviderEvent, apply
from livegift.features.orders.queries import NewOrder, StoredOrder
from livegift.features.orders.rules import Order, due_credits, due_returns
from livegift.features.payouts import queries as payouts
from livegift.features.payouts.checks import wrong_payouts
from livegift.ledger import audit
from livegift.ledger.engine import Database
from tests.booking import NOTHING_IN_REDIS, book
from tests.ledger.journals import Journal, accounts, arm

KEEPS = RefundTerms("creator_keeps", 24)
HOLDS = RefundTerms("hold_back", 24)


class Books:
    """One partition's journal and its orders."""

    def __init__(self, database: Database, partition: int = 3) -> None:
        self.database = database
        self.journal = Journal(partition)
        self._booked = 0
        self._events = 0

    async def book(self) -> None:
        piece = self.journal.slice(self._booked)
        self._booked = len(self.journal.entries)
        if piece.entries:
            await book(self.database, [piece])

    async def order(self, order_id: str, user: str, coins: int = 500, bonus: int = 0) -> Order:
        made = Order(order_id, user, coins, bonus, 999, "USD", "sandbox")
        return (await orders.create_order(self.database, NewOrder(made, "US", "hash"))).order

    async def hear(self, order: Order, kind: EventKind, terms: RefundTerms = KEEPS, event_id: str = "") -> StoredOrder:
        self._events += 1
        name = event_id or f"e{self._events}"
        event = ProviderEvent("sandbox", name, kind, order.id, None, order.amount, order.currency)
        applied = await apply(self.database, event, terms)
        assert applied is not None
        return applied[0]

    def move(self, order: Order) -> None:
        """The wallet's changes that are due, as Redis would take them: once per ref."""
        refs = {getattr(entry, "ref", "") for _, entry in self.journal.entries}
        for due in (*due_credits(order), *due_returns(order)):
            if due.ref not in refs:
                self.journal.credit(order.user, due.delta, due.ref.partition(":")[2], due.reason)

    async def paid(self, order_id: str, user: str, coins: int = 500) -> Order:
        order = await self.order(order_id, user, coins)
        self.move((await self.hear(order, "paid")).order)
        await self.book()
        return order

    async def gift(self, user: str, creator: str, coins: int) -> str:
        self.journal.gift(user, creator, coins)
        await self.book()
        position = self.journal.entries[-1][0]
        return f"{self.journal.partition}-{position.epoch}-{position.n}"

    async def reverse(self, order: Order, kind: EventKind = "refunded", terms: RefundTerms = HOLDS) -> None:
        self.move((await self.hear(order, kind, terms)).order)
        await self.book()

    async def earned(self, creator: str) -> Earnings:
        async with self.database.snapshot() as connection:
            return await earnings_of(connection, creator, 24)


async def passes(database: Database) -> None:
    async with database.snapshot() as connection:
        assert (await wrong_payouts(connection, NOTHING_IN_REDIS))[1] == []
        assert (await wrong_orders(connection, 86_400, 20))[1] == []
        assert (await audit.unbalanced_assets(connection))[1] == []
        assert await audit.wrong_accounts(connection, audit_plan().legs) == []


@pytest.fixture
async def books(database: Database) -> Books:
    await arm(database, range(8))
    return Books(database)


async def test_an_entry_under_the_ref_of_another_reason_is_no_entry_of_the_order(books: Books) -> None:
    order = await books.order("o1", "ann", bonus=7)
    books.move((await books.hear(order, "paid")).order)
    await books.book()
    await passes(books.database)
    async with books.database.begin() as connection:
        await connection.execute(text("UPDATE transfers SET ref = 'order:o1' WHERE ref = 'bonus:o1'"))
    async with books.database.snapshot() as connection:
        wrong = (await wrong_orders(connection, 86_400, 20))[1]
    assert "order o1: 0 entries 'bonus' of 0 coins in all, expected one of 7" in wrong
    assert "order order:o1: 1 entries 'bonus' of 7 coins in all, expected none" in wrong


KINDS: tuple[EventKind, ...] = ("paid", "declined", "expired", "refunded", "disputed")


@pytest.mark.parametrize("seed", range(12))
async def test_no_sequence_of_events_makes_or_loses_anything(books: Books, seed: int) -> None:
    rng = Random(seed)  # noqa: S311 - repeatable on purpose
    made = [await books.order(f"o{n}", f"u{n % 2}", 100 + n, rng.choice((0, 7))) for n in range(4)]
    truth: dict[str, set[str]] = {order.id: set() for order in made}
    for _ in range(40):
        order, kind = rng.choice(made), rng.choice(KINDS)
        before = await accounts(books.database)
        event_id = rng.choice(("", f"{order.id}-{kind}"))
        after = (await books.hear(order, kind, rng.choice((KEEPS, HOLDS)), event_id)).order
        truth[order.id].add(kind)
        if rng.random() < 0.7:
            books.move(after)
        if rng.random() < 0.3:
            await books.gift(order.user, rng.choice(("bob", "eve")), rng.randint(1, 50))
        await books.book()
        changed = await accounts(books.database)
        # Conservation: within each asset nothing appears or disappears.
        assert sum(changed.values()) == sum(before.values()) == 0
    for order in made:
        last = (await books.hear(order, "declined")).order  # changes nothing but what is still open
        books.move(last)
    await books.book()
    there = await accounts(books.database)
    kept = [o for o in made if "paid" in truth[o.id] and not truth[o.id] & {"refunded", "disputed"}]
    assert there.get("money:sold:USD", 0) == 999 * len(kept)
    await passes(books.database)


async def test_creators_keep_what_they_have_by_default(books: Books) -> None:
    order = await books.paid("o1", "kim")
    await books.gift("kim", "bob", 300)
    await books.reverse(order, terms=KEEPS)
    assert (await books.earned("bob")).total == 300
    await passes(books.database)


async def test_coins_of_a_gift_that_is_being_undone_are_missing_nowhere(books: Books) -> None:
    """The money goes back while the coins of another gift are on their way to the wallet: they will pay for that."""
    order = await books.paid("o1", "kim", 100)
    books.journal.credit("kim", 100)
    undone = await books.gift("kim", "bob", 100)
    await books.gift("kim", "eve", 100)
    wanted = await corrections.revocation_of(books.database, "c1", undone, "undone", "kim")
    await corrections.request(books.database, wanted)
    await corrections.record_decision(books.database, "c1", "undo-window", approve=True)
    await books.hear(order, "refunded", HOLDS)
    assert (await books.earned("eve")).total == 100, "her gift was paid for"


@pytest.mark.parametrize("kind", ["refunded", "disputed"])
async def test_pending_diamonds_go_with_their_money_once(books: Books, kind: EventKind) -> None:
    order = await books.paid("o1", "kim")
    books.journal.credit("lea", 100)
    await books.gift("lea", "bob", 100)
    await books.gift("kim", "bob", 120)
    await books.gift("kim", "eve", 180)
    await books.hear(order, kind, HOLDS)
    await books.reverse(order, kind)
    bob, eve = await books.earned("bob"), await books.earned("eve")
    assert (bob.total, bob.pending, eve.total, eve.pending) == (100, 100, 0, 0)
    await passes(books.database)


async def test_only_what_the_wallet_can_not_give_back(books: Books) -> None:
    order = await books.paid("o1", "kim", 500)
    books.journal.credit("kim", 450, ref="more")
    await books.gift("kim", "bob", 500)  # 450 are left of 950, so 50 are missing
    await books.reverse(order)
    assert (await books.earned("bob")).total == 450
    await passes(books.database)


async def test_what_was_sent_before_and_what_is_available_already_stays(books: Books) -> None:
    books.journal.credit("kim", 100)
    await books.gift("kim", "bob", 100)
    order = await books.paid("o1", "kim", 500)
    await books.gift("kim", "bob", 200)
    async with books.database.begin() as connection:
        await connection.execute(text("UPDATE earned_hours SET hour = hour - interval '30 hours'"))
        await connection.execute(text("UPDATE batches SET booked_at = booked_at - interval '30 hours'"))
    await books.gift("kim", "bob", 50)
    await books.reverse(order)
    assert (await books.earned("bob")).total == 300
    await passes(books.database)


async def test_two_orders_never_hold_back_a_gift_twice(books: Books) -> None:
    first, second = await books.paid("o1", "kim", 100), await books.paid("o2", "kim", 100)
    await books.gift("kim", "bob", 150)
    await books.reverse(first)
    assert (await books.earned("bob")).total == 100
    await books.reverse(second)
    assert (await books.earned("bob")).total == 0
    await passes(books.database)


async def test_a_revocation_takes_only_what_was_not_held_back(books: Books) -> None:
    order = await books.paid("o1", "kim", 100)
    first, second = await books.gift("kim", "bob", 40), await books.gift("kim", "bob", 60)
    await corrections.request(
        books.database, await corrections.revocation_of(books.database, "c1", second, "fraud", "root")
    )
    await books.reverse(order)  # what is about to be revoked is left alone
    assert (await books.earned("bob")).total == 60
    wanted: Correction = await corrections.revocation_of(books.database, "c2", first, "fraud", "root")
    assert [(await corrections.request(books.database, wanted)).gift.diamonds for _ in range(2)] == [0, 0]  # type: ignore[union-attr]
    for name in ("c1", "c2"):
        await corrections.record_decision(books.database, name, "second", approve=True)
    assert (await books.earned("bob")).available == 0
    for name, gift in (("c1", second), ("c2", first)):
        books.journal.revoke(int(gift.rpartition("-")[2]) - 1, name)
    await books.book()
    assert (await books.earned("bob")).total == 0
    await passes(books.database)


async def test_refunds_bookings_and_payouts_at_the_same_time_end(books: Books, database: Database) -> None:
    for creator in ("bob", "eve"):
        await payouts.write_account(database, creator, payouts.BankAccount("Bob", "DE89370400440532013000"))
    other = Books(database, partition=4)
    made = []
    for n in range(6):
        made.append(await books.paid(f"o{n}", f"u{n}", 300))
        for creator in ("bob", "eve"):
            await books.gift(f"u{n}", creator, 150)
    other.journal.credit("joe", 10_000)

    async def keep_giving() -> None:
        for n in range(30):
            await other.gift("joe", ("bob", "eve")[n % 2], 10)

    async def ask(n: int) -> None:
        terms = payouts.PayoutTerms(10, 10**6, 5_000, 0)
        with suppress(RequestError):  # as the diamonds may be gone by then
            await payouts.request_payout(database, f"p{n}", ("bob", "eve")[n % 2], 100, terms)

    async with asyncio.timeout(60):
        await asyncio.gather(
            keep_giving(), *(books.hear(o, "disputed", HOLDS) for o in made), *(ask(n) for n in range(12))
        )
    await passes(database)
    assert (await accounts(database))["diamonds:user:bob"] >= 0
