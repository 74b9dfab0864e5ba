"""A user with own limits among the faults: a lower limit counts at once, and usage is never forgotten."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.faults.model import LedgerGift
from tests.faults.patience import Patience, wait_patiently

if TYPE_CHECKING:
    from tests.faults.world import World

READ_TIMEOUT_S = 15.0


class Limited:
    """The user's limit for a month, in coins, which is set at the beginning and then only lowered."""

    def __init__(self, world: "World", user: str, coins: int) -> None:
        self.world = world
        self.user = user
        self.first = self.lowest = coins
        self.answers: Counter[str] = Counter()

    async def lower(self, coins: int, web: int) -> bool:
        """Lower the limit; returns whether that was answered. A higher one would wait for a day, so it is left out."""
        if coins > self.lowest:
            return True
        self.lowest = coins
        status, answer = await self._call("PUT", web, {"month": coins})
        return status == 200 and bool(answer["effective"]["month"]["allowed"] <= self.first)

    async def _call(self, method: str, web: int, body: object = None) -> tuple[int, Any]:
        system = self.world.system
        status, answer = await asyncio.to_thread(
            system.http, method, "/v1/wallet/limits", body, token=system.token(self.user), web=f"web {web + 1}"
        )
        self.answers[f"{method} {status}"] += 1
        return status, answer

    async def settle(self, patience: Patience) -> list[str]:
        """Set the lowest limit once more, until that is answered; returns what was not in time."""
        web = 0
        while not await self.lower(self.lowest, web):
            if patience.is_over:
                return [f"{patience}: the limit of {self.user} could not be set"]
            web = 1 - web
            await asyncio.sleep(0.1)  # a pause between attempts
        return []

    async def booked(self) -> bool:
        """Return whether the ledger has a limit."""
        rows = await self.world.query("SELECT user_id FROM wallet_limits")
        return (self.user,) in rows

    async def check(self, rows: Sequence[LedgerGift]) -> list[str]:
        """Check that no more than the limit was spent, and that reported usage equals booked usage.

        Raises NotInTimeError.
        """
        spent = sum(row.coins for row in rows if row.user == self.user)

        async def read() -> Any:
            status, answer = await self._call("GET", 0)
            return answer if status == 200 else None

        said: Any = await wait_patiently(read, f"the limits of {self.user} can be read", READ_TIMEOUT_S)
        wrong = []
        if spent > self.first:
            wrong.append(f"{self.user} has spent {spent} of {self.first} coins that were allowed")
        if said["used"]["month"] != spent:
            wrong.append(f"{self.user} is said to have used {said['used']['month']} coins, booked are {spent}")
        if said["effective"]["month"] != {"allowed": self.lowest, "whose": "own"}:
            wrong.append(f"{self.user} has set {self.lowest}, what counts is {said['effective']}")
        return wrong
