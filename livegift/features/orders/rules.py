"""The state machine of an order, as pure functions: payment events in, the new state and its postings out.

created -> paid -> credited -> refunded or charged_back. Before it is paid, an order can also be declined or expired;
neither is final, because providers let people try again and deliver late: money that came is always honoured.

A buyer's own withdrawal takes the coins first: credited -> withdrawing -> refunded, or, if the provider refuses to
return the money, -> restoring -> credited. What was taken and given back is counted from the entries that the ledger
has booked, so the same coins are due in the end, whatever is repeated, lost or late.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from livegift.contract.errors import RequestError
from livegift.domain.currencies import round_up
from livegift.domain.payments import EventKind, Payment
from livegift.domain.postings import Transfer
from livegift.features.orders.errors import ORDER_NOT_PAID

Status = Literal[
    "created", "declined", "expired", "paid", "credited", "withdrawing", "restoring", "refunded", "charged_back"
]
PostingReason = Literal["sale", "refund", "chargeback", "reinstated"]
# The outcome of an event: 'stale' changes nothing because something later is known, 'mismatch' has another amount,
# currency or payment than the order, 'partial' gives back only a part, 'duplicate' is a second payment: the last three
# need an operator.
Outcome = Literal["applied", "stale", "mismatch", "partial", "duplicate"]
FOR_A_PERSON: frozenset[Outcome] = frozenset({"mismatch", "partial", "duplicate"})

WITHDRAWAL = "withdrawal"
RESTORED = "restored"

UNPAID: frozenset[Status] = frozenset({"created", "declined", "expired"})
REVERSED: frozenset[Status] = frozenset({"refunded", "charged_back"})


@dataclass(frozen=True, slots=True)
class Order:
    """An order of coins. `amount` is in minor units; the last `*_coins` count what the ledger has booked so far.

    `credits` says whether coins were or will be credited: not when the first event of the payment was its end.
    `withdrawn`: coins are taken under the withdrawal's ref, whatever else happens to the order meanwhile.
    """

    id: str
    user: str
    coins: int
    bonus_coins: int
    amount: int
    currency: str
    provider: str
    status: Status = "created"
    credits: bool = False
    credited_coins: int = 0
    returned_coins: int = 0
    restored_coins: int = 0
    withdrawn: bool = False

    @property
    def total_coins(self) -> int:
        """Return the coins that the wallet gets in all."""
        return self.coins + self.bonus_coins

    @property
    def taken_coins(self) -> int:
        """Return the coins that were taken and not given back, as far as that is booked."""
        return self.returned_coins - self.restored_coins

    @property
    def round_suffix(self) -> str:
        """Return a suffix that distinguishes this round of returning the order from earlier ones, in unique names."""
        round_ = self.restored_coins // self.total_coins
        return f"-{round_ + 1}" if round_ else ""

    @property
    def coins_are_back(self) -> bool:
        """Return whether the wallet has given back all that the order gave it."""
        return self.credits and self.taken_coins >= self.total_coins


class OrderTransition(NamedTuple):
    """The order after an event, and the reasons for which its money is posted in the same transaction."""

    order: Order
    postings: tuple[PostingReason, ...]
    outcome: Outcome


class DueChange(NamedTuple):
    """A change of the wallet that is due, once per `ref`."""

    ref: str
    delta: int
    reason: str


def apply_event(order: Order, kind: EventKind, amount: int, currency: str) -> OrderTransition:
    """Return `order` after an event of its payment. `amount` is the total paid or given back.

    Any number of events in any order lead to the same money: a payment is counted once, and given back once.
    """
    if kind in ("declined", "expired"):
        # Only while nothing else is known; declined and expired say the same, the first one stays.
        if order.status != "created":
            return OrderTransition(order, (), "stale")
        return OrderTransition(replace(order, status="declined" if kind == "declined" else "expired"), (), "applied")
    if currency != order.currency or amount > order.amount:
        return OrderTransition(order, (), "mismatch")
    if kind == "paid":
        if order.status not in UNPAID:
            return OrderTransition(order, (), "stale")
        if amount != order.amount:
            return OrderTransition(order, (), "mismatch")
        # After the ledger was set back the coins may be booked already.
        return OrderTransition(_settled(replace(order, status="paid", credits=True)), ("sale",), "applied")
    if order.status in REVERSED:
        return OrderTransition(order, (), "stale")
    if amount != order.amount:
        return OrderTransition(order, (), "partial")
    reason: PostingReason = "refund" if kind == "refunded" else "chargeback"
    after = replace(order, status="refunded" if kind == "refunded" else "charged_back")
    # Heard of before the payment itself: money has come and gone, coins never move.
    postings: tuple[PostingReason, ...] = ("sale", reason) if order.status in UNPAID else (reason,)
    return OrderTransition(after, postings, "applied")


def entry_booked(order: Order, delta: int, reason: str) -> Order:
    """Return `order` after one of its wallet's entries was booked; it is credited once all of them are.

    What is booked has happened: a withdrawal whose coins were taken after all goes on, even if the buyer was told
    earlier that they were not there.
    """
    if delta < 0:
        taken = replace(order, returned_coins=order.returned_coins - delta)
        return _settled(replace(taken, withdrawn=True) if reason == WITHDRAWAL else taken)
    if reason == RESTORED:
        return _settled(replace(order, restored_coins=order.restored_coins + delta))
    return _settled(replace(order, credited_coins=order.credited_coins + delta))


def _settled(order: Order) -> Order:
    if order.status in ("paid", "credited") and order.withdrawn and order.coins_are_back:
        return replace(order, status="withdrawing")
    if order.status == "restoring" and order.taken_coins <= 0:
        return replace(order, status="credited", withdrawn=False)
    complete = order.status == "paid" and order.credited_coins >= order.total_coins
    return replace(order, status="credited") if complete else order


# --- The wallet -------------------------------------------------------------------------------------------------------


def due_credits(order: Order) -> tuple[DueChange, ...]:
    """Return the credits of an order that are not known to be booked."""
    if not order.credits or order.credited_coins >= order.total_coins:
        return ()
    return wallet_credits(order)


def wallet_credits(order: Order) -> tuple[DueChange, ...]:
    """Return an order's credits, booked or not. Bonus coins are separate: they come from another account."""
    bonus = DueChange(f"bonus:{order.id}", order.bonus_coins, "bonus")
    return (DueChange(f"order:{order.id}", order.coins, "order"), *((bonus,) if order.bonus_coins else ()))


