"""Payouts among the faults: what was answered must be in the ledger in the end, or a later status of it."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livegift.contract.values import digest
from livegift.features.payouts.rules import MOVES, RETURNED, payable
from tests.faults.commerce import PayoutAct

if TYPE_CHECKING:
    from tests.faults.world import World

MICROS_PER_DIAMOND = 5_000
ACCOUNT = {"holder": "Bob", "iban": "DE89370400440532013000"}


def later(status: str) -> set[str]:
    """Return the statuses that a payout can still have, including the present one."""
    found = {status}
    for allowed, after in MOVES.values():
        if status in allowed:
            found |= later(after)
    return found


@dataclass(slots=True)
class Asked:
    """A key of one creator."""

    creator: str
    diamonds: int
    is_unknown: bool = False


class Payouts:
    """All keys, and every status that was answered."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.asked: dict[str, Asked] = {}
        self.told: dict[str, set[str]] = {}
        self.answers: Counter[str] = Counter()

    async def do(self, deal: PayoutAct) -> None:
        if deal.act == "ask":
            await self._ask(deal.key, deal.creator, deal.diamonds, deal.web)
            return
        there = sorted(self.told)
        if deal.act == "batch":
            await self._call("POST", "/v1/admin/payout-batches", deal.web, {"id": f"batch-{deal.key}"})
        elif deal.act in ("paid", "failed"):
            await self._bank_says(deal)
        elif there:
            payout_id = there[deal.pick % len(there)]
            await self._move(deal.act, payout_id, deal.web)

    async def _ask(self, key: str, creator: str, diamonds: int, web: int) -> None:
        payout_id = f"pay-{digest(creator, key)}"
        asked = self.asked.setdefault(payout_id, Asked(creator, diamonds))
        await self._call("PUT", "/v1/creator/payout-account", web, ACCOUNT, creator)
        status, answer = await self._call("POST", "/v1/payouts", web, {"diamonds": diamonds}, creator, key)
        if status == 201:
            self.told.setdefault(payout_id, set()).add(answer["status"])
        asked.is_unknown = asked.is_unknown or status == 0 or status >= 500

    async def _move(self, act: str, payout_id: str, web: int) -> None:
        creator = self.asked[payout_id].creator
        if act == "cancel":
            status, answer = await self._call("DELETE", f"/v1/payouts/{payout_id}", web, creator=creator)
        else:
            why = {"why": "looked at"} if act == "reject" else None
            status, answer = await self._call("POST", f"/v1/admin/payouts/{payout_id}/{act}", web, why)
        if status == 200:
            self.told[payout_id].add(answer["status"])

    async def _bank_says(self, deal: PayoutAct) -> None:
        status, page = await self._call("GET", "/v1/admin/payouts?status=sent", deal.web)
        if status != 200 or not page["items"]:
            return
        payout = page["items"][deal.pick % len(page["items"])]
        content = f"payout,status,why\n{payout['id']},{deal.act},closed\n".encode()
        path = f"/v1/admin/payout-batches/{payout['batch_id']}/result"
        status, _ = await self._call("POST", path, deal.web, content)
        if status == 200:
            self.told.setdefault(payout["id"], set()).add(deal.act)

    async def _call(
        self, method: str, path: str, web: int, body: object = None, creator: str | None = None, key: str | None = None
    ) -> tuple[int, Any]:
        system = self.world.system
        token = system.token(creator, "creator") if creator else system.token("root", "admin")
        status, answer = await asyncio.to_thread(
            system.http, method, path, body, token=token, web=f"web {web + 1}", key=key
        )
        self.answers[f"{status} {answer.get('code', '')}" if isinstance(answer, dict) else str(status)] += 1
        return status, answer

    # --- In the end ---------------------------------------------------------------------------------------------------

    async def check(self) -> list[str]:
        """Check that answered payouts are there, at that status or a later one; the ledger tells, without repeating."""
        rows = {
            row[0]: row[1:]
            for row in await self.world.query("SELECT id, creator, diamonds, amount, status FROM payouts")
        }
        wrong = [f"payout {payout_id}: nobody has asked for it" for payout_id in rows.keys() - self.asked.keys()]
        for payout_id, asked in self.asked.items():
            row = rows.get(payout_id)
            told = self.told.get(payout_id, set())
            if row is None:
                wrong += [f"payout {payout_id}: {told} was answered, the ledger does not have it"] if told else []
                continue
            if not told and not asked.is_unknown:
                wrong.append(f"payout {payout_id}: it was refused, the ledger has {row}")
            if row[:3] != (asked.creator, *payable(asked.diamonds, MICROS_PER_DIAMOND)):
                wrong.append(f"payout {payout_id}: asked for was {asked}, the ledger has {row}")
            wrong += [
                f"payout {payout_id}: {status} was answered, the ledger has {row}"
                for status in told
                if row[3] not in later(status)
            ]
        return wrong

    async def diamonds(self) -> Counter[str]:
        """Return the diamonds that have left the creators' accounts."""
        left: Counter[str] = Counter()
        for creator, diamonds, status in await self.world.query("SELECT creator, diamonds, status FROM payouts"):
            left[creator] += 0 if status in RETURNED else diamonds
        return left
