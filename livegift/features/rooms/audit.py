"""The audit of one room: what its viewers saw, what is booked, who was credited. Exact even under traffic."""

import asyncio
from collections.abc import Mapping

from livegift.contract.errors import RequestError
from livegift.features.rooms.bodies import BookedTotals, RoomProof
from livegift.ledger import room_contributions as ledger
from livegift.ledger.engine import Database
from livegift.ledger.room_contributions import BookedGifter
from livegift.ledger.rooms import read_room
from livegift.runtime.bounds import ROOM_AUDIT_POLL_S, ROOM_AUDIT_TRIES_MAX, ROOM_AUDIT_WAIT_S
from livegift.store.rooms import Gifter, RoomContribution, Rooms


async def audit_room(database: Database, rooms: Rooms, room_id: str) -> RoomProof:
    """Compare a room's totals, contributions and ranks with its booked gifts; returns the response of `GET …/audit`.

    Redis is read first; then the audit waits for the ledger and reads it at exactly those positions. Ranks and
    contributions are of the same moment only if nothing was published in between, so a busy room is read again.

    Raises RequestError('room_not_found'), StoreUnavailableError or LedgerUnavailableError.
    """
    room = await read_room(database, room_id)
    if room is None:
        raise RequestError("room_not_found")
    contributions, ranks = await _seen(rooms, room_id)
    upto = {p: contribution.position.n for p, contribution in contributions.items()}
    late = await _wait_for_ledger(database, upto)
    async with database.snapshot() as connection:
        booked = await ledger.booked_contributions(connection, room_id, upto)
        gifters = await ledger.booked_gifters(connection, room_id, upto)
        receivers = await ledger.receivers_of(connection, room_id, upto)
        revoked = await ledger.revocations_in(connection, room_id, upto)
    violations = [f"partition {p}: published up to {upto[p]}, booked up to {n}" for p, n in late.items()]
    for p in sorted(contributions.keys() | booked.keys()):
        here = contributions[p].sums if p in contributions else (0, 0, 0)
        there = booked.get(p, (0, 0, 0))
        if here != there:
            violations.append(f"partition {p}: the room has (gifts, coins, diamonds) {here}, the ledger {there}")
    if ranks is not None:
        violations += _compare_ranks(ranks, gifters)
    return RoomProof(
        room=room_id,
        creator=room.creator_id,
        status=room.status,
        passed=not violations,
        violations=violations,
        totals=BookedTotals(*_sum(contributions)),
        booked_up_to={str(p): str(contributions[p].position) for p in sorted(contributions)},
        gifters_compared=len(ranks or ()),
        diamonds_by_receiver=receivers,
        revoked=BookedTotals(**revoked),
    )


def _sum(contributions: Mapping[int, RoomContribution]) -> tuple[int, int, int]:
    gifts, coins, diamonds = (sum(contribution.sums[i] for contribution in contributions.values()) for i in range(3))
    return gifts, coins, diamonds


def _compare_ranks(ranks: Mapping[str, Gifter], gifters: Mapping[str, BookedGifter]) -> list[str]:
    return [
        f"gifter {user}: ranks count {_told(ranks.get(user))}, the ledger {_told(gifters.get(user))}"
        for user in sorted(ranks.keys() | gifters.keys())
        if _told(ranks.get(user)) != _told(gifters.get(user))
    ]


def _told(gifter: Gifter | BookedGifter | None) -> str:
    return f"{gifter.coins} coins of {gifter.gifts} gifts" if gifter else "nothing"


async def _seen(rooms: Rooms, room_id: str) -> tuple[dict[int, RoomContribution], dict[str, Gifter] | None]:
    """Return contributions and ranks of one moment; no ranks for a room that changes all the time."""
    contributions = (await rooms.contributions([room_id]))[room_id]
    for _ in range(ROOM_AUDIT_TRIES_MAX):
        ranks = await rooms.gifters(room_id)
        again = (await rooms.contributions([room_id]))[room_id]
        if again == contributions:
            return contributions, ranks
        contributions = again
    return contributions, None


async def _wait_for_ledger(database: Database, upto: Mapping[int, int]) -> dict[int, int]:
    """Wait until everything that was seen is booked; returns the partitions that are late, with their positions."""
    deadline = asyncio.get_running_loop().time() + ROOM_AUDIT_WAIT_S
    while True:
        async with database.snapshot() as connection:
            booked = {p: at.n for p, at in (await ledger.checkpoints(connection)).items()}
        late = {p: booked.get(p, 0) for p, n in upto.items() if booked.get(p, 0) < n}
        if not late or asyncio.get_running_loop().time() > deadline:
            return late
        await asyncio.sleep(ROOM_AUDIT_POLL_S)
