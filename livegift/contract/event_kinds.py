"""The kinds of events: how each is treated in a rush, and which of them rooms keep for their snapshots.

A kind is declared once, here or in a feature's `events` slot. The composition root makes one `EventKinds` of all.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import msgspec
import orjson
from msgspec import Struct

from livegift.contract.commands import type_of
from livegift.contract.encoding import encode
from livegift.contract.events import Event, GiftEvent, GiftRevokedEvent, RoomEvent
from livegift.contract.messages import RoomSnapshot


class Lane(Enum):
    """The treatment of a kind when more happens than the room's cap."""

    ALWAYS = "every event"
    CONFLATED = "some: gifts of a streak are merged and the cheapest left out, of other events the oldest"
    LATEST = "the last one of each key"


@dataclass(frozen=True, slots=True)
class EventKind:
    """A kind of events. `key` names the field that identifies the value of which an event is the latest."""

    kind: type[Event]
    lane: Lane
    key: str | None = None

    def __post_init__(self) -> None:
        """Raise RuntimeError for an inconsistent declaration."""
        if (self.lane is Lane.LATEST) is not (self.key in self.kind.__struct_fields__):
            raise RuntimeError(f"{self.type}: expected a field as key for the lane {Lane.LATEST.name}, got {self.key}")

    @property
    def type(self) -> str:
        """Return the `type` of its events."""
        return type_of(self.kind)

    def key_of(self, event: bytes) -> str:
        """Return the key of the value that an event updates. Raises orjson.JSONDecodeError for anything but JSON."""
        return str(orjson.loads(event).get(self.key))


@dataclass(frozen=True, slots=True)
class RoomPart:
    """A feature's part of a room's snapshot: the field `name` lists the latest event of each key that is not over.

    `shown` are the fields of the event that are listed, where it is not all of them. A room keeps at most `values_max`
    that are not over, and lists none once it has ended.
    """

    name: str
    event: EventKind
    values_max: int
    shown: type[Struct] | None = None

    def __post_init__(self) -> None:
        """Raise RuntimeError for an inconsistent declaration."""
        if self.event.lane is not Lane.LATEST:
            raise RuntimeError(f"{self.name}: expected events of the lane {Lane.LATEST.name}, got {self.event.type}")
        if not re.fullmatch(r"[a-z][a-z_]{0,31}", self.name):
            raise RuntimeError(f"expected a-z and _ in the name of a part of a room, got {self.name!r}")
        unknown = set(self.value_type.__struct_fields__) - set(self.event.kind.__struct_fields__)
        if unknown:
            raise RuntimeError(f"{self.name}: expected fields of {self.event.type}, got {', '.join(sorted(unknown))}")

    @property
    def value_type(self) -> type[Struct]:
        """Return the type of its values in snapshots."""
        return self.shown or self.event.kind

    def value_of(self, event: Event) -> bytes:
        """Return what snapshots show of an event, as JSON."""
        return encode(event if self.shown is None else msgspec.convert(event, self.shown, from_attributes=True))


CORE_EVENTS = (
    EventKind(GiftEvent, Lane.CONFLATED),
    EventKind(GiftRevokedEvent, Lane.ALWAYS),
    EventKind(RoomEvent, Lane.ALWAYS),
)
# As written by rooms and `body_of`. Nothing in it can come from a user.
_TYPE = re.compile(rb'\{"seq":\d+,"type":"([^"]+)"')


def type_of_event(event: bytes) -> str:
    """Return the `type` of a room's event, '' for what is none."""
    found = _TYPE.match(event)
    return "" if found is None else found[1].decode()


class EventKinds:
    """All kinds of events of a system, and what its rooms keep."""

    def __init__(self, kinds: Iterable[EventKind], parts: Iterable[RoomPart] = ()) -> None:
        """Combine kinds and parts. Raises RuntimeError when two kinds have one type, or two parts one name."""
        self._by_type: dict[str, EventKind] = {}
        for kind in kinds:
            if kind.type in self._by_type:
                raise RuntimeError(f"expected one kind of events of type {kind.type}: two features offer it")
            self._by_type[kind.type] = kind
        self.parts: dict[str, RoomPart] = {}
        for part in parts:
            if part.name in self.parts or part.name in RoomSnapshot.__struct_fields__:
                raise RuntimeError(f"expected one part of rooms of the name {part.name}: snapshots have it already")
            if self._by_type.get(part.event.type) is not part.event:
                raise RuntimeError(f"{part.name}: expected {part.event.type} among the kinds of events")
            self.parts[part.name] = part

    def __iter__(self) -> Iterator[EventKind]:
        return iter(self._by_type.values())

    def of(self, event: bytes) -> EventKind | None:
        """Return the kind of a room's event; None for one that another version or a removed feature has published."""
        return self._by_type.get(type_of_event(event))
