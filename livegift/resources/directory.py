"""What this process knows of rooms and gifts: copies of the ledger's, a few seconds old at most.

When PostgreSQL is away the copies serve on (up to DIRECTORY_STALE_MAX_S), so that gifting does. The catalogue has no
bound of its own: a gift needs a room too.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import structlog

from livegift.contract import wire
from livegift.contract.errors import RequestError
from livegift.domain.catalogue import GiftKind
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
    """Questions to the ledger for which nobody waits long.

    Who asks what is being asked already shares the answer. Once an answer was late or failed, nobody waits at all:
    questions are still asked in the background (after a failure not before DIRECTORY_RETRY_S), until one is answered
    in time.
    """

    def __init__(self) -> None:
        """The ledger is trusted to answer at first."""
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}
        self._is_late = False
        self._not_before = 0.0

    async def ask(self, key: Hashable, question: Question[T]) -> T:
        """The answer; raises LedgerUnavailableError when it can't be had within DIRECTORY_WAIT_S.

        `question` may go on then, so it keeps what it finds itself.
        """
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= DIRECTORY_QUESTIONS_MAX or time.monotonic() < self._not_before:
                raise LedgerUnavailableError("PostgreSQL did not answer a moment ago")
            task = self._asked[key] = asyncio.create_task(self._answer(question), name=f"directory {key}")
            task.add_done_callback(lambda task: self._done(key, task))
        if self._is_late:
            raise LedgerUnavailableError("PostgreSQL does not answer in time")
        # Not by cancelling: psycopg would first ask the server to stop, which takes as long again.
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
        error = None if task.cancelled() else task.exception()  # looked at, for perhaps nobody waits for it any more
        if error is not None and not isinstance(error, LedgerUnavailableError):
            log.error("directory.question_failed", question=key, exc_info=error)

    async def aclose(self) -> None:
        """Ask nothing more."""
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
    """Rooms by id (loaded when asked for) and the catalogue (refreshed in the background)."""

    def __init__(self, database: Database) -> None:
        """Nothing is loaded before `start`."""
        self._database = database
        self._inquiry = Inquiry()
        self._rooms: OrderedDict[str, _Copy] = OrderedDict()
        self._creators: OrderedDict[str, None] = OrderedDict()
        self.gifts: dict[str, GiftKind] = {}
        self._details: dict[tuple[str, str, str], bytes] = {}
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

    def details(self, to: str, to_name: str, kind: GiftKind) -> bytes:
        """Receiver and gift as events show them; made once, as the same are sent again and again."""
        key = (to, to_name, kind.id)
        found = self._details.get(key)
        if found is None:
            if len(self._details) >= DIRECTORY_DETAILS_MAX:
                self._details.clear()
            found = self._details[key] = wire.details_json(to, to_name, kind)
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
        """The room has changed: ask the ledger the next time, and let no gift depend on what was."""
        if room in self._rooms:
            self._rooms[room] = replace(self._rooms[room], is_outdated=True)

    def last_known(self, room: str) -> Room | None:
        """The room as it was when the ledger was asked last, for those who look on while the ledger is away."""
        known = self._rooms.get(room)
        return known.room if known else None

    def fresh_room(self, room: str) -> Room | None:
        """The room if it was looked at just now; None says nothing."""
        return self._fresher_than(DIRECTORY_TTL_S, room)

    def knows_receiver(self, user: str | None, room: Room) -> bool:
        """Whether gifts can go to `user` (None: the creator) without asking anybody."""
        return user is None or user == room.creator_id or user in self._creators

    async def room(self, room: str) -> Room | None:
        """The room, or None when there is none. Raises RequestError('unavailable') when nobody can tell."""
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
            # Not kept: the room may be opened through another process the next moment.
            self._rooms.pop(room, None)
            return None
        self._rooms[room] = _Copy(loaded, began)
        self._rooms.move_to_end(room)
        while len(self._rooms) > DIRECTORY_ROOMS_MAX:
            self._rooms.popitem(last=False)
        return loaded

    async def is_receiver(self, user: str, room: Room) -> bool:
        """Whether gifts in `room` can go to `user`: its creator, or anyone who has opened a room before.

        Raises RequestError('unavailable') when nobody can tell.
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
