"""Announcements to a room's viewers: its opening and its end. Each can be repeated."""

import time

from livegift.contract.events import RoomEvent, body_of
from livegift.ledger.rooms import Room
from livegift.runtime.bounds import COMBO_SWEEP_MAX
from livegift.store.outbox import Outbox
from livegift.store.rooms import Rooms


def _now_ms() -> int:
    return int(time.time() * 1000)


async def announce_opening(rooms: Rooms, room: Room) -> None:
    """Announce once that the room is live."""
    event = RoomEvent(id=f"room-{room.id}-opened", ts_ms=_now_ms(), status=room.status, title=room.title)
    await rooms.announce(room.id, body_of(event), "opened")


async def announce_end(rooms: Rooms, outbox: Outbox, room: Room) -> None:
    """End the room's open streaks, announce once that it has ended, and let its keys expire later."""
    event = RoomEvent(id=f"room-{room.id}-ended", ts_ms=_now_ms(), status="ended", title=room.title)
    await rooms.announce(room.id, body_of(event), "ended", ended=True)
    await outbox.sweep_streaks(outbox.roots, COMBO_SWEEP_MAX, room.id)
