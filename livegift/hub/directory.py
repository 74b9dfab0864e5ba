"""What this process knows of rooms and gifts: copies of the ledger's, a few seconds old at most.

When PostgreSQL is away the copies serve on, so that gifting does.
"""

import asyncio
import time
from collections import OrderedDict

import structlog

from livegift.domain.catalogue import GiftKind
from livegift.errors import RequestError
from livegift.ledger.catalogue import read_gifts
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.ledger.rooms import Room, is_creator, read_room
from livegift.limits import CATALOGUE_REFRESH_S, DIRECTORY_ROOMS_MAX, DIRECTORY_TTL_S

log = structlog.get_logger()


class Directory:
    """Rooms by id (loaded when asked for) and the catalogue (refreshed in the background)."""

    def __init__(self, database: Database) -> None:
        """Nothing is loaded before `start`."""
        self._database = database
        self._rooms: OrderedDict[str, tuple[float, Room]] = OrderedDict()
        self._creators: OrderedDict[str, float] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Room | None]] = {}
        self.gifts: dict[str, GiftKind] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the catalogue and keep it fresh. Raises LedgerUnavailableError."""
        await self._load_gifts()
        self._task = asyncio.create_task(self._keep_fresh(), name="catalogue")

    async def aclose(self) -> None:
        """Stop refreshing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _load_gifts(self) -> None:
        self.gifts = {gift.id: gift for gift in await read_gifts(self._database)}

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(CATALOGUE_REFRESH_S)
            try:
                await self._load_gifts()
            except LedgerUnavailableError as error:
                log.warning("directory.catalogue_stale", error=str(error))

    def forget(self, room: str) -> None:
        """The room has changed: ask the ledger the next time."""
        self._rooms.pop(room, None)

    async def room(self, room: str) -> Room | None:
        """The room, or None when there is none. Raises RequestError('unavailable') when nobody can tell."""
        known = self._rooms.get(room)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        task = self._loading.get(room)
        if task is None:
            task = self._loading[room] = asyncio.create_task(self._load(room), name=f"room {room}")
            task.add_done_callback(lambda _: self._loading.pop(room, None))
        try:
            return await asyncio.shield(task)
        except LedgerUnavailableError:
            if known is not None:
                return known[1]
            raise RequestError("unavailable") from None

    async def _load(self, room: str) -> Room | None:
        loaded = await read_room(self._database, room)
        if loaded is None:
            # Not kept: the room may be opened through another process the next moment.
            self._rooms.pop(room, None)
            return None
        self._rooms[room] = (time.monotonic() + DIRECTORY_TTL_S, loaded)
        self._rooms.move_to_end(room)
        while len(self._rooms) > DIRECTORY_ROOMS_MAX:
            self._rooms.popitem(last=False)
        return loaded

    async def is_receiver(self, user: str, room: Room) -> bool:
        """Whether gifts in `room` can go to `user`: its creator, or anyone who has opened a room before."""
        if user == room.creator_id or user in self._creators:
            return True
        try:
            found = await is_creator(self._database, user)
        except LedgerUnavailableError:
            raise RequestError("unavailable") from None
        if found:
            self._creators[user] = time.monotonic()
            while len(self._creators) > DIRECTORY_ROOMS_MAX:
                self._creators.popitem(last=False)
        return found
