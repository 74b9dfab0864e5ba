"""Orders among the faults: what the provider knows, which webhooks are delivered in the end, and the final checks."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from livegift.payments.sandbox import State
from tests.faults.commerce import (
    BAD,
    ENDS,
    RETURNABLE,
    RETURNABLE_COINS,
    RETURNABLE_PRICE,
    RETURNABLE_REGION,
    WEBS,
    Buy,
    Deliver,
    Reverse,
    Withdraw,
)
from tests.faults.patience import Patience, wait_patiently
from tests.faults.provider import FORM, SECRETS, Purchase, Webhooks

if TYPE_CHECKING:
    from tests.faults.world import World
SELL_TIMEOUT_S = 30.0


class Purchases(Webhooks):
    """All keys. Unknown answers are asked for again in the end, and all webhooks delivered until they are accepted."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.of_key: dict[str, Purchase] = {}

    async def sell(self) -> None:
        """Add the package that can be withdrawn. Raises NotInTimeError."""
        currency, amount = RETURNABLE_PRICE
        price = {"region": RETURNABLE_REGION, "currency": currency, "amount": amount}
        system, web = self.world.system, 0

        async def sold() -> bool:
            nonlocal web
            web = web % WEBS + 1
            token, body = system.token("root", "admin"), {"coins": RETURNABLE_COINS, "prices": [price]}
            path = f"/v1/admin/coin-packages/{RETURNABLE}"
            status, _ = await asyncio.to_thread(system.http, "PUT", path, body, token=token, web=f"web {web}")
            return status == 200

        await wait_patiently(sold, f"{RETURNABLE} is sold", SELL_TIMEOUT_S)

    def _some(self, pick: int, package: str | None = None) -> Purchase | None:
        there = [p for p in self.of_key.values() if p.order is not None and package in (None, p.buy.package)]
        return there[pick % len(there)] if there else None

    async def buy(self, buy: Buy) -> None:
        purchase = self.of_key.setdefault(buy.key, Purchase(buy))
        await asyncio.gather(*(self._order(purchase, web) for web in buy.webs))

    async def _order(self, purchase: Purchase, web: int) -> None:
        buy, system = purchase.buy, self.world.system
        status, answer = await asyncio.to_thread(
            system.http,
            "POST",
            "/v1/orders",
            {"package_id": buy.package} | ({"region": RETURNABLE_REGION} if buy.package == RETURNABLE else {}),
            token=system.token(buy.user),
            web=f"web {web + 1}",
            key=buy.key,
        )
        self.answers[f"order {status}"] += 1
        if status != 201:
            return
        if purchase.order is not None and purchase.order["id"] != answer["id"]:
            self.wrong.append(f"key {buy.key} is {purchase.order['id']} and {answer['id']}")
        if answer["checkout_url"]:
            purchase.order = answer

    # --- The provider speaks ------------------------------------------------------------------------------------------

    async def deliver(self, deal: Deliver) -> None:
        purchase = self._some(deal.pick)
        if purchase is None:
            return
        if deal.how == "foreign":
            await self.deliver_foreign(purchase, deal)
        elif deal.how in BAD:
            await self.deliver_bad(purchase, deal)
        elif deal.how == "declined":
            await self.say(purchase, "declined", deal.web)
        elif deal.how == "page":
            purchase.paid = True
            path = "/v1/payments/sandbox/checkout/" + purchase.payment.ref
            status = await self.post(path, b"decision=pay", FORM, deal.web)
            self.answers[f"page {status}"] += 1
        else:
            purchase.paid = True
            secrets = SECRETS[1:] if deal.how == "old secret" else SECRETS
            webs = (0, 1) if deal.how == "both webs" else (deal.web,)
            await asyncio.gather(*(self.say(purchase, "paid", web, secrets) for web in webs))

    # --- Money goes back ----------------------------------------------------------------------------------------------

    async def reverse(self, deal: Reverse) -> None:
        purchase = self._some(deal.pick)
        if purchase is None or purchase.came_back:
            return
        if deal.how in ("won", "failed"):
            await self._reverse_for_a_while(purchase, deal)
            return
        purchase.is_touched = True
        acts = {
            "admin": (self._refund(purchase, deal.web),),
            "admin twice": (self._refund(purchase, 0), self._refund(purchase, 1)),
            "refunded": (self._reversed(purchase, "refunded", deal.web),),
            "disputed": (self._reversed(purchase, "disputed", deal.web),),
            "all at once": (
                self._refund(purchase, 0),
                self._reversed(purchase, "disputed", 1),
                self.say(purchase, "paid", 0),
            ),
        }
        for name, unused in acts.items():
            if name != deal.how:
                for act in unused:
                    act.close()
        if deal.how == "all at once":
            purchase.paid = True
        await asyncio.gather(*acts[deal.how])

    async def _reverse_for_a_while(self, purchase: Purchase, deal: Reverse) -> None:
        """Reverse for a while. The sandbox has no names for disputes, so their events come in order, but twice."""
        if purchase.is_touched or purchase.is_withdrawal_tried:
            return
        purchase.paid = True  # as in `_reversed`
        purchase.came_back = "dispute_won" if deal.how == "won" else "refund_failed"
        if await self.say(purchase, ENDS[purchase.came_back], deal.web):
            await asyncio.gather(*(self.end(purchase, web) for web in range(WEBS)))

    async def _reversed(self, purchase: Purchase, state: State, web: int) -> bool:
        # No provider sends that for a payment that never was; it may overtake the event of the payment.
        purchase.paid = True
        purchase.reversals.add(state)
        return await self.say(purchase, state, web)

    async def _refund(self, purchase: Purchase, web: int) -> bool:
        assert purchase.order is not None
        system = self.world.system
        path = f"/v1/admin/orders/{purchase.order['id']}/refund"
        status, answer = await asyncio.to_thread(
            system.http, "POST", path, token=system.token("root", "admin"), web=f"web {web + 1}"
        )
        self.answers[f"refund {status}"] += 1
        if status == 200:
            purchase.reversals.add("refunded")
        elif status == 0 or status >= 500:
            purchase.is_refund_unknown = True
            return False
        elif status != 409:
            self.wrong.append(f"the refund of {purchase.order['id']} got {status} {answer}")
        return True

    async def withdraw(self, deal: Withdraw) -> None:
        purchase = self._some(deal.pick, RETURNABLE)
        if purchase is None:
            return
        if deal.how == "all of a user":
            mine = [p for p in self.of_key.values() if p.order and p.buy.user == purchase.buy.user]
            await asyncio.gather(*(self.give_back(p, web) for p in mine[-5:] for web in range(WEBS)))
        else:
            webs = range(WEBS) if deal.how == "both webs" else (deal.web,)
            await asyncio.gather(*(self.give_back(purchase, web) for web in webs))

    async def buy_and_pay(self, buy: Buy) -> Purchase | None:
        """Return an order whose coins are there or on their way; None when it got no answer."""
        await self.buy(buy)
        purchase = self.of_key[buy.key]
        if purchase.order is None:
            return None
        purchase.paid = True
        await self.say(purchase, "paid", buy.webs[0])
        return purchase

    async def give_back(self, purchase: Purchase, web: int) -> None:
        """Withdraw an order as its buyer."""
        assert purchase.order is not None
        if purchase.came_back:
            return
        purchase.is_withdrawal_tried = True
        system, path = self.world.system, f"/v1/orders/{purchase.order['id']}/withdraw"
        token = system.token(purchase.buy.user)
        status, answer = await asyncio.to_thread(system.http, "POST", path, token=token, web=f"web {web + 1}")
        said = answer.get("status" if status == 200 else "code", "") if isinstance(answer, dict) else ""
        self.answers[f"withdraw {status} {said}"] += 1
        if status == 200 and said == "refunded":
            purchase.is_withdrawn = True

    # --- In the end ---------------------------------------------------------------------------------------------------

    async def settle(self, patience: Patience) -> list[str]:
        """Repeat all requests; then deliver whatever the provider knows, until it is accepted."""
        web = 0
        while (left := [p for p in self.of_key.values() if p.order is None]) and not patience.is_over:
            await asyncio.gather(*(self._order(p, web) for p in left))
            web = 1 - web
        late = [f"{patience}: order {p.buy.key} was never answered" for p in left]
        untold = [p for p in self.of_key.values() if p.order is not None]
        while untold and not patience.is_over:
            told = await asyncio.gather(*(self._tell(p, web) for p in untold))
            untold = [p for p, done in zip(untold, told, strict=True) if not done]
            web = 1 - web
        return late + [f"{patience}: what became of order {p.buy.key} was never taken" for p in untold]

    async def _tell(self, purchase: Purchase, web: int) -> bool:
        if purchase.paid and not await self.say(purchase, "paid", web):
            return False
        if purchase.came_back and not (
            await self.say(purchase, ENDS[purchase.came_back], web) and await self.end(purchase, web)
        ):
            return False
        for state in sorted(purchase.reversals):
            if not await self.say(purchase, state, web):
                return False
        return not purchase.is_refund_unknown or await self._refund(purchase, web)

    async def unfinished(self) -> list[str]:
        """Return orders that are not in their final state yet; the sweep has a few seconds."""
        rows = {
            row[0]: row[1:]
            for row in await self.world.query(
                "SELECT id, status, paid_at IS NOT NULL, coins + bonus_coins, credited_coins, "
                "returned_coins - restored_coins, bonus_coins, promotion_granted FROM orders"
            )
        }
        for p in self.of_key.values():
            if p.order and (row := rows.get(p.order["id"])):
                # Whether it has the promotion was decided when it was paid, and not by us.
                p.is_credited, p.order["bonus_coins"], p.has_promotion = row[1], row[5], bool(row[6])
                if p.is_withdrawal_tried and not p.is_overdraft_right:
                    p.is_withdrawn = p.is_withdrawn or row[0] == "refunded"
        return [line for p in self.of_key.values() if p.order for line in unfinished(p, rows.get(p.order["id"]))]

    async def check(self) -> list[str]:
        """Check that money and coins are what the provider's truth says, once."""
        wrong = list(self.wrong)
        moved = await self.world.query(
            "SELECT ref, count(*), sum(amount), min(balance) FROM transfers WHERE reason IN "
            "('order', 'bonus', 'refund', 'chargeback', 'withdrawal', 'restored') GROUP BY 1"
        )
        known = {p.order["id"]: p for p in self.of_key.values() if p.order}
        for ref, times, coins, balance in moved:
            what, order_id, *_ = ref.split(":")
            order = known[order_id].order if order_id in known else None
            if order is None:
                wrong.append(f"{ref}: nobody has it, its coins have moved")
            else:
                expected = {"order": order["coins"], "bonus": order["bonus_coins"]}
                if (times, int(coins)) != (1, expected.get(what, order["coins"] + order["bonus_coins"])):
                    wrong.append(f"{ref}: {times} times, {coins} coins, for {order}")
                if what not in expected and balance < 0 and not known[order_id].is_overdraft_right:
                    wrong.append(f"{ref}: its buyer has got the money for coins that were spent: {balance} are left")
        money: Counter[str] = Counter()
        for p in known.values():
            if p.order and p.paid and not p.reversals and not p.is_withdrawn:
                money[p.order["currency"]] += p.order["amount"]
        accounts = "SELECT name, -balance FROM accounts WHERE name LIKE 'money:provider:sandbox:%'"  # what it owes us
        owed = {name.rpartition(":")[2]: int(amount) for name, amount in await self.world.query(accounts)}
        wrong += [
            f"the provider has {money[currency]} {currency}, the ledger says {owed.get(currency, 0)}"
            for currency in money.keys() | owed.keys()
            if owed.get(currency, 0) != money[currency]
        ]
        return wrong + list(self._promotions(known.values()))

    def _promotions(self, purchases: Iterable[Purchase]) -> Iterable[str]:
        """Yield what is wrong: a promotion that a user got more than once, or extra coins without one."""
        uses: Counter[str] = Counter()
        for purchase in purchases:
            uses[purchase.buy.user] += purchase.has_promotion
            if purchase.is_credited and purchase.order and purchase.order["bonus_coins"] and not purchase.has_promotion:
                yield f"{purchase} has a bonus without the promotion"
        for user, count in uses.items():
            if count > 1:
                yield f"user {user} has had the promotion {count} times"

    def coins(self) -> Counter[str]:
        """Return the coins that wallets have from purchases in the end."""
        sums: Counter[str] = Counter()
        for purchase in self.of_key.values():
            if purchase.order:
                sums[purchase.buy.user] += purchase.net_coins
        return sums


def unfinished(purchase: Purchase, row: tuple[Any, ...] | None) -> Iterable[str]:
    assert purchase.order is not None
    name = f"order {purchase.order['id']} ({purchase})"
    if row is None:
        yield f"{name}: not in the ledger"
        return
    status, pays, total, credited, returned, *_ = row
    if purchase.reversals or purchase.is_withdrawn:
        right = status in ("refunded", "charged_back") and (not pays or credited == returned == total)
    elif purchase.paid:
        right = status == "credited" and (credited, returned) == (total, 0)
    else:
        right = status in ("created", "declined", "expired") and (credited, returned) == (0, 0)
    if not right:
        yield f"{name}: the ledger has {row}"
