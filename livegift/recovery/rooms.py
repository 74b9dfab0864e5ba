"""Recovery of rooms: fencing them, comparing them with the ledger, and correcting them partition by partition."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.events import user_json
from livegift.domain.partitions import START, Position, partition_of
from livegift.domain.recovery import common_end, position_at
from livegift.ledger import room_contributions as ledger
from livegift.ledger.arming import all_bases, next_room_epoch
from livegift.ledger.engine import Database, LedgerUnavailableError
from livegift.recovery.legacy_rooms import LegacyRoomRecovery
from livegift.runtime import metrics
from livegift.runtime.bounds import (
    CORRECT_ATTEMPTS_MAX,
    FENCE_ENDED_ROOMS_S,
    FENCE_ROOMS_AT_ONCE,
    GATE_ATTEMPTS_MAX,
    GATE_RETRY_S,
    RELAY_REWIND_ENTRIES,
)
from livegift.store.client import Node, Store
from livegift.store.keys import room_root
from livegift.store.outbox import Incarnation, Outbox
from livegift.store.rooms import Gifter, RoomContribution, Rooms
from livegift.store.server import settle_file

if TYPE_CHECKING:
    from livegift.recovery.partitions import Prepared

log = structlog.get_logger()

Bases = Mapping[int, int]


def _chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[i : i + FENCE_ROOMS_AT_ONCE] for i in range(0, len(names), FENCE_ROOMS_AT_ONCE))


def revoked_above(contribution: RoomContribution, bases: Bases) -> int | None:
    """Return the n beyond which a room's contribution does not count, or None when all of it does."""
    end = common_end(contribution.position.epoch, bases)
    return end if end is not None and contribution.position.n > end else None


def _gifter(booked: ledger.BookedGifter) -> Gifter:
    return Gifter(booked.user, booked.gifts, booked.coins, booked.reached_ms)


def _refuse_set_back(checkpoints: Mapping[int, Position], known: Mapping[int, Position]) -> None:
    """Raise LedgerUnavailableError when the ledger is behind positions that it was at before."""
    if any(checkpoints.get(p, START) < at for p, at in known.items()):
        raise LedgerUnavailableError("the ledger was set back meanwhile")


