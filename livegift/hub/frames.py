"""The events of a room as they go out: one frame, built once for all viewers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from livegift.contract import wire
from livegift.hub.broadcast import SocketWriter
from livegift.hub.conflation import Shown
from livegift.hub.prepared_message import PreparedMessage


class Viewer(Protocol):
    """Whoever gets the frames."""

    def write(self, payload: bytes) -> None:
        """Write one frame; never blocks."""

    @property
    def socket_writer(self) -> SocketWriter:
        """The direct way for what others get too."""

    @property
    def write_shared(self) -> Callable[[PreparedMessage], bool]:
        """Write whether the socket writer is ready or not; False, and nothing is written, while the viewer lags."""

    def lag(self) -> None:
        """Something was not written; `RoomFeed.recover` is called when the viewer keeps up again."""


class Known(NamedTuple):
    """What a viewer has got of a room, and the `id` of the join that is not answered yet, if it had one."""

    epoch: int | None
    seq: int | None
    command_id: wire.CommandId | None = None


NOTHING_KNOWN = Known(None, None)


@dataclass(frozen=True, slots=True)
class Frame:
    """The events first_seq..seq of a room."""

    room: str
    epoch: int
    first_seq: int
    seq: int
    totals: bytes
    top: bytes | None  # None: as before
    events: tuple[bytes, ...]
    whole: PreparedMessage  # with every event
    capped: PreparedMessage  # what viewers are shown of a rush; the same object when that is all

    @classmethod
    def build(
        cls,
        room: str,
        epoch: int,
        first_seq: int,
        totals: bytes,
        top: bytes | None,
        events: Sequence[bytes],
        shown: Shown | None = None,
    ) -> "Frame":
        """Build both variants; `shown` is what viewers see, None for all."""
        seq = first_seq + len(events) - 1

        def message(which: Sequence[bytes], omitted: wire.Omitted | None) -> PreparedMessage:
            return PreparedMessage(wire.room_events_frame(room, epoch, first_seq, seq, totals, top, which, omitted))

        whole = message(events, None)
        capped = whole if shown is None or shown.events is events else message(*shown)
        return cls(room, epoch, first_seq, seq, totals, top, tuple(events), whole, capped)

    def after(self, seq: int) -> "Frame | None":
        """The frame for somebody who knows everything up to `seq`; None when there is nothing new for them."""
        if seq < self.first_seq:
            return self
        if seq >= self.seq:
            return None
        return Frame.build(
            self.room, self.epoch, seq + 1, self.totals, self.top, self.events[seq + 1 - self.first_seq :]
        )
