"""Rooms in Redis as versions before decisions 019 and 020 stored them: without gifters, with positions as event ids."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from livegift.contract.errors import StoreUnavailableError
from livegift.runtime.bounds import GIFTERS_PAGE
from livegift.store import keys
from livegift.store.client import Store
from livegift.store.functions.rooms import GifterRow, StreakEvent, room_older, room_older_end, room_older_gifters
from livegift.store.rooms import Gifter


@dataclass(frozen=True, slots=True)
class LegacyRoom:
    """A room to convert. `stamp` differs after each change; `streaks` maps ids of open streaks to their last events."""

    stamp: str
    streaks: Mapping[str, bytes]


class LegacyRooms:
    """Finds and converts legacy rooms."""

    def __init__(self, store: Store) -> None:
        """Use `store`, which is connected."""
        self._store = store

    async def find(self, rooms: Iterable[str]) -> dict[str, LegacyRoom]:
        """Return those of `rooms` that have the legacy form. Raises StoreUnavailableError when one can't be asked."""
        names = list(rooms)
        replies = await self._store.call_many([room_older(keys.room_root(room)) for room in names])
        found = {}
        for room, reply in zip(names, replies, strict=True):
            if not isinstance(reply, list):
                raise StoreUnavailableError(f"room {room} does not tell its form: {reply}", executed=False)
            if reply:
                stamp, *streaks = reply
                pairs = zip(streaks[::2], streaks[1::2], strict=True)
                found[room] = LegacyRoom(stamp.decode(), {combo.decode(): event for combo, event in pairs})
        return found

    async def ranks(self, room: str) -> dict[str, int]:
        """Return the coins of each user in a room's older ranks. Raises StoreUnavailableError."""
        root = keys.room_root(room)
        (rows,) = await self._store.node_of(root).exchange([("ZRANGE", f"{root}:ranks", 0, -1, "WITHSCORES")])
        if not isinstance(rows, list):
            raise StoreUnavailableError(f"the ranks of {room} can't be read: {rows}", executed=False)
        return {user.decode(): int(float(coins)) for user, coins in zip(rows[::2], rows[1::2], strict=True)}

    async def convert(self, room: str, stamp: str, gifters: Iterable[Gifter], streaks: Mapping[str, bytes]) -> bool:
        """Give a room its gifters and open streaks in the present form.

        Returns False when it has changed since it was found. Raises StoreUnavailableError: then call `find` again.
        """
        root = keys.room_root(room)
        rows = list(gifters)
        for start in range(0, len(rows), GIFTERS_PAGE):
            page = rows[start : start + GIFTERS_PAGE]
            gifter_rows = [GifterRow(g.user, g.gifts, g.coins, g.reached_ms) for g in page]
            if not await self._store.call(room_older_gifters(root, stamp, gifter_rows)):
                return False
        shown = [StreakEvent(combo_id, event) for combo_id, event in streaks.items()]
        return bool(await self._store.call(room_older_end(root, stamp, shown)))