class RoomRecovery:
    """Compares rooms with the ledger and corrects them."""

    def __init__(self, store: Store, outbox: Outbox, rooms: Rooms, database: Database) -> None:
        """Use stores of one system."""
        self._store = store
        self._outbox = outbox
        self._rooms = rooms
        self._database = database
        self._legacy = LegacyRoomRecovery(store, database)

    # --- Before partitions are armed ----------------------------------------------------------------------------------

    async def fence(self, prepared: Mapping[int, "Prepared"]) -> None:
        """Tell every active room where the new epochs begin, and correct rooms that need it.

        They have entries beyond these positions, or lack entries that no relay will publish any more.
        """
        fences = {p: ready.at for p, ready in prepared.items() if ready.bases}  # a first epoch supersedes nothing
        if not fences:
            return
        bases = {p: {**prepared[p].bases, at.epoch: at.n} for p, at in fences.items()}
        relayed = {p: prepared[p].relayed_n for p in fences}
        async with self._database.snapshot() as connection:
            names = await ledger.active_rooms(connection, FENCE_ENDED_ROOMS_S)
            _refuse_set_back(await ledger.checkpoints(connection), fences)
        for chunk in _chunks(names):
            found = await self._rooms.fence(chunk, fences)
            async with self._database.snapshot() as connection:
                lasts = await ledger.last_gifts(connection, chunk, relayed)
            for room, contributions in found.items():
                for p, at in fences.items():
                    contribution = contributions.get(p, RoomContribution.parse(""))
                    is_lacking = contribution.position.n < lasts.get((room, p), 0)
                    if is_lacking or revoked_above(contribution, bases[p]) is not None:
                        await self._correct(room, p, at, bases[p])
        log.info("rooms.fenced", rooms=len(names), partitions=len(fences))

    async def _correct(self, room: str, partition: int, to: Position, bases: Bases, *, room_lost: bool = False) -> None:
        """Correct one partition's contribution to a room. `to` is the checkpoint, or where it was just armed."""
        for _ in range(CORRECT_ATTEMPTS_MAX):
            contribution = (await self._rooms.contributions([room]))[room].get(partition, RoomContribution.parse(""))
            revoke = revoked_above(contribution, bases)
            async with self._database.snapshot() as connection:
                checkpoints = await ledger.checkpoints(connection)
                _refuse_set_back(checkpoints, {partition: to})
                to = checkpoints[partition]
                booked, gifters = await ledger.contribution_of(connection, room, partition)
            if revoke is None and contribution.position.n >= booked.last_n:
                return
            names = {gifter.user for gifter in gifters}
            strangers = []
            if revoke is not None:
                here = await self._rooms.gifters(room)
                mine = [user for user in here if partition_of(user, len(self._outbox.roots)) == partition]
                strangers = [user for user in mine if user not in names]
            revoked = await self._rooms.correct(
                room,
                partition,
                contribution,
                RoomContribution("", to, booked.gifts, booked.coins, booked.diamonds),
                ((_gifter(known), user_json(known.user, known.user, None)) for known in gifters),
                strangers,
                revoke_above=revoke,
                room_lost=room_lost or revoke is None,
            )
            if revoked is not None:
                metrics.REVOKED.inc(revoked)
                log.warning("room.corrected", room=room, partition=partition, before=contribution.raw, to=str(to),
                            gifts=booked.gifts, revoked=revoked)  # fmt: skip
                return
        raise StoreUnavailableError(f"room {room} changes all the time", executed=False)

    # --- Before a node's rooms publish --------------------------------------------------------------------------------

    async def open_gates(self) -> None:
        """Open the gate of each node that has restarted. Raises StoreUnavailableError, LedgerUnavailableError."""
        for node in self._store.nodes:
            await self._open_gate(node)
        await self._legacy.convert_ended()

    async def _open_gate(self, node: Node) -> None:
        for _ in range(GATE_ATTEMPTS_MAX):
            if await self._rooms.gate(node):
                return
            await settle_file(node)
            token = await next_room_epoch(self._database)
            await self._rooms.claim_gate(node, token)
            if await self._rooms.open_gate(node, token, await self.check(node)):
                log.info("rooms.gate_opened", node=node.name)
                return
            # An aggregator and `livegift restore`, or two aggregators, do this at the same time: the last claim counts.
            log.info("rooms.gate_claimed_meanwhile", node=node.name)
            await asyncio.sleep(GATE_RETRY_S)
        raise StoreUnavailableError(f"the gate of {node.name} is claimed again and again by others", executed=False)

    async def close_gates(self) -> None:
        """Close the gates of all nodes, so that their rooms are compared, whether they have restarted or not."""
        for node in self._store.nodes:
            await self._rooms.close_gate(node)

    async def check(self, node: Node) -> dict[int, Incarnation]:
        """Compare all active rooms of a node with the ledger, while its gate is closed.

        The relays are set back to what a room lacks, as far as the outboxes reach; rooms skip entries that they have.
        What the outboxes no longer have is corrected from the ledger. Returns the incarnations of the partitions that
        relays read in from now on.
        """
        async with self._database.snapshot() as connection:
            names = await ledger.active_rooms(connection, FENCE_ENDED_ROOMS_S)
            checkpoints = await ledger.checkpoints(connection)
            bases = await all_bases(connection)
            stopped = await ledger.stopped(connection)
        mine = [room for room in names if self._store.node_of(room_root(room)) is node]
        behind: list[tuple[str, int, int]] = []
        for chunk in _chunks(mine):
            for room, p, contribution in await self._behind(chunk, checkpoints, bases):
                if revoked_above(contribution, bases.get(p, {})) is None:
                    behind.append((room, p, contribution.position.n))
                else:
                    await self._correct(room, p, checkpoints[p], bases[p], room_lost=True)
        states = await self._outbox.states(checkpoints)
        back_to, incarnations = {}, {}
        for p, at in checkpoints.items():
            state = states.get(p)
            if state is not None and state.epoch == at.epoch and state.reach_n <= at.n:
                n = await self._reach(p, state.reach_n, behind, at, bases.get(p, {}))
                back_to[p] = position_at(n, bases.get(p, {}))
            elif state is not None and p in stopped:
                # None of its entries count before it is armed again, and then the rooms are compared.
                incarnations[p] = Incarnation(state.epoch + 1, 0)
            else:
                raise StoreUnavailableError(f"partition {p} has to be armed or booked first", executed=False)
        await self._legacy.convert_active(node)
        incarnations |= await self._outbox.rewind(back_to, {p: checkpoints[p].epoch for p in back_to})
        log.info("rooms.checked", node=node.name, rooms=len(mine), behind=len(behind))
        return incarnations

    async def _reach(
        self, partition: int, reach_n: int, behind: Iterable[tuple[str, int, int]], checkpoint: Position, bases: Bases
    ) -> int:
        """Return the n to which a relay has to go back for the rooms that are behind; correct those out of reach."""
        goal = max(checkpoint.n - RELAY_REWIND_ENTRIES, reach_n)
        for room, _, n in (item for item in behind if item[1] == partition):
            if n < reach_n:
                await self._correct(room, partition, checkpoint, bases, room_lost=True)
            else:
                goal = min(goal, n)
        return goal

    async def _behind(
        self, rooms: Sequence[str], checkpoints: Mapping[int, Position], bases: Mapping[int, Bases]
    ) -> list[tuple[str, int, RoomContribution]]:
        """Return the contributions of rooms that lack gifts of the ledger, or have more than counts."""
        fences = {p: Position(max(known), known[max(known)]) for p, known in bases.items() if len(known) > 1}
        if fences:
            await self._rooms.fence(rooms, fences)
        contributions = await self._rooms.contributions(rooms)
        async with self._database.snapshot() as connection:
            lasts = await ledger.last_gifts(connection, rooms, {p: at.n for p, at in checkpoints.items()})
        found = []
        for room in rooms:
            for p in checkpoints:
                contribution, last_n = contributions[room].get(p, RoomContribution.parse("")), lasts.get((room, p), 0)
                if contribution.position.n < last_n or revoked_above(contribution, bases.get(p, {})) is not None:
                    found.append((room, p, contribution))
        return found
