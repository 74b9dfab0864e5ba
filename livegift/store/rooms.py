"""Rooms in Redis: what was published, how it stands, who looks on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from livegift.domain.partitions import Position
from livegift.limits import REPLAY_EVENTS_MAX, ROOM_IDLE_TTL_S, ROOM_LOG_EVENTS_MAX, ROOM_PULSE_S, TOP_GIFTERS
from livegift.store import keys
from livegift.store.client import Command, Store
from livegift.store.functions import call


@dataclass(frozen=True, slots=True)
class Publication:
    """One journal entry as a room gets it. `body` is the event's JSON without the opening brace and `seq`."""

    partition: int
    position: Position
    ends_streak: bool
    coins: int
    diamonds: int
    user: str
    anonymous: bool
    user_json: bytes
    combo_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A room at one moment. `header` is JSON: epoch, seq, totals, top, combos; `events` are JSON, in order of `seq`."""

    header: bytes
    complete: bool
    events: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """A room's sums, and up to which entry of each partition they count."""

    gifts: int
    coins: int
    diamonds: int
    watermarks: dict[int, Position]


def publish(room: str, publications: Iterable[Publication]) -> Command:
    """The call that publishes to one room; what it has already is passed over. Its reply is the number of new ones."""
    args: list[str | bytes | int] = [ROOM_LOG_EVENTS_MAX, TOP_GIFTERS]
    for item in publications:
        args += (
            item.partition,
            item.position.epoch,
            item.position.n,
            "end" if item.ends_streak else "gift",
            item.coins,
            item.diamonds,
            item.user,
            "1" if item.anonymous else "0",
            item.user_json,
            item.combo_id,
            item.body,
        )
    return call("room_publish", keys.room_root(room), *args)


class Rooms:
    """Rooms by id."""

    def __init__(self, store: Store) -> None:
        """`store` is connected."""
        self._store = store

    async def snapshot(self, room: str, since: int | None = None, since_epoch: str = "") -> Snapshot:
        """The room as it is on the primary now, with the events after `since`. Raises StoreUnavailableError.

        `complete` is False when the log does not reach back that far, or `since_epoch` is of an earlier life.
        """
        command = call(
            "room_snapshot",
            keys.room_root(room),
            TOP_GIFTERS,
            "" if since is None else since,
            since_epoch,
            REPLAY_EVENTS_MAX,
        )
        header, complete, *events = await self._store.call(command)
        return Snapshot(header, complete == b"1", tuple(events))

    async def announce(self, room: str, body: bytes, once: str, *, ended: bool = False) -> bool:
        """Publish an event that comes from no wallet, once per key `once`. False when it was there already."""
        ttl_s = ROOM_IDLE_TTL_S if ended else 0
        command = call("room_announce", keys.room_root(room), ROOM_LOG_EVENTS_MAX, TOP_GIFTERS, body, once, ttl_s)
        return bool(await self._store.call(command))

    async def totals(self, room: str) -> Totals:
        """Sums and watermarks of one moment."""
        gifts, coins, diamonds, *rest = await self._store.call(call("room_totals", keys.room_root(room)))
        watermarks = {int(rest[i]): Position.parse(rest[i + 1].decode()) for i in range(0, len(rest), 2)}
        return Totals(int(gifts), int(coins), int(diamonds), watermarks)

    async def pulse(self, process: str, viewers: Mapping[str, int]) -> dict[str, int]:
        """Tell how many viewers this process has in each room; returns how many all processes have."""
        ttl_ms = int(ROOM_PULSE_S * 3_000)
        replies = await self._store.call_many(
            [call("room_pulse", keys.room_root(room), process, count, ttl_ms) for room, count in viewers.items()]
        )
        return {room: reply for room, reply in zip(viewers, replies, strict=True) if isinstance(reply, int)}

    async def heads(self, rooms: Iterable[str]) -> dict[str, tuple[int, int]]:
        """The epoch and last `seq` of each room that has any; those of a dead node are missing."""
        names = list(rooms)
        replies = await self._store.call_many([call("room_head", keys.room_root(room)) for room in names])
        return {
            room: (int(reply[0]), int(reply[1]))
            for room, reply in zip(names, replies, strict=True)
            if not isinstance(reply, Exception) and reply
        }
