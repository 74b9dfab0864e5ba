"""Rooms: told which branch of a journal counts, compared with the ledger, and put right partition by partition."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from livegift import metrics, wire
from livegift.domain.partitions import Position, partition_of
from livegift.domain.recovery import common_end, position_at
from livegift.errors import StoreUnavailableError
from livegift.ledger import shares as ledger
from livegift.ledger.arming import all_bases, next_room_epoch
from livegift.ledger.engine import Database
from livegift.limits import CORRECT_ATTEMPTS_MAX, FENCE_ENDED_ROOMS_S, FENCE_ROOMS_AT_ONCE, RELAY_REWIND_ENTRIES
from livegift.store.client import Node, Store
from livegift.store.keys import room_root
from livegift.store.outbox import Outbox
from livegift.store.rooms import Gifter, Rooms, Share
from livegift.store.server import settle_file

if TYPE_CHECKING:
    from livegift.recovery.partitions import Prepared

log = structlog.get_logger()

Bases = Mapping[int, int]


def _chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[i : i + FENCE_ROOMS_AT_ONCE] for i in range(0, len(names), FENCE_ROOMS_AT_ONCE))


def revoked_above(share: Share, bases: Bases) -> int | None:
    """The n beyond which a room's share does not count any more, None when all of it does."""
    end = common_end(share.position.epoch, bases)
    return end if end is not None and share.position.n > end else None


