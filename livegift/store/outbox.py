"""The journals of the partitions, as their two readers use them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import NamedTuple

from livegift.contract.errors import StoreUnavailableError
from livegift.domain.entries import Row, rows_of
from livegift.domain.partitions import Position
from livegift.runtime.bounds import BARRIER_TIMEOUT_MS, REDIS_TIMEOUT_S
from livegift.store import functions, keys
from livegift.store.client import Node, Store, refused
from livegift.store.functions.partitions import (
    PartitionReply,
    PlaceReply,
    cursor_advance,
    cursor_rewind,
    outbox_trim,
    partition_arm,
    partition_disarm,
    partition_join,
    partition_short,
    partition_state,
)
from livegift.store.functions.partitions import (
    barrier as write_barrier,
)
from livegift.store.functions.wallets import streaks_sweep
from livegift.store.link import Command, Link


class Incarnation(NamedTuple):
    """An epoch of a partition and a generation of its relay's cursor. What was read in an earlier one may not count."""

    epoch: int
    generation: int


NO_LIFE = Incarnation(0, 0)  # no armed partition has it


@dataclass(frozen=True, slots=True)
class PartitionState:
    """The state of a partition in Redis. `armed_epoch` is 0 when it accepts no changes."""

    armed_epoch: int
    epoch: int
    n: int
    relayed: Position
    booked: Position
    gifts: int
    coins: int
    generation: int
    reach_n: int
    """The n after which the outbox has every entry."""
    event_id_key: bytes = field(repr=False)
    """The key from which the ids of its events are made, empty before it is armed for the first time."""

    @classmethod
    def parse(cls, reply: Sequence[bytes]) -> "PartitionState":
        """Parse the reply of `partition_state`."""
        said = PartitionReply(*(item.decode() for item in reply))
        return cls(
            armed_epoch=int(said.armed_epoch),
            epoch=int(said.epoch),
            n=int(said.n),
            relayed=Position.parse(said.relayed),
            booked=Position.parse(said.booked),
            gifts=int(said.gifts),
            coins=int(said.coins),
            generation=int(said.generation),
            reach_n=int(said.reach_n),
            event_id_key=bytes.fromhex(said.event_id_key),
        )

    @property
    def incarnation(self) -> Incarnation:
        """Return the present incarnation: rooms accept what a relay reads in it."""
        return Incarnation(self.epoch, self.generation)

    @property
    def position(self) -> Position:
        """Return the position of the last entry."""
        return Position(self.epoch, self.n)


def read_commands(
    roots: Mapping[int, str], cursors: Mapping[int, Position], count: int, block_ms: int | None, *, together: bool
) -> list[Command]:
    """Return XREAD commands for the partitions in `cursors`: one for all `together`, or one each (cluster slots)."""
    options: tuple[str | int, ...] = ("COUNT", count) if block_ms is None else ("COUNT", count, "BLOCK", block_ms)
    if together:
        names = [keys.outbox(roots[p]) for p in cursors]
        return [("XREAD", *options, "STREAMS", *names, *(str(cursor) for cursor in cursors.values()))]
    return [("XREAD", *options, "STREAMS", keys.outbox(roots[p]), str(cursor)) for p, cursor in cursors.items()]


def parse_read(
    replies: Sequence[object], partition_of_stream: Mapping[bytes, int], cursors: Mapping[int, Position]
) -> dict[int, list[Row]]:
    """Parse the replies of `read_commands`: partition -> its new entries, in order. Raises StoreUnavailableError."""
    found: dict[int, list[Row]] = {}
    for reply in replies:
        message = refused(reply)
        if message is not None:
            raise StoreUnavailableError(f"an outbox can't be read: {message}", executed=False)
        if isinstance(reply, list):
            for name, stream in reply:
                partition = partition_of_stream[bytes(name)]
                if rows := rows_of(partition, stream, cursors[partition]):
                    found[partition] = rows
    return found


