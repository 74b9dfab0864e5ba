"""A cache of rooms and gifts from the ledger, a few seconds old at most.

While PostgreSQL is away the copies remain in use (up to DIRECTORY_STALE_MAX_S), so that gifting goes on. The catalogue
has no bound of its own, as a gift needs a room too.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import structlog

from livegift.contract.errors import RequestError
from livegift.contract.events import details_shown
from livegift.contract.values import GiftKind
from livegift.ledger.catalogue import read_gifts
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.ledger.rooms import Room, is_creator, read_room
from livegift.runtime.bounds import (
    CATALOGUE_REFRESH_S,
    CLOSE_TIMEOUT_S,
    DATABASE_TIMEOUT_S,
    DIRECTORY_ANSWER_S,
    DIRECTORY_DETAILS_MAX,
    DIRECTORY_QUESTIONS_MAX,
    DIRECTORY_RETRY_S,
    DIRECTORY_ROOMS_MAX,
    DIRECTORY_STALE_MAX_S,
    DIRECTORY_TTL_S,
    DIRECTORY_WAIT_S,
)

log = structlog.get_logger()

T = TypeVar("T")
Question = Callable[[], Coroutine[Any, Any, T]]


class Inquiry:
    """Queries to the ledger for which nobody waits long.

    Callers of a query that is in progress share its answer. Once an answer was late or failed, nobody waits at all:
    queries are still sent in the background (after a failure not before DIRECTORY_RETRY_S), until one is answered in
    time.
    """

    def __init__(self) -> None:
        """Assume at first that the ledger answers."""
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}
        self._is_late = False
        self._not_before = 0.0

    async def ask(self, key: Hashable, question: Question[T]) -> T:
        """Return the answer. Raises LedgerUnavailableError when there is none within DIRECTORY_WAIT_S.

        `question` may continue then, so it should store its result itself.
        """
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= DIRECTORY_QUESTIONS_MAX or time.monotonic() < self._not_before:
                raise LedgerUnavailableError("PostgreSQL did not answer a moment ago")
            task = self._asked[key] = asyncio.create_task(self._answer(question), name=f"directory {key}")
            task.add_done_callback(lambda task: self._done(key, task))
        if self._is_late:
            raise LedgerUnavailableError("PostgreSQL does not answer in time")
        # Not by cancelling: psycopg would first ask the server to cancel, which takes as long again.
        done, _ = await asyncio.wait({task}, timeout=DIRECTORY_WAIT_S)
        if not done:
            self._note_late(f"no answer within {DIRECTORY_WAIT_S:g} s")
            raise LedgerUnavailableError("PostgreSQL does not answer in time")
        return cast("T", task.result())

    async def _answer(self, question: Question[T]) -> T:
        began = time.monotonic()
        try:
            async with asyncio.timeout(DIRECTORY_ANSWER_S):
                answer = await question()
        except (LedgerUnavailableError, TimeoutError) as error:
            self._not_before = time.monotonic() + DIRECTORY_RETRY_S
            self._note_late(str(error) or f"no answer within {DIRECTORY_ANSWER_S:g} s")
            raise LedgerUnavailableError(str(error)) from error
        if self._is_late and time.monotonic() - began < DIRECTORY_WAIT_S:
            self._is_late = False
            log.info("directory.ledger_back")
        return answer

    def _note_late(self, reason: str) -> None:
        if not self._is_late:
            self._is_late = True
            log.warning("directory.ledger_away", reason=reason)

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._asked[key]
        error = (
            None if task.cancelled() else task.exception()
        )  # retrieved here, because perhaps nobody waits for it any more
        if error is not None and not isinstance(error, LedgerUnavailableError):
            log.error("directory.question_failed", question=key, exc_info=error)

    async def aclose(self) -> None:
        """Send no more queries, and cancel those in progress."""
        self._not_before = float("inf")
        for task in self._asked.values():
            task.cancel()
        if self._asked:
            await asyncio.wait(list(self._asked.values()), timeout=CLOSE_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class _Copy:
    room: Room
    loaded_at: float
    is_outdated: bool = False


class Directory:
    """The rooms by id (loaded on demand) and the catalogue (refreshed in the background)."""

    def __init__(self, database: Database) -> None:
        """Prepare a directory, which loads nothing before `start`."""
        self._database = database
        self._inquiry = Inquiry()
        self._rooms: OrderedDict[str, _Copy] = OrderedDict()
        self._creators: OrderedDict[str, None] = OrderedDict()
        self.gifts: dict[str, GiftKind] = {}
        self._details: dict[tuple[str, str, str], str] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the catalogue and keep it fresh. Raises LedgerUnavailableError."""
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await self._load_gifts()
        except TimeoutError as error:
            raise LedgerUnavailableError(f"PostgreSQL: no answer within {DATABASE_TIMEOUT_S:g} s") from error
        self._task = asyncio.create_task(self._keep_fresh(), name="catalogue")

    async def aclose(self) -> None:
        """Stop refreshing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._inquiry.aclose()

    async def _load_gifts(self) -> None:
        self.gifts = {gift.id: gift for gift in await read_gifts(self._database)}
        self._details.clear()

    def details(self, to: str, to_name: str, kind: GiftKind) -> str:
        """Return receiver and gift as the journal keeps them. Cached, as the same ones are sent again and again."""
        key = (to, to_name, kind.id)
        found = self._details.get(key)
        if found is None:
            if len(self._details) >= DIRECTORY_DETAILS_MAX:
                self._details.clear()
            found = self._details[key] = details_shown(to_name, kind)
        return found

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(CATALOGUE_REFRESH_S)
            try:
                await self._inquiry.ask("catalogue", self._load_gifts)
            except LedgerUnavailableError as error:
                log.warning("directory.catalogue_stale", error=str(error))

    # --- Rooms --------------------------------------------------------------------------------------------------------

    def forget(self, room: str) -> None:
        """Mark the room as changed: the ledger is asked the next time, and no gift relies on the copy."""
        if room in self._rooms:
            self._rooms[room] = replace(self._rooms[room], is_outdated=True)

    def last_known(self, room: str) -> Room | None:
        """Return the last known copy of the room, for viewers while the ledger is away."""
        known = self._rooms.get(room)
        return known.room if known else None

    def fresh_room(self, room: str) -> Room | None:
        """Return the room if its copy is fresh. None does not mean that there is no such room."""
        return self._fresher_than(DIRECTORY_TTL_S, room)

    def knows_receiver(self, user: str | None, room: Room) -> bool:
        """Return whether it is known, without a query, that gifts can go to `user` (None: the creator)."""
        return user is None or user == room.creator_id or user in self._creators

    async def room(self, room: str) -> Room | None:
        """Return the room, or None when there is none. Raises RequestError('unavailable') when that can't be known."""
        if (known := self._fresher_than(DIRECTORY_TTL_S, room)) is not None:
            return known
        try:
            return await self._inquiry.ask(("room", room), lambda: self._load(room))
        except LedgerUnavailableError:
            if (known := self._fresher_than(DIRECTORY_STALE_MAX_S, room)) is not None:
                return known
            raise RequestError("unavailable") from None

    def _fresher_than(self, age_s: float, room: str) -> Room | None:
        known = self._rooms.get(room)
        if known is None or known.is_outdated or time.monotonic() - known.loaded_at >= age_s:
            return None
        return known.room

    async def _load(self, room: str) -> Room | None:
        began = time.monotonic()
        loaded = await read_room(self._database, room)
        if loaded is None:
            # The absence is not cached: the room may be opened through another process the next moment.
            self._rooms.pop(room, None)
            return None
        self._rooms[room] = _Copy(loaded, began)
        self._rooms.move_to_end(room)
        while len(self._rooms) > DIRECTORY_ROOMS_MAX:
            self._rooms.popitem(last=False)
        return loaded

    async def is_receiver(self, user: str, room: Room) -> bool:
        """Return whether gifts in `room` can go to `user`: its creator, or anyone who has opened a room before.

        Raises RequestError('unavailable') when that can't be known.
        """
        if user == room.creator_id or user in self._creators:
            return True
        try:
            return await self._inquiry.ask(("creator", user), lambda: self._look_up_creator(user))
        except LedgerUnavailableError:
            raise RequestError("unavailable") from None

    async def _look_up_creator(self, user: str) -> bool:
        found = await is_creator(self._database, user)
        if found:
            self._creators[user] = None
            while len(self._creators) > DIRECTORY_ROOMS_MAX:
                self._creators.popitem(last=False)
        return found
