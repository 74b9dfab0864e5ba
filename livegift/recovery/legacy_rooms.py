"""Conversion of rooms from versions before decisions 019 and 020: their ranks are rebuilt from the ledger, once."""

import asyncio
import re
from collections.abc import Iterable, Sequence

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.events import shown_ms
from livegift.domain.partitions import partition_of
from livegift.ledger import room_contributions as ledger
from livegift.ledger.engine import Database
from livegift.ledger.schema import read_event_id_key
from livegift.runtime.bounds import (
    FENCE_ENDED_ROOMS_S,
    FENCE_ROOMS_AT_ONCE,
    LEGACY_ENDED_ROOMS_PER_LOOK,
    LEGACY_ROOMS_AT_ONCE,
    ROOM_IDLE_TTL_S,
)
from livegift.runtime.event_ids import EventIds
from livegift.store.client import Node, Store
from livegift.store.keys import room_root
from livegift.store.legacy_rooms import LegacyRoom, LegacyRooms
from livegift.store.rooms import Gifter, Rooms

log = structlog.get_logger()

_PLACE = rb"\d+-\d+-\d+"
# The head of a gift's event before decision 020. No part of it is text from users.
_LEGACY_EVENT = re.compile(
    rb'\{"type":"gift","id":"(%b)","ts_ms":(\d+),"count":(\d+),"combo_id":"(%b)"'
    rb'(?=,"repeat_count":\d+,"repeat_end":[a-z]+,"coins":\d+,"diamonds":\d+,"anonymous":(true|false),)'
    % (_PLACE, _PLACE)
)


def with_public_ids(event: bytes, ids: EventIds) -> bytes:
    """Return a gift's event with public ids, as since decision 020; unchanged when it has that form already."""
    found = _LEGACY_EVENT.match(event)
    if found is None:
        return event
    event_id, combo_id = (ids.of(found[i].decode()) for i in (1, 4))
    ts_ms = shown_ms(int(found[2]), anonymous=found[5] == b"true")
    head = f'{{"type":"gift","id":"{event_id}","ts_ms":{ts_ms},"count":{int(found[3])},"combo_id":"{combo_id}"'
    return head.encode() + event[found.end() :]


class LegacyRoomRecovery:
    """Converts legacy rooms: active ones before their node's gate opens, those that ended long ago later."""

    def __init__(self, store: Store, database: Database) -> None:
        """Use Redis and the ledger of one system."""
        self._store = store
        self._database = database
        self._rooms = Rooms(store)
        self._legacy = LegacyRooms(store)
        self._ended: list[str] | None = None

    async def convert_active(self, node: Node) -> None:
        """Convert the active rooms of a node whose gate is closed. Raises StoreUnavailableError: try again later."""
        async with self._database.snapshot() as connection:
            names = await ledger.legacy_rooms(connection, FENCE_ENDED_ROOMS_S)
        mine = [room for room in names if self._store.node_of(room_root(room)) is node]
        late = await self._convert(mine)
        if late:
            raise StoreUnavailableError(
                f"rooms {late[:3]} have entries to be booked before they are converted", executed=False
            )

    async def convert_ended(self) -> None:
        """Convert some of the rooms that ended long ago, which are not urgent. Raises StoreUnavailableError."""
        if self._ended is None:
            async with self._database.snapshot() as connection:
                self._ended = await ledger.legacy_rooms(connection, ROOM_IDLE_TTL_S)
        if self._ended:
            some, rest = self._ended[:LEGACY_ENDED_ROOMS_PER_LOOK], self._ended[LEGACY_ENDED_ROOMS_PER_LOOK:]
            self._ended = rest + await self._convert(some)

    async def _convert(self, names: Sequence[str]) -> list[str]:
        """Convert those of the rooms that are legacy; returns those that have to wait."""
        late: list[str] = []
        turns = asyncio.Semaphore(LEGACY_ROOMS_AT_ONCE)
        key: bytes | None = None
        for start in range(0, len(names), FENCE_ROOMS_AT_ONCE):
            found = await self._legacy.find(names[start : start + FENCE_ROOMS_AT_ONCE])
            if not found:
                continue
            key = key or await read_event_id_key(self._database)
            ids = EventIds(key)

            async def one(room: str, legacy: LegacyRoom, ids: EventIds = ids) -> None:
                async with turns:
                    if not await self._convert_one(room, legacy, ids):
                        late.append(room)

            await asyncio.gather(*(one(room, legacy) for room, legacy in found.items()))
            log.info("rooms.converted", rooms=len(found), late=len(late))
        return late

    async def _convert_one(self, room: str, legacy: LegacyRoom, ids: EventIds) -> bool:
        """Convert a room. Returns False when not all of its entries are booked, or it has changed meanwhile."""
        upto = {
            p: contribution.position.n for p, contribution in (await self._rooms.contributions([room]))[room].items()
        }
        async with self._database.snapshot() as connection:
            checkpoints = await ledger.checkpoints(connection)
            stopped = await ledger.stopped(connection)
            booked = await ledger.booked_gifters(connection, room, upto)
        if any(checkpoints[p].n < n for p, n in upto.items() if p not in stopped):
            return False
        gifters = {user: Gifter(user, g.gifts, g.coins, g.reached_ms) for user, g in booked.items()}
        if stopped & upto.keys():
            gifters |= self._unbooked(await self._legacy.ranks(room), gifters, stopped, len(checkpoints))
        streaks = {combo: with_public_ids(event, ids) for combo, event in legacy.streaks.items()}
        return await self._legacy.convert(room, legacy.stamp, gifters.values(), streaks)

    @staticmethod
    def _unbooked(
        ranks: dict[str, int], known: dict[str, Gifter], stopped: Iterable[int], partitions: int
    ) -> dict[str, Gifter]:
        """Return the gifters of stopped partitions, with the room's coins, which may be more than the ledger's."""
        of = set(stopped)
        rows = {user: coins for user, coins in ranks.items() if partition_of(user, partitions) in of}
        before = {user: known.get(user, Gifter(user, 1, 0, 0)) for user in rows}
        return {user: Gifter(user, before[user].gifts, coins, before[user].reached_ms) for user, coins in rows.items()}