def due_returns(order: Order) -> tuple[DueChange, ...]:
    """Return the changes that take the coins back, or give back what was taken in excess.

    They come after all `due_credits`, so that no credit can come later. Each round of taking and giving back has refs
    of its own.
    """
    wanted = order.total_coins if order.status in (*REVERSED, "withdrawing") else 0
    if not order.credits or order.taken_coins == wanted:
        return ()
    if order.taken_coins > wanted:
        back = order.taken_coins - wanted
        return (DueChange(_ref("restored", order, order.restored_coins // order.total_coins), back, RESTORED),)
    reason = "refund" if order.status == "refunded" else "chargeback"
    if order.withdrawn:
        reason = WITHDRAWAL
    return (DueChange(_ref(reason, order, order.restored_coins // order.total_coins), -order.total_coins, reason),)


def _ref(reason: str, order: Order, round_: int) -> str:
    return f"{reason}:{order.id}" + (f":{round_ + 1}" if round_ else "")


def order_id_of(ref: str) -> str:
    """Return the id of the order in a due change's ref. Ids of orders have no colons."""
    return ref.partition(":")[2].partition(":")[0]


# --- A buyer's withdrawal ---------------------------------------------------------------------------------------------


def begin_withdrawal(order: Order) -> Order:
    """Return `order` with its coins being taken; repeating it is harmless.

    Raises RequestError('order_not_paid', or 'conflict' while the coins of a refused withdrawal are being returned).
    """
    if order.status in UNPAID:
        raise RequestError(ORDER_NOT_PAID)
    if order.status == "restoring":
        raise RequestError("conflict", "The money could not be given back: the coins are on their way to the wallet.")
    if order.status in ("paid", "credited") and order.credits:
        return replace(order, status="withdrawing", withdrawn=True)
    return order


def coins_refused(order: Order) -> Order:
    """Return `order` as it was before the withdrawal, because its coins are no longer in the wallet."""
    if order.status != "withdrawing" or order.coins_are_back:
        return order
    complete = order.credited_coins >= order.total_coins
    return replace(order, status="credited" if complete else "paid", withdrawn=False)


def money_refused(order: Order) -> Order:
    """Return `order` after the provider has finally refused to return the money: the coins are due again."""
    return replace(order, status="restoring") if order.status == "withdrawing" and order.coins_are_back else order


# --- Money ------------------------------------------------------------------------------------------------------------


def transfers_of(reason: PostingReason, order: Order) -> tuple[Transfer, ...]:
    """Return the transfers of a posting. An account has one asset, so its name ends with the currency."""
    at_provider = f"money:provider:{order.provider}:{order.currency}"
    sold = f"money:sold:{order.currency}"
    if reason in ("sale", "reinstated"):
        return (Transfer(order.currency, at_provider, sold, order.amount),)
    return (Transfer(order.currency, sold, at_provider, order.amount),)


# --- Prices -----------------------------------------------------------------------------------------------------------


class CoinPrice(NamedTuple):
    """A price of `amount` minor units of `currency` for `coins`."""

    coins: int
    amount: int
    currency: str


def base_price(prices: Iterable[CoinPrice]) -> CoinPrice | None:
    """Return the price without a discount for quantity, which has the highest price per coin; None without prices."""
    best: CoinPrice | None = None
    for price in prices:
        if best is None or price.amount * best.coins > best.amount * price.coins:
            best = price
    return best


def shortfall_offer(coins: int, price: CoinPrice, amount_min: int, step: int = 1) -> CoinPrice:
    """Return an offer of at least `coins` at `price`, rounded up to `step` minor units and to `amount_min`.

    Where the amount grows, the coins grow with it: nobody pays for coins that they don't get.
    """
    amount = max(round_up(-(-coins * price.amount // price.coins), step), round_up(amount_min, step))
    return CoinPrice(max(coins, amount * price.coins // price.amount), amount, price.currency)


# --- Reconciliation ---------------------------------------------------------------------------------------------------


def differences(orders: Mapping[str, Order], payments: Iterable[Payment]) -> list[str]:
    """Return the differences between the provider's payments and our orders, one sentence each.

    `payments` has all that were paid.
    """
    found: list[str] = []
    seen: dict[str, Payment] = {}
    for payment in payments:
        order = orders.get(payment.order_id or "")
        if order is None:
            found.append(f"payment {payment.ref}: no order {payment.order_id or '(none named)'}")
            continue
        if order.id in seen:
            found.append(f"order {order.id}: paid twice, by {seen[order.id].ref} and by {payment.ref}")
        seen[order.id] = payment
        found += [f"order {order.id} (payment {payment.ref}): {wrong}" for wrong in _compared(order, payment)]
    missing = [order for order in orders.values() if order.status not in UNPAID and order.id not in seen]
    found += [f"order {order.id}: {order.status} here, the provider knows no payment" for order in missing]
    return found


def _compared(order: Order, payment: Payment) -> list[str]:
    wrong = []
    if (payment.amount, payment.currency) != (order.amount, order.currency):
        wrong.append(f"{payment.amount} {payment.currency} there, {order.amount} {order.currency} here")
    there = "charged back" if payment.disputed else f"{payment.refunded} refunded" if payment.refunded else "paid"
    reversed_there = payment.disputed or payment.refunded >= payment.amount
    partly = 0 < payment.refunded < payment.amount and not payment.disputed
    if order.status in UNPAID or reversed_there != (order.status in REVERSED) or partly:
        wrong.append(f"{there} there, {order.status} here")
    return wrong