class RoomRecovery:
    """Puts rooms right."""

    def __init__(self, store: Store, outbox: Outbox, rooms: Rooms, database: Database) -> None:
        """All for the same system."""
        self._store = store
        self._outbox = outbox
        self._rooms = rooms
        self._database = database

    # --- Before partitions are armed ----------------------------------------------------------------------------------

    async def fence(self, prepared: Mapping[int, "Prepared"]) -> None:
        """Tell every active room where the new epochs begin; put right what is beyond, and what can't come any more."""
        fences = {p: ready.at for p, ready in prepared.items() if ready.bases}  # a first epoch supersedes nothing
        if not fences:
            return
        bases = {p: {**prepared[p].bases, at.epoch: at.n} for p, at in fences.items()}
        async with self._database.snapshot() as connection:
            names = await ledger.active_rooms(connection, FENCE_ENDED_ROOMS_S)
            unpublished: set[tuple[str, int]] = set()
            for p, ready in prepared.items():
                if ready.unpublished_after is not None:
                    after = position_at(ready.unpublished_after, ready.bases)
                    unpublished |= {(room, p) for room in await ledger.rooms_after(connection, p, after)}
        for chunk in _chunks(names):
            for room, shares in (await self._rooms.fence(chunk, fences)).items():
                for p, share in shares.items():
                    if revoked_above(share, bases[p]) is not None or (room, p) in unpublished:
                        await self._correct(room, p, fences[p], bases[p])
        log.info("rooms.fenced", rooms=len(names), partitions=len(fences))

    async def _correct(self, room: str, partition: int, to: Position, bases: Bases, *, room_lost: bool = False) -> None:
        """Make a room's share of one partition what the ledger says; `to` is the checkpoint or what was just armed."""
        for _ in range(CORRECT_ATTEMPTS_MAX):
            share = (await self._rooms.shares([room]))[room].get(partition, Share.parse(""))
            revoke = revoked_above(share, bases)
            async with self._database.snapshot() as connection:
                to = max(to, (await ledger.checkpoints(connection))[partition])
                booked, gifters = await ledger.share_of(connection, room, partition)
            if revoke is None and share.position.n >= booked.last_n:
                return
            known = {gifter.user for gifter in gifters}
            strangers = []
            if revoke is not None:
                here = await self._rooms.gifters(room)
                mine = [user for user in here if partition_of(user, len(self._outbox.roots)) == partition]
                strangers = [user for user in mine if user not in known]
            revoked = await self._rooms.correct(
                room,
                partition,
                share,
                Share("", to, booked.gifts, booked.coins, booked.diamonds),
                (Gifter(g.user, g.coins, wire.user_json(g.user, g.user, None)) for g in gifters),
                strangers,
                revoke_above=revoke,
                room_lost=room_lost or revoke is None,
            )
            if revoked is not None:
                metrics.REVOKED.inc(revoked)
                log.warning("room.corrected", room=room, partition=partition, before=share.raw, to=str(to),
                            gifts=booked.gifts, revoked=revoked)  # fmt: skip
                return
        raise StoreUnavailableError(f"room {room} does not stand still", executed=False)

    # --- Before a node's rooms publish --------------------------------------------------------------------------------

    async def open_gates(self) -> None:
        """Open the gate of each node that has started anew. Raises StoreUnavailableError, LedgerUnavailableError."""
        for node in self._store.nodes:
            if not await self._rooms.gate(node):
                await settle_file(node)
                generations = await self.check(node)
                await self._rooms.open_gate(node, await next_room_epoch(self._database), generations)
                log.info("rooms.gate_opened", node=node.name)

    async def reopen_gates(self) -> None:
        """Check the rooms of all nodes, whether they have started anew or not."""
        for node in self._store.nodes:
            await self._rooms.close_gate(node)
        await self.open_gates()

    async def check(self, node: Node) -> dict[int, int]:
        """Compare all active rooms of a node with the ledger, while its gate is closed.

        The relays are set back to what a room lacks, as far as the outboxes reach; rooms pass over what they have. What
        the outboxes don't have any more is put right from the ledger. Returns the generations of the relays' cursors
        from which on they know of it.
        """
        async with self._database.snapshot() as connection:
            names = await ledger.active_rooms(connection, FENCE_ENDED_ROOMS_S)
            checkpoints = await ledger.checkpoints(connection)
            bases = await all_bases(connection)
        mine = [room for room in names if self._store.node_of(room_root(room)) is node]
        back_to = {p: max(at.n - RELAY_REWIND_ENTRIES, 0) for p, at in checkpoints.items()}
        behind: list[tuple[str, int, int]] = []
        for chunk in _chunks(mine):
            for room, p, share in await self._behind(chunk, checkpoints, bases):
                revoke = revoked_above(share, bases.get(p, {}))
                if revoke is None:
                    behind.append((room, p, share.position.n))
                else:
                    await self._correct(room, p, checkpoints[p], bases[p], room_lost=True)
        for p, goal in back_to.items():
            back_to[p] = await self._reach(p, goal, behind, checkpoints[p], bases.get(p, {}))
        generations = await self._outbox.rewind({p: position_at(n, bases.get(p, {})) for p, n in back_to.items()})
        for p, n in back_to.items():
            first = await self._outbox.first_after(p, Position(0, 0))
            if first is not None and first.n > n + 1:
                raise StoreUnavailableError(f"partition {p} was trimmed meanwhile", executed=False)
        log.info("rooms.checked", node=node.name, rooms=len(mine), behind=len(behind))
        return generations

    async def _reach(
        self, partition: int, goal: int, behind: Iterable[tuple[str, int, int]], checkpoint: Position, bases: Bases
    ) -> int:
        """The n to which a relay has to go back for the rooms that are behind; those out of its reach are put right."""
        first = await self._outbox.first_after(partition, Position(0, 0))
        oldest = first.n - 1 if first else checkpoint.n
        for room, _, n in (item for item in behind if item[1] == partition):
            if n < oldest:
                await self._correct(room, partition, checkpoint, bases, room_lost=True)
            else:
                goal = min(goal, n)
        return max(goal, oldest)

    async def _behind(
        self, rooms: Sequence[str], checkpoints: Mapping[int, Position], bases: Mapping[int, Bases]
    ) -> list[tuple[str, int, Share]]:
        """Each room's shares that lack gifts of the ledger, or have more than counts."""
        fences = {p: Position(max(known), known[max(known)]) for p, known in bases.items() if len(known) > 1}
        if fences:
            await self._rooms.fence(rooms, fences)
        shares = await self._rooms.shares(rooms)
        async with self._database.snapshot() as connection:
            lasts = await ledger.last_gifts(connection, rooms, checkpoints)
        found = []
        for room in rooms:
            for p in checkpoints:
                share, last_n = shares[room].get(p, Share.parse("")), lasts.get((room, p), 0)
                if share.position.n < last_n or revoked_above(share, bases.get(p, {})) is not None:
                    found.append((room, p, share))
        return found