class Outbox:
    """The outboxes of all partitions."""

    def __init__(self, store: Store, partitions: int) -> None:
        """Use `store`; `partitions` is their number, fixed at the first migration."""
        self.store = store
        self.roots = dict(enumerate(keys.partition_roots(partitions)))
        self._by_stream = {keys.outbox(root).encode(): p for p, root in self.roots.items()}

    def node_of(self, partition: int) -> Node:
        """Return the primary that owns a partition."""
        return self.store.node_of(self.roots[partition])

    def read_groups(self, partitions: Iterable[int]) -> list[tuple[int, ...]]:
        """Group partitions by what one blocking XREAD can wait for: all on a single node, each alone in a cluster."""
        chosen = tuple(sorted(partitions))
        if not chosen:
            return []
        return [(p,) for p in chosen] if self.store.is_cluster else [chosen]

    async def wait(
        self, link: Link, cursors: Mapping[int, Position], count: int, block_ms: int
    ) -> dict[int, list[Row]]:
        """Wait up to `block_ms` for entries after `cursors` (of one read group). Raises StoreUnavailableError."""
        commands = read_commands(self.roots, cursors, count, block_ms, together=True)
        return parse_read(await link.exchange(commands, block_ms / 1000 + REDIS_TIMEOUT_S), self._by_stream, cursors)

    async def read(self, link: Link, cursors: Mapping[int, Position], count: int) -> dict[int, list[Row]]:
        """Read entries after `cursors` (partitions of one node), without waiting. Raises StoreUnavailableError."""
        commands = read_commands(self.roots, cursors, count, None, together=False)
        return parse_read(await link.exchange(commands, REDIS_TIMEOUT_S), self._by_stream, cursors)

    async def wait_durable(self, link: Link, partition: int, barrier: Mapping[str, int] | None) -> None:
        """Wait until everything read on `link` so far is as durable as `barrier` asks for.

        `barrier` is {"local": 0|1, "replicas": n}, or None for no waiting; `partition` is any of the node's. WAITAOF
        counts only the writes of its own connection, so a write goes before it, on the link that has read, which never
        reconnects. Raises StoreUnavailableError, also when the numbers that WAITAOF returns are too low.
        """
        if barrier is None:
            return
        commands: list[Command] = [
            write_barrier(self.roots[partition]),
            ("WAITAOF", barrier["local"], barrier["replicas"], BARRIER_TIMEOUT_MS),
        ]
        written, waited = await link.exchange(commands, BARRIER_TIMEOUT_MS / 1000 + REDIS_TIMEOUT_S)
        message = refused(written) or refused(waited)
        if message is not None:
            raise StoreUnavailableError(f"the durability barrier failed: {message}")
        if waited[0] < barrier["local"] or waited[1] < barrier["replicas"]:
            raise StoreUnavailableError(
                f"the durability barrier wants {barrier}, after {BARRIER_TIMEOUT_MS} ms it was {waited}"
            )

    async def states(self, partitions: Iterable[int]) -> dict[int, PartitionState]:
        """Return the state of each partition; those of a dead node are missing."""
        chosen = list(partitions)
        replies = await self.store.call_many([partition_state(self.roots[p]) for p in chosen])
        return {
            partition: PartitionState.parse(reply)
            for partition, reply in zip(chosen, replies, strict=True)
            if not isinstance(reply, Exception)
        }

    async def _next_rows(self, partition: int, position: Position) -> list[Row]:
        root = self.roots[partition]
        # Two: after a repair, of the first one nothing may be after the position.
        command: Command = ("XRANGE", keys.outbox(root), f"({position}", "+", "COUNT", 2)
        # By `exchange`, because redis-py would make dictionaries of the fields.
        (reply,) = await self.node_of(partition).exchange([command])
        if (message := refused(reply)) is not None:
            raise StoreUnavailableError(f"an outbox can't be read: {message}", executed=False)
        return rows_of(partition, reply, position)

    async def first_after(self, partition: int, position: Position) -> Position | None:
        """Return the position of the first entry after a position, or None. Raises StoreUnavailableError."""
        rows = await self._next_rows(partition, position)
        return rows[0].position if rows else None

    async def age_after_s(self, partition: int, position: Position) -> float | None:
        """Return the age in seconds, by Redis' clock, of the first entry after a position.

        Returns None when there is none, or when it does not say when it was written. Raises StoreUnavailableError.
        """
        rows = await self._next_rows(partition, position)
        if not rows or rows[0].entry is None:
            return None
        seconds, microseconds = await self.store.call_plain(self.roots[partition], ("TIME",))
        return max(int(seconds) + int(microseconds) / 1_000_000 - rows[0].entry.ts_ms / 1000, 0.0)

    async def arm(self, partition: int, at: Position, token: str, backlog_max: int, event_id_key: bytes) -> None:
        """Arm a partition: let money move under a new epoch, from the n of `at` on.

        Later versions of the functions are armed as well, but no earlier ones, which do not know how wallets are stored
        now: somebody may have loaded them again. `event_id_key` is stored for the relay, which does not ask the
        ledger. Raises StoreRefusedError when the epoch is not above the stored one, n is a different one, or somebody
        else has disarmed the partition since.
        """
        root = self.roots[partition]
        command = partition_arm(
            root,
            epoch=at.epoch,
            number=partition,
            backlog_max=backlog_max,
            token=token,
            n=at.n,
            event_id_key=event_id_key.hex(),
        )
        await self.store.call(command)
        for version in await functions.other_versions(self.node_of(partition)):
            if version > functions.VERSION:
                await self.store.call(partition_join.of_version(version)(root, at.epoch, partition))

    async def disarm(self, partition: int) -> tuple[str, Position]:
        """Disarm a partition: no money moves until it is armed again.

        Returns a token, which allows repairing and arming until somebody else disarms it, and the stored position.
        """
        root, token = self.roots[partition], token_hex(8)
        for version in await functions.other_versions(self.node_of(partition)):
            await self.store.call(partition_disarm.of_version(version)(root, token))
        place = PlaceReply(*await self.store.call(partition_disarm(root, token)))
        return token, Position(int(place.epoch), int(place.n))

    async def set_short(self, partitions: Iterable[int], *, short: bool) -> None:
        """Tell partitions whether memory is short; if so, they accept no new debits.

        Raises StoreUnavailableError when one could not be told: then tell all of them again.
        """
        names = list(partitions)
        replies = await self.store.call_many([partition_short(self.roots[p], "1" if short else "0") for p in names])
        for partition, reply in zip(names, replies, strict=True):
            if (message := refused(reply)) is not None or isinstance(reply, Exception):
                raise StoreUnavailableError(f"partition {partition} was not told: {message or reply}")

    async def rewind(self, positions: Mapping[int, Position], epochs: Mapping[int, int]) -> dict[int, Incarnation]:
        """Set the relays' cursors back, so that they publish again everything after each position.

        Returns the incarnations in which they do. Raises StoreUnavailableError, also when a partition is not in its
        epoch of `epochs` or its outbox no longer has all of these entries.
        """
        replies = await self.store.call_many(
            [cursor_rewind(self.roots[p], str(position), epochs[p]) for p, position in positions.items()]
        )
        for p, reply in zip(positions, replies, strict=True):
            if isinstance(reply, Exception):
                raise StoreUnavailableError(f"the relay's cursor of partition {p} was not set back: {reply}")
        return {p: Incarnation(epochs[p], reply) for p, reply in zip(positions, replies, strict=True)}

    async def advance(
        self, reader: str, positions: Mapping[int, Position], incarnations: Mapping[int, Incarnation] | None = None
    ) -> set[int]:
        """Record that `reader` ('relayed' or 'booked') has everything up to each position.

        Cursors never go back; a relay's moves only in its incarnation of `incarnations`. Returns the partitions whose
        cursor has moved.
        """
        begun = incarnations or {}
        replies = await self.store.call_many(
            [
                cursor_advance(self.roots[p], reader, str(position), *begun.get(p, NO_LIFE))
                for p, position in positions.items()
            ]
        )
        return {p for p, reply in zip(positions, replies, strict=True) if reply == 1}

    async def trim(self, upto: Mapping[int, Position]) -> int:
        """Trim the entries before each position, but none that a reader still needs. Returns how many were removed."""
        replies = await self.store.call_many(
            [outbox_trim(self.roots[p], str(position)) for p, position in upto.items()]
        )
        return sum(reply for reply in replies if isinstance(reply, int))

    async def sweep_streaks(self, partitions: Iterable[int], at_most: int, room: str = "") -> dict[int, int]:
        """End the expired streaks, and all of `room`. Returns how many streaks each partition still has open.

        Partitions that did not answer or are not armed are missing.
        """
        chosen = list(partitions)
        replies = await self.store.call_many([streaks_sweep(self.roots[p], at_most, room) for p in chosen])
        return {p: reply for p, reply in zip(chosen, replies, strict=True) if isinstance(reply, int) and reply >= 0}
