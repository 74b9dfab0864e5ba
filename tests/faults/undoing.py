"""Revocations among the faults, by senders and by operators: every transfer of each, once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.faults.commerce import Undo
from tests.faults.model import Event, LedgerGift

if TYPE_CHECKING:
    from tests.faults.world import World

RECENT = 40  # gifts to choose from
REGION = "DE"  # gives senders half a minute
BOOKED_ATTEMPTS, BOOKED_PAUSE_S = 5, 0.4  # a gift can be undone once it is booked
OPERATORS = ("root", "root-2")


@dataclass(slots=True)
class RevocationAttempt:
    """A gift to be revoked. `refs` are those that its wallet's entry may have."""

    user: str
    refs: set[str] = field(default_factory=set)
    is_certain: bool = False


class Undoing:
    """The attempts and their certain answers.

    For the others, the wallets' entries tell, and all transfers follow them.
    """

    def __init__(self, world: "World", spared: str) -> None:
        """Revoke gifts of all users but `spared`."""
        self.world = world
        self.spared = spared
        self.tried: dict[Event, RevocationAttempt] = {}
        self.done: set[Event] = set()  # as the wallets' entries say, after `read`
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def undo(self, deal: Undo) -> None:
        recent = [(user, event) for user, event in self.world.model.accepted[-RECENT:] if user != self.spared]
        if not recent:
            return
        user, event = recent[deal.pick % len(recent)]
        public = self.world.model.id_of(event)
        if deal.how == "stranger":
            if await self._undo("a-stranger", public, deal.web) == 200:
                self.wrong.append(f"{event} of {user} was undone by somebody else")
            return
        attempt = self.tried.setdefault(event, RevocationAttempt(user))
        if deal.how == "operators":
            attempt.refs.add(f"revocation:op-{deal.pick}")
            attempt.is_certain |= await self._revoke(f"op-{deal.pick}", public, deal.web)
            return
        attempt.refs.add(f"revocation:undo:{public}")
        webs = (0, 1) if deal.how == "both webs" else (deal.web,)
        for _ in range(BOOKED_ATTEMPTS):
            answers = await asyncio.gather(*(self._undo(user, public, web) for web in webs))
            if 200 in answers:
                attempt.is_certain = True
            if set(answers) != {404}:
                return
            await asyncio.sleep(BOOKED_PAUSE_S)

    async def _undo(self, user: str, public: str, web: int) -> int:
        token = self.world.system.token(user, region=REGION)
        status, _ = await self._call("undo", f"/v1/gifts/{public}/undo", None, token, web)
        return status

    async def _revoke(self, correction_id: str, public: str, web: int) -> bool:
        """Request and approve a revocation, for which it takes two people. Returns whether it was approved."""
        first, second = (self.world.system.token(operator, "admin") for operator in OPERATORS)
        body = {"id": correction_id, "gift_event_id": public, "why": "of a stolen card"}
        status, _ = await self._call("ask", "/v1/admin/corrections", body, first, web)
        if status != 201:
            return False
        path = f"/v1/admin/corrections/{correction_id}/approve"
        status, _ = await self._call("approve", path, None, second, 1 - web)
        return status == 200

    async def _call(self, what: str, path: str, body: object, token: str, web: int) -> tuple[int, Any]:
        answer = await asyncio.to_thread(self.world.system.http, "POST", path, body, token=token, web=f"web {web + 1}")
        self.answers[f"{what} {answer[0]}"] += 1
        return answer

    # --- In the end ---------------------------------------------------------------------------------------------------

    async def open(self) -> list[str]:
        """Return what is decided and has not happened yet."""
        rows = await self.world.query("SELECT id FROM corrections WHERE status = 'approved'")
        return [f"correction {row[0]} is approved, and its coins have not moved" for row in rows]

    async def read(self) -> None:
        """Read from the wallets' entries which gifts were revoked."""
        self.done = {event for event, _, _ in await self._entries()}

    async def _entries(self) -> list[tuple[Event | str, str, int]]:
        of_ref = {ref: event for event, attempt in self.tried.items() for ref in attempt.refs}
        rows = await self.world.query("SELECT ref, user_id, amount FROM transfers WHERE reason = 'revocation'")
        return [(of_ref.get(ref, ref), user, int(coins)) for ref, user, coins in rows]

    async def check(self, rows: Sequence[LedgerGift]) -> list[str]:
        """Check that each gift is revoked at most once, with all of its coins, to its sender; and that answers hold."""
        gifts = {row.event: row for row in rows}
        entries = await self._entries()
        wrong = list(self.wrong)
        for event, user, coins in entries:
            gift = gifts.get(event) if isinstance(event, Event) else None
            if gift is None or (gift.user, gift.coins) != (user, coins):
                wrong.append(f"{coins} coins of {event} were given back to {user}: the gift is {gift}")
        times = Counter(event for event, _, _ in entries)
        wrong += [f"{event} was taken back {count} times" for event, count in times.items() if count > 1]
        wrong += [
            f"{event} of {attempt.user} was taken back, it was said, and no coins came"
            for event, attempt in self.tried.items()
            if attempt.is_certain and event not in times
        ]
        return wrong

    def coins(self, rows: Sequence[LedgerGift]) -> Counter[str]:
        """Return the coins that came back to wallets, by user."""
        sums: Counter[str] = Counter()
        for row in rows:
            sums[row.user] += row.coins * (row.event in self.done)
        return sums
