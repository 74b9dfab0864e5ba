"""The messages between processes through Redis: a room's channel, its snapshot, and a user's channel."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from livegift.contract.encoding import encode, joined, written
from livegift.contract.messages import Creator, RoomSnapshot, Wallet


class RoomHeader(Struct, frozen=True):
    """The first line of a message on a room's channel; the events follow, one a line."""

    epoch: int
    first_seq: int
    seq: int
    totals: Raw
    top: Raw


class SnapshotHeader(Struct, frozen=True):
    """A snapshot without its events."""

    epoch: int
    seq: int
    totals: Raw
    top: Raw
    combos: Raw
    kept: dict[str, Raw] = {}


class Published(NamedTuple):
    """A message of a room's channel: the events header.first_seq..header.seq."""

    header: RoomHeader
    events: list[bytes]


_ROOM_HEADER = Decoder(RoomHeader)
_SNAPSHOT_HEADER = Decoder(SnapshotHeader)
_WALLET = Decoder(Wallet)
_EMPTY = Raw(b"[]")
_WALLET_BEGINS = b'{"type":"wallet"'


def parse_published(message: bytes) -> Published:
    """Decode a message of a room's channel. Raises msgspec.MsgspecError."""
    line, *events = message.split(b"\n")
    return Published(_ROOM_HEADER.decode(line), events)


def parse_snapshot(header: bytes) -> SnapshotHeader:
    """Decode the header of a room's snapshot. Raises msgspec.MsgspecError."""
    return _SNAPSHOT_HEADER.decode(header)


def parse_wallet(message: bytes) -> Wallet | None:
    """Decode a `wallet` message from a user's channel; None for any other message."""
    return _WALLET.decode(message) if message.startswith(_WALLET_BEGINS) else None


def room_snapshot(
    room: str,
    header: SnapshotHeader,
    viewers: int,
    events: Iterable[bytes],
    *,
    complete: bool,
    parts: Iterable[str] = (),
    creator: Creator | UnsetType = UNSET,
    status: Literal["live", "ended"] | UnsetType = UNSET,
    title: str | UnsetType = UNSET,
) -> bytes:
    """Write a `RoomSnapshot` with what features keep of the room, of a snapshot as Redis has it.

    `parts` are the features' lists, which are there when they are empty, too.
    """
    snapshot = RoomSnapshot(
        room=room,
        creator=creator,
        status=status,
        title=title,
        viewers=viewers,
        complete=complete,
        epoch=header.epoch,
        seq=header.seq,
        totals=written(header.totals),
        top=written(header.top),
        combos=written(header.combos),
        events=[Raw(event) for event in events],
    )
    return joined(encode(snapshot), encode({**dict.fromkeys(parts, _EMPTY), **header.kept}))
