"""The harness as payment provider: what it knows of an order, and its webhooks, good and bad."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livegift.payments.sandbox import Sandbox, SandboxPayment, State
from tests.faults.commerce import Buy, Deliver

if TYPE_CHECKING:
    from tests.faults.world import World

SECRETS = ("the newest secret of the sandbox provider", "the secret that was the newest one before")
GONE = ("a secret that was taken out long ago",)
FOREIGN = ("a secret that only somebody else knows",)
TOO_OLD_S = 3_600
# Events of another product, and what they name, if it is a name that we could know.
FOREIGN_NAMES: tuple[dict[str, str], ...] = (
    {"order_id": "shirt-1", "ref": "sbx-shirt-1"},
    {"order_id": "ord-000000000000000000000000", "ref": "sbx-shirt-2"},
    {},
)
FOREIGN_KINDS = ("paid", "declined", "refunded", "disputed", "dispute_won", "refund_failed")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(slots=True)
class Purchase:
    """A key, and what the provider knows: whether it was paid, and how it was given back."""

    buy: Buy
    order: dict[str, Any] | None = None
    is_refused: bool = False
    paid: bool = False
    reversals: set[State] = field(default_factory=set)
    is_refund_unknown: bool = False
    has_promotion: bool = False
    is_credited: bool = False
    is_touched: bool = False  # a return of its money was tried
    came_back: str = ""  # the event that ends a reversal: then money and coins are there again
    # The buyer has asked for the money, the only certain answer is that it was given. Otherwise the coins may be there
    # or the money, but never both.
    is_withdrawal_tried: bool = False
    is_withdrawn: bool = False

    @property
    def is_overdraft_right(self) -> bool:
        """Return whether somebody other than the buyer has reversed it, which may take coins that are not there."""
        return bool(self.reversals or self.came_back) or self.is_refund_unknown

    @property
    def payment(self) -> SandboxPayment:
        assert self.order is not None
        ref = self.order["checkout_url"].rpartition("/")[2]
        return SandboxPayment(ref, self.order["id"], self.order["amount"], self.order["currency"], "open")

    @property
    def net_coins(self) -> int:
        """Return what the wallet has in the end."""
        assert self.order is not None
        stays = self.paid and not self.reversals and not self.is_withdrawn
        return int(self.order["coins"] + self.order["bonus_coins"]) if stays else 0


class Webhooks:
    """The deliveries to the webhook."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def deliver_bad(self, purchase: Purchase, deal: Deliver) -> None:
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

    async def deliver_foreign(self, purchase: Purchase, deal: Deliver) -> None:
        """Deliver an event of another product on the same account: a refusal would be repeated for days."""
        what = FOREIGN_NAMES[deal.pick % len(FOREIGN_NAMES)]
        kind = FOREIGN_KINDS[deal.pick % len(FOREIGN_KINDS)]
        payment = purchase.payment
        event = {"order_id": "", "ref": "", **what, "amount": payment.amount, "currency": payment.currency}
        status = await self._event({"id": f"evt-foreign-{deal.pick}", "type": kind, **event}, deal.web)
        self.answers[f"foreign {status}"] += 1
        if 400 <= status < 500:
            self.wrong.append(f"an event of another product got {status}: {event}")

    async def _event(self, event: dict[str, Any], web: int) -> int:
        """Deliver any event, signed as the provider signs."""
        body, at_s = json.dumps(event).encode(), int(time.time())
        signature = hmac.new(SECRETS[0].encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
        return await self._webhook({"livegift-signature": f"t={at_s},v1={signature}"}, body, web)

    async def end(self, purchase: Purchase, web: int) -> bool:
        """Win the dispute, or fail the refund: the money is there again."""
        payment, kind = purchase.payment, purchase.came_back
        event = {"id": f"evt-{payment.ref}-{kind}", "type": kind, "order_id": payment.order_id, "ref": payment.ref}
        status = await self._event(event | {"amount": payment.amount, "currency": payment.currency}, web)
        self.answers[f"{kind} {status}"] += 1
        return status == 200

    async def say(self, purchase: Purchase, state: State, web: int, secrets: tuple[str, ...] = SECRETS) -> bool:
        payment = purchase.payment._replace(state=state)
        headers, body = Sandbox(secrets, None).webhook(payment, time.time())  # type: ignore[arg-type]
        status = await self._webhook(headers, body, web)
        self.answers[f"{state} {status}"] += 1
        return status == 200

    async def _webhook(self, headers: dict[str, str], body: bytes, web: int) -> int:
        return await self.post("/v1/payments/sandbox/webhook", body, headers, web)

    async def post(self, path: str, body: bytes, headers: dict[str, str], web: int) -> int:
        status, _ = await asyncio.to_thread(self.world.system.post, path, body, headers, f"web {web + 1}")
        return status
