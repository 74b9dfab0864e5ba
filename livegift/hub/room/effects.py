"""The effects that a room's machine asks for. A `Frame` is one too: it goes to everybody."""

from dataclasses import dataclass
from typing import TypeAlias

from livegift.contract.channels import SnapshotHeader
from livegift.hub.frames import Frame
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.joins import Joiner
from livegift.hub.room.recovery import Rejoin


@dataclass(frozen=True, slots=True)
class Wake:
    """Call `wake` in `after_s` seconds, unless a frame goes out before."""

    after_s: float


@dataclass(frozen=True, slots=True)
class ForgetDetails:
    """Discard what is cached of the room's details."""


@dataclass(frozen=True, slots=True)
class ReadLog:
    """Read the events after `since`, and pass them to `on_log`, or call `on_log_failed`."""

    since: int
    epoch: int
    restarts: int


@dataclass(frozen=True, slots=True)
class TellGap:
    """Report that numbers continue after `to_seq`. `message` goes to everybody; None if they are of another epoch."""

    from_epoch: int | None
    from_seq: int
    to_epoch: int
    to_seq: int
    message: PreparedMessage | None


@dataclass(frozen=True, slots=True)
class MakeSnapshot:
    """Make the message of this state for everybody, and pass it to `on_snapshot_made`."""

    header: SnapshotHeader


@dataclass(frozen=True, slots=True)
class ShowSnapshot:
    """Write this snapshot to everybody except those who have a newer one."""

    message: PreparedMessage
    seq: int


@dataclass(frozen=True, slots=True)
class ServeJoins:
    """Serve rounds until there is none, once all who join together have been added; then call `end_rounds`."""


@dataclass(frozen=True, slots=True)
class AnswerJoin:
    """Answer a joiner: its prepared snapshot, the gap before it if there is one, and the frames since."""

    joiner: Joiner
    gap: bytes | None
    frames: list[Frame]
    fresh_seq: int | None  # the snapshot's seq, if it is ahead of the last frame


@dataclass(frozen=True, slots=True)
class Recover:
    """Have the viewer join again from its position; then call `rejoined` or `rejoin_failed`."""

    rejoin: Rejoin


@dataclass(frozen=True, slots=True)
class RecoverLater:
    """Call `drained` for the viewer after a while."""

    rejoin: Rejoin


@dataclass(frozen=True, slots=True)
class Pulse:
    """Tell everybody the latest values."""

    message: PreparedMessage


RareEffect: TypeAlias = (
    Wake | ForgetDetails | ReadLog | TellGap | MakeSnapshot | ShowSnapshot | ServeJoins | Recover | RecoverLater | Pulse
)
Effect: TypeAlias = Frame | RareEffect
