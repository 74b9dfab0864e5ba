"""The functions of the rooms' Redis: each is atomic, and returns None where Redis refuses or nothing changes."""

from typing import NamedTuple

from livegift.domain.partitions import Position
from livegift.domain.recovery import superseded
from tests.simulation.partition import put
from tests.simulation.state import Design, Entry, Incarnation, Room, RoomContribution, RoomNode


class Correction(NamedTuple):
    """A correction of a contribution from `before` to `right`, which the ledger has up to `to`.

    Events revoke what lies above `revoke_above`. `is_lost`: the room may have published more than it knows.
    """

    before: RoomContribution
    to: Position
    right: tuple[Entry, ...]
    revoke_above: int | None
    is_lost: bool


def accepts(node: RoomNode, incarnation: Incarnation, design: Design) -> bool:
    """Return whether the node accepts publications from a relay that has begun in this incarnation."""
    if design.gate and not node.gate:
        return False
    if design.guard == "generation":
        return incarnation[1] >= node.since[1]
    return design.guard == "none" or incarnation >= node.since


def publish(node: RoomNode, index: int, entry: Entry, design: Design) -> RoomNode:
    """`room_publish` of one entry; returns the same node when the room skips it."""
    room = node.rooms[index]
    if design.watermark and entry.at <= room.mark:
        return node
    if design.fence and superseded(entry.at, room.fences):
        return node
    room = room._replace(
        mark=max(entry.at, room.mark),
        counted=tuple(sorted((*room.counted, entry))),
        epoch=_epoch(node, index, design),
        seq=room.seq + 1,
    )
    return _changed(node, index, room)


def fence(node: RoomNode, index: int, at: Position, design: Design) -> RoomNode:
    """`room_fence`."""
    room = node.rooms[index]
    if not design.fence or room.fences[:1] == (at,):
        return node
    fences = (at, *(known for known in room.fences if known != at))[: design.fences_max]
    return node._replace(rooms=put(node.rooms, index, room._replace(fences=fences)))


def correct(node: RoomNode, index: int, change: Correction, design: Design) -> RoomNode | None:
    """`room_correct`."""
    room = node.rooms[index]
    if design.contribution_cas and room.contribution != change.before:
        return None
    epoch, revoked = _epoch(node, index, design), 0
    if change.revoke_above is not None:
        revoked = sum(e.at.epoch == room.mark.epoch and e.at.n > change.revoke_above for e in room.counted)
    if change.is_lost or revoked < len(room.counted) - len(change.right):
        epoch += 1
    room = room._replace(mark=change.to, counted=change.right, epoch=epoch, seq=room.seq + revoked)
    return _changed(node, index, room)


def _epoch(node: RoomNode, index: int, design: Design) -> int:
    epoch = node.rooms[index].epoch
    if node.gate == 0 or node.changed[index] or not design.room_epoch:
        return epoch
    return max(node.gate, epoch + 1)


def _changed(node: RoomNode, index: int, room: Room) -> RoomNode:
    return node._replace(rooms=put(node.rooms, index, room), changed=put(node.changed, index, True))


def open_gate(node: RoomNode, token: int, incarnation: Incarnation, design: Design) -> RoomNode:
    """`rooms_open`; returns the same node when it is open, or claimed by somebody else."""
    since = max(node.since, incarnation)
    if node.gate or (design.gate_claim and node.claim != token):
        return node if design.gate_claim else node._replace(since=since)
    return node._replace(gate=token, claim=0, changed=(False,) * len(node.rooms), since=since)
