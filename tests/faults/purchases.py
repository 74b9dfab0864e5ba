"""Orders among the faults: what the provider knows, which webhooks deliver in the end, and what became of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livegift.payments.sandbox import Sandbox, SandboxPayment, State
from tests.faults.commerce import BAD, PROMOTED, Buy, Deliver, Reverse
from tests.faults.patience import Patience

if TYPE_CHECKING:
    from tests.faults.world import World

SECRETS = ("the newest secret of the sandbox provider", "the secret that was the newest one before")
GONE = ("a secret that was taken out long ago",)
FOREIGN = ("a secret that only somebody else knows",)
TOO_OLD_S = 3_600
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(slots=True)
class Purchase:
    """One key. What the provider knows: whether it was paid, and how it was given back."""

    buy: Buy
    order: dict[str, Any] | None = None
    is_refused: bool = False
    paid: bool = False
    declined: bool = False
    reversals: set[State] = field(default_factory=set)
    is_refund_unknown: bool = False

    @property
    def payment(self) -> SandboxPayment:
        assert self.order is not None
        ref = self.order["checkout_url"].rpartition("/")[2]
        return SandboxPayment(ref, self.order["id"], self.order["amount"], self.order["currency"], "open")

    @property
    def net_coins(self) -> int:
        """What the wallet has in the end."""
        assert self.order is not None
        stays = self.paid and not self.reversals
        return int(self.order["coins"] + self.order["bonus_coins"]) if stays else 0


class Purchases:
    """All keys. Unknown answers are asked for again in the end, and all webhooks are delivered until they are taken."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.of_key: dict[str, Purchase] = {}
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    def _some(self, pick: int) -> Purchase | None:
        there = [purchase for purchase in self.of_key.values() if purchase.order is not None]
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
            {"package_id": buy.package},
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
        if deal.how in BAD:
            await self._deliver_bad(purchase, deal)
        elif deal.how == "declined":
            purchase.declined = True
            await self._say(purchase, "declined", deal.web)
        elif deal.how == "page":
            purchase.paid = True
            path = "/v1/payments/sandbox/checkout/" + purchase.payment.ref
            status = await self._post(path, b"decision=pay", FORM, deal.web)
            self.answers[f"page {status}"] += 1
        else:
            purchase.paid = True
            secrets = SECRETS[1:] if deal.how == "old secret" else SECRETS
            webs = (0, 1) if deal.how == "both webs" else (deal.web,)
            await asyncio.gather(*(self._say(purchase, "paid", web, secrets) for web in webs))

    async def _deliver_bad(self, purchase: Purchase, deal: Deliver) -> None:
        payment = purchase.payment._replace(state="paid")
        if deal.how == "another amount":
            # It is signed, so it is taken, and a person has to look; it is an event of its own.
            other = payment._replace(ref=f"{payment.ref}-{deal.pick}", amount=payment.amount * 2)
            headers, body = Sandbox(SECRETS, None).webhook(other, time.time())  # type: ignore[arg-type]
            self.answers[f"another amount {await self._webhook(headers, body, deal.web)}"] += 1
            return
        secrets = {"no secret of ours": FOREIGN, "a secret that is gone": GONE}.get(deal.how, SECRETS)
        at = time.time() - (TOO_OLD_S if deal.how == "too old" else 0)
        headers, body = Sandbox(secrets, None).webhook(payment, at)  # type: ignore[arg-type]
        if deal.how == "changed":
            body = body.replace(b'"amount":', b'"amount":1')
        status = await self._webhook(headers, body, deal.web)
        self.answers[f"bad {status}"] += 1
        if 200 <= status < 300:
            self.wrong.append(f"a webhook with {deal.how} was taken: {body!r}")

    async def _say(self, purchase: Purchase, state: State, web: int, secrets: tuple[str, ...] = SECRETS) -> bool:
        payment = purchase.payment._replace(state=state)
        headers, body = Sandbox(secrets, None).webhook(payment, time.time())  # type: ignore[arg-type]
        status = await self._webhook(headers, body, web)
        self.answers[f"{state} {status}"] += 1
        return status == 200

    async def _webhook(self, headers: dict[str, str], body: bytes, web: int) -> int:
        return await self._post("/v1/payments/sandbox/webhook", body, headers, web)

    async def _post(self, path: str, body: bytes, headers: dict[str, str], web: int) -> int:
        status, _ = await asyncio.to_thread(self.world.system.post, path, body, headers, f"web {web + 1}")
        return status

    # --- Money goes back ----------------------------------------------------------------------------------------------

    async def reverse(self, deal: Reverse) -> None:
        purchase = self._some(deal.pick)
        if purchase is None:
            return
        acts = {
            "admin": (self._refund(purchase, deal.web),),
            "admin twice": (self._refund(purchase, 0), self._refund(purchase, 1)),
            "refunded": (self._reversed(purchase, "refunded", deal.web),),
            "disputed": (self._reversed(purchase, "disputed", deal.web),),
            "all at once": (
                self._refund(purchase, 0),
                self._reversed(purchase, "disputed", 1),
                self._say(purchase, "paid", 0),
            ),
        }
        for name, unused in acts.items():
            if name != deal.how:
                for act in unused:
                    act.close()
        if deal.how == "all at once":
            purchase.paid = True
        await asyncio.gather(*acts[deal.how])

    async def _reversed(self, purchase: Purchase, state: State, web: int) -> bool:
        # No provider says that of a payment that never was; its own word may overtake the one that it was paid.
        purchase.paid = True
        purchase.reversals.add(state)
        return await self._say(purchase, state, web)

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

    # --- In the end ---------------------------------------------------------------------------------------------------

    async def settle(self, patience: Patience) -> list[str]:
        """Repeat all that was asked for; then whatever the provider knows, as it does until it is taken."""
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
        if purchase.paid and not await self._say(purchase, "paid", web):
            return False
        for state in sorted(purchase.reversals):
            if not await self._say(purchase, state, web):
                return False
        return not purchase.is_refund_unknown or await self._refund(purchase, web)

    async def unfinished(self) -> list[str]:
        """Orders that are not yet what they are to be; the sweep has a few seconds."""
        rows = {
            row[0]: row[1:]
            for row in await self.world.query(
                "SELECT id, status, paid_at IS NOT NULL, coins + bonus_coins, credited_coins, returned_coins "
                "FROM orders"
            )
        }
        return [line for p in self.of_key.values() if p.order for line in unfinished(p, rows.get(p.order["id"]))]

    async def check(self) -> list[str]:
        """Money and coins are what the provider's truth says, once."""
        wrong = list(self.wrong)
        moved = await self.world.query(
            "SELECT ref, count(*), sum(amount) FROM transfers WHERE reason IN "
            "('order', 'bonus', 'refund', 'chargeback') GROUP BY 1"
        )
        known = {p.order["id"]: p for p in self.of_key.values() if p.order}
        for ref, times, coins in moved:
            what, _, order_id = ref.partition(":")
            order = known[order_id].order if order_id in known else None
            if order is None:
                wrong.append(f"{ref}: nobody has it, its coins have moved")
            else:
                expected = {"order": order["coins"], "bonus": order["bonus_coins"]}
                if (times, int(coins)) != (1, expected.get(what, order["coins"] + order["bonus_coins"])):
                    wrong.append(f"{ref}: {times} times, {coins} coins, for {order}")
        money = sum(p.order["amount"] for p in known.values() if p.order and p.paid and not p.reversals)
        account = "SELECT -balance FROM accounts WHERE name = 'money:provider:sandbox:USD'"  # what it owes us
        owed = sum(int(row[0]) for row in await self.world.query(account))
        if owed != money:
            wrong.append(f"the provider has {money}, the ledger says {owed}")
        return wrong + list(self._promotions(known.values()))

    def _promotions(self, purchases: Iterable[Purchase]) -> Iterable[str]:
        """Once for each user: an order that was declined may come to life again beside the next one."""
        bonuses: Counter[str] = Counter()
        declined: set[str] = set()
        for purchase in purchases:
            if purchase.buy.package == PROMOTED and purchase.order and purchase.order["bonus_coins"]:
                bonuses[purchase.buy.user] += 1
            if purchase.declined:
                declined.add(purchase.buy.user)
        for user, count in bonuses.items():
            if count > 1 and user not in declined:
                yield f"user {user} has had the promotion {count} times"

    def coins(self) -> Counter[str]:
        """What wallets have of it in the end."""
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
    status, pays, total, credited, returned = row
    if purchase.reversals:
        right = status in ("refunded", "charged_back") and (not pays or credited == returned == total)
    elif purchase.paid:
        right = status == "credited" and (credited, returned) == (total, 0)
    else:
        right = status in ("created", "declined", "expired") and (credited, returned) == (0, 0)
    if not right:
        yield f"{name}: the ledger has {row}"
