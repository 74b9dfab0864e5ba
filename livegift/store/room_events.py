"""What features tell a room's viewers: events, and the latest values that its snapshots show.

The room numbers an event, writes it to its log and publishes it, in one step with everything else that happens in it.
"""

from livegift.contract.bounds import AMOUNT_MAX, TOP_GIFTERS
from livegift.contract.errors import RequestError
from livegift.contract.event_kinds import RoomPart
from livegift.contract.events import Event, body_of
from livegift.runtime.bounds import ROOM_EVENT_BYTES_MAX, ROOM_KEPT_SETTLED_MS, ROOM_LOG_EVENTS_MAX, ROOM_TOLD_MAX
from livegift.store import keys
from livegift.store.client import Store, StoreRefusedError
from livegift.store.functions.rooms import room_keep, room_tell
from livegift.store.link import Command

# What the functions refuse with -> code of the error table.
_REFUSALS = {"UNKNOWN": "room_not_found", "ENDED": "room_ended", "FULL": "conflict"}


class RoomEventPublisher:
    """Publishes to rooms what has happened in features."""

    def __init__(self, store: Store) -> None:
        """`store` is connected."""
        self._store = store

    async def publish(self, room: str, event: Event, *, when_ended: bool = False) -> bool:
        """Publish an event. False when one of this id was published before: it is among the last ROOM_TOLD_MAX.

        After StoreUnavailableError nobody knows whether it was published; the same id again is safe. Raises
        RequestError: `room_not_found`, `room_ended` unless `when_ended`, `too_large` above ROOM_EVENT_BYTES_MAX.
        """
        command = room_tell(
            keys.room_root(room),
            log_max=ROOM_LOG_EVENTS_MAX,
            top_size=TOP_GIFTERS,
            event_id=event.id,
            body=_body(event),
            told_max=ROOM_TOLD_MAX,
            when_ended="1" if when_ended else "0",
        )
        return await self._call(room, command)

    async def publish_latest(
        self,
        room: str,
        part: RoomPart,
        event: Event,
        version: int,
        *,
        is_over: bool = False,
        when_ended: bool = False,
        when_unknown: bool = False,
    ) -> bool:
        """Publish an event that tells the latest value of its key, which snapshots show until one `is_over`.

        `version` grows with each change of the value; False when the room knew this version or a later one. A lower
        version is believed when what the room has is older than ROOM_KEPT_SETTLED_MS. A room that has lost its values
        (`livegift restore`) has them again when they are told again; `when_unknown` tells also a room that Redis does
        not know yet, for those who know that there is one. Raises what `publish` does, and RequestError `conflict` when
        the part has `values_max` other values, ValueError for a version out of bounds.
        """
        if not 0 <= version <= AMOUNT_MAX:
            raise ValueError(f"{part.name}: expected a version of 0 to {AMOUNT_MAX}, got {version}")
        command = room_keep(
            keys.room_root(room),
            log_max=ROOM_LOG_EVENTS_MAX,
            top_size=TOP_GIFTERS,
            part=part.name,
            value_key=str(getattr(event, str(part.event.key))),
            version=version,
            is_over="1" if is_over else "0",
            body=_body(event),
            shown=b"" if part.shown is None else part.value_of(event)[1:],
            values_max=part.values_max,
            settled_ms=ROOM_KEPT_SETTLED_MS,
            when_ended="1" if when_ended else "0",
            when_unknown="1" if when_unknown else "0",
        )
        return await self._call(room, command)

    async def _call(self, room: str, command: Command) -> bool:
        try:
            return bool(await self._store.call(command))
        except StoreRefusedError as error:
            code = _REFUSALS.get(str(error).partition(" ")[0])
            if code is None:
                raise
            detail = f"Room {room} has as many of these as it may." if code == "conflict" else None
            raise RequestError(code, detail) from None


def _body(event: Event) -> bytes:
    body = body_of(event)
    if len(body) > ROOM_EVENT_BYTES_MAX:
        raise RequestError("too_large", f"expected an event of at most {ROOM_EVENT_BYTES_MAX} bytes, got {len(body)}")
    return body
