"""The frames of a room's events: each is built once for all viewers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from livegift.contract.messages import Omitted, room_events
from livegift.contract.values import CommandId
from livegift.hub.broadcast import SocketWriter
from livegift.hub.conflation import ConflatedEvents
from livegift.hub.prepared_message import PreparedMessage


class Viewer(Protocol):
    """A receiver of frames."""

    def write(self, payload: bytes) -> None:
        """Write one frame; never blocks."""

    @property
    def socket_writer(self) -> SocketWriter:
        """Return the writer of shared frames."""

    @property
    def write_shared(self) -> Callable[[PreparedMessage], bool]:
        """Return a method that writes a shared message, whether or not the writer is ready.

        It returns False, without writing, while the viewer lags.
        """

    def lag(self) -> None:
        """Mark the viewer as lagging. `RoomFeed.recover` is called when it keeps up again."""


class Known(NamedTuple):
    """A viewer's position in a room, and the `id` of its join that is not answered yet, if it had one."""

    epoch: int | None
    seq: int | None
    command_id: CommandId | None = None


NOTHING_KNOWN = Known(None, None)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with the events first_seq..seq of a room."""

    room: str
    epoch: int
    first_seq: int
    seq: int
    totals: bytes
    top: bytes | None  # None: unchanged
    events: tuple[bytes, ...]
    whole: PreparedMessage  # with every event
    capped: PreparedMessage  # what viewers are shown of a rush; the same object if it is everything

    @classmethod
    def build(
        cls,
        room: str,
        epoch: int,
        first_seq: int,
        totals: bytes,
        top: bytes | None,
        events: Sequence[bytes],
        shown: ConflatedEvents | None = None,
    ) -> "Frame":
        """Build both variants. `shown` is what viewers see, None for everything."""
        seq = first_seq + len(events) - 1

        def message(which: Sequence[bytes], omitted: Omitted | None) -> PreparedMessage:
            return PreparedMessage(room_events(room, epoch, first_seq, seq, totals, top, which, omitted))

        whole = message(events, None)
        capped = whole if shown is None or shown.events is events else message(*shown)
        return cls(room, epoch, first_seq, seq, totals, top, tuple(events), whole, capped)

    def after(self, seq: int) -> "Frame | None":
        """Return the frame for a viewer that has everything up to `seq`; None when it has nothing new."""
        if seq < self.first_seq:
            return self
        if seq >= self.seq:
            return None
        return Frame.build(
            self.room, self.epoch, seq + 1, self.totals, self.top, self.events[seq + 1 - self.first_seq :]
        )
