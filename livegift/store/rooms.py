"""Rooms in Redis: published events, totals, ranks and viewer counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from livegift.contract.bounds import REPLAY_EVENTS_MAX, TOP_GIFTERS
from livegift.contract.errors import StoreUnavailableError
from livegift.domain.partitions import START, Position
from livegift.runtime.bounds import GIFTERS_PAGE, ROOM_IDLE_TTL_S, ROOM_LOG_EVENTS_MAX, ROOM_PULSE_S
from livegift.store import keys
from livegift.store.client import Node, Store
from livegift.store.functions.records import RECORDS
from livegift.store.functions.rooms import (
    Fence,
    Floor,
    HeadReply,
    NamedGifterRow,
    room_announce,
    room_contributions,
    room_correct,
    room_fence,
    room_head,
    room_publish,
    room_pulse,
    room_snapshot,
    room_totals,
    rooms_claim,
    rooms_close,
    rooms_gate,
    rooms_open,
)
from livegift.store.link import Command
from livegift.store.outbox import Incarnation


@dataclass(frozen=True, slots=True)
class Publication:
    """A journal entry to publish in a room. `body` is the event's JSON without the opening brace and `seq`.

    For a revocation, `body` is `revoked_gift`: the room writes the event itself. `incarnation` is the one in which the
    relay has read the entry.
    """

    partition: int
    position: Position
    kind: Literal["gift", "end", "revoke"]
    coins: int
    diamonds: int
    user: str
    anonymous: bool
    user_json: bytes
    combo_id: str
    body: bytes
    ts_ms: int
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A room at one moment. `header` is JSON: epoch, seq, totals, top, combos; `events` are JSON, in order of `seq`."""

    header: bytes
    complete: bool
    events: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RoomContribution:
    """A partition's contribution to a room, up to and including a position. `raw` is Redis' text, '' for none."""

    raw: str
    position: Position
    gifts: int
    coins: int
    diamonds: int

    @classmethod
    def parse(cls, raw: str) -> "RoomContribution":
        """Parse Redis' text."""
        if not raw:
            return cls("", START, 0, 0, 0)
        epoch, n, gifts, coins, diamonds = map(int, RECORDS["contribution"].parse(raw))
        return cls(raw, Position(epoch, n), gifts, coins, diamonds)

    @property
    def sums(self) -> tuple[int, int, int]:
        """Return gifts, coins and diamonds."""
        return self.gifts, self.coins, self.diamonds


@dataclass(frozen=True, slots=True)
class Gifter:
    """A gifter of a room: the user's gifts that count, and the coins of those that were not anonymous.

    `reached_ms` is when the last of the latter was sent (0: none). Of users with equal coins, the first to get there
    ranks higher.
    """

    user: str
    gifts: int
    coins: int
    reached_ms: int


@dataclass(frozen=True, slots=True)
class RoomTotals:
    """A room's sums, and the last entry of each partition that they include."""

    gifts: int
    coins: int
    diamonds: int
    watermarks: dict[int, Position]


def revoked_gift(event_id: str, combo_id: str, count: int) -> bytes:
    """Return the `body` of a revocation: the public ids of the gift's event and streak, and its count."""
    return RECORDS["revoked_gift"].text(event_id=event_id, combo_id=combo_id, count=count).encode()


def publish(room: str, publications: Iterable[Publication]) -> Command:
    """Return the call that publishes to one room, which skips entries it has already. It replies how many were new."""
    packed: list[str | bytes | int] = []
    for item in publications:
        epoch, n = item.position
        relay_epoch, relay_generation = item.incarnation
        anonymous = "1" if item.anonymous else "0"
        # [generated] pack room_publish.publications to packed: item.*, epoch, n, relay_epoch, relay_generation,
        #   anonymous
        packed += (
            item.partition,
            epoch,
            n,
            item.kind,
            item.coins,
            item.diamonds,
            item.user,
            anonymous,
            item.user_json,
            item.combo_id,
            item.body,
            item.ts_ms,
            relay_epoch,
            relay_generation,
        )
        # [/generated]
    return room_publish(keys.room_root(room), ROOM_LOG_EVENTS_MAX, TOP_GIFTERS, packed)


class Rooms:
    """The rooms, by id."""

    def __init__(self, store: Store) -> None:
        """Use `store`, which is connected."""
        self._store = store

    async def snapshot(self, room: str, since: int | None = None, since_epoch: str = "") -> Snapshot:
        """Return the room as it is on the primary now, with the events after `since`. Raises StoreUnavailableError.

        `complete` is False when the log does not reach back that far, or `since_epoch` is not the room's present one.
        """
        command = room_snapshot(
            keys.room_root(room),
            top_size=TOP_GIFTERS,
            since="" if since is None else since,
            since_epoch=since_epoch,
            events_max=REPLAY_EVENTS_MAX,
        )
        header, complete, *events = await self._store.call(command)
        return Snapshot(header, complete == b"1", tuple(events))

    async def announce(self, room: str, body: bytes, once: str, *, ended: bool = False) -> bool:
        """Publish an event that comes from no wallet, once per key `once`. Returns False if it was published before."""
        command = room_announce(
            keys.room_root(room),
            log_max=ROOM_LOG_EVENTS_MAX,
            top_size=TOP_GIFTERS,
            body=body,
            once=once,
            expire_after_s=ROOM_IDLE_TTL_S if ended else 0,
        )
        return bool(await self._store.call(command))

    async def totals(self, room: str) -> RoomTotals:
        """Return sums and watermarks of the same moment."""
        gifts, coins, diamonds, *rest = await self._store.call(room_totals(keys.room_root(room)))
        watermarks = {int(rest[i]): Position.parse(rest[i + 1].decode()) for i in range(0, len(rest), 2)}
        return RoomTotals(int(gifts), int(coins), int(diamonds), watermarks)

    async def gate(self, node: Node) -> str:
        """Return the token of a node's gate, '' while the gate is closed: then its rooms may have lost something."""
        (reply,) = await node.exchange([rooms_gate()])
        if not isinstance(reply, bytes):
            raise StoreUnavailableError(f"{node.name} does not tell its gate: {reply}", executed=False)
        return reply.decode()

    async def close_gate(self, node: Node) -> None:
        """Have a node's rooms publish nothing until the gate is opened again."""
        (reply,) = await node.exchange([rooms_close()])
        if not isinstance(reply, bytes):
            raise StoreUnavailableError(f"{node.name} did not close its gate: {reply}")

    async def claim_gate(self, node: Node, token: int) -> None:
        """Claim a closed gate before its rooms are compared. `token` has to be above all earlier ones."""
        (reply,) = await node.exchange([rooms_claim(str(token))])
        if not isinstance(reply, bytes):
            raise StoreUnavailableError(f"the gate of {node.name} can't be claimed: {reply}")

    async def open_gate(self, node: Node, token: int, incarnations: Mapping[int, Incarnation]) -> bool:
        """Let a node's rooms publish what relays read in these incarnations of partitions or in later ones.

        Returns False when somebody else has claimed the gate since, or the node has restarted since it was claimed.
        """
        floors = [
            Floor(partition, incarnation.epoch, incarnation.generation)
            for partition, incarnation in incarnations.items()
        ]
        (reply,) = await node.exchange([rooms_open(str(token), floors)])
        if isinstance(reply, Exception) and str(reply).startswith("UNCLAIMED"):
            return False
        if not isinstance(reply, bytes):
            raise StoreUnavailableError(f"{node.name} did not open its gate: {reply}")
        return True

    async def contributions(self, rooms: Iterable[str]) -> dict[str, dict[int, RoomContribution]]:
        """Return the contributions to each room, by partition. Raises StoreUnavailableError when one can't be asked."""
        names = list(rooms)
        replies = await self._store.call_many([room_contributions(keys.room_root(room)) for room in names])
        return {room: _contributions(room, reply) for room, reply in zip(names, replies, strict=True)}

    async def fence(
        self, rooms: Iterable[str], fences: Mapping[int, Position]
    ) -> dict[str, dict[int, RoomContribution]]:
        """Have rooms refuse entries that are not on the branch that counts: partition -> (new epoch, base).

        Returns the contributions of these partitions to each room. Raises StoreUnavailableError when a room can't be
        told.
        """
        names = list(rooms)
        rows = [Fence(p, fence.epoch, fence.n) for p, fence in fences.items()]
        replies = await self._store.call_many([room_fence(keys.room_root(room), rows) for room in names])
        return {room: _contributions(room, reply) for room, reply in zip(names, replies, strict=True)}

    async def correct(
        self,
        room: str,
        partition: int,
        before: RoomContribution,
        after: RoomContribution,
        gifters: Iterable[tuple[Gifter, bytes]],
        forget: Iterable[str] = (),
        *,
        revoke_above: int | None = None,
        room_lost: bool = False,
    ) -> int | None:
        """Correct the contribution of one partition.

        Each gifter comes with the user's JSON, used where the room has none. With `revoke_above`, gifts of the
        contribution's epoch that were published beyond that n do not count and are revoked. With `room_lost`, the
        numbers that the room has given lately are not valid: it begins a new epoch.

        Returns how many gifts were revoked, or None when the contribution is no longer `before`.
        """
        command = room_correct(
            keys.room_root(room),
            log_max=ROOM_LOG_EVENTS_MAX,
            top_size=TOP_GIFTERS,
            partition=partition,
            before=before.raw,
            epoch=after.position.epoch,
            n=after.position.n,
            gifts=after.gifts,
            coins=after.coins,
            diamonds=after.diamonds,
            revoke_above="" if revoke_above is None else revoke_above,
            room_lost="1" if room_lost else "0",
            forgotten=list(forget),
            gifters=[NamedGifterRow(g.user, g.gifts, g.coins, g.reached_ms, shown) for g, shown in gifters],
        )
        revoked = int(await self._store.call(command))
        return None if revoked < 0 else revoked

    async def gifters(self, room: str) -> dict[str, Gifter]:
        """Return all users who are gifters of a room throughout the scan. Raises StoreUnavailableError."""
        root = keys.room_root(room)
        found: dict[str, Gifter] = {}
        cursor = b"0"
        while True:
            command = ("HSCAN", keys.room_gifters(room), cursor, "COUNT", GIFTERS_PAGE)
            (reply,) = await self._store.node_of(root).exchange([command])
            if not isinstance(reply, list):
                raise StoreUnavailableError(f"the gifters of {room} can't be read: {reply}", executed=False)
            cursor, pairs = reply
            for name, row in zip(pairs[::2], pairs[1::2], strict=True):
                found[name.decode()] = Gifter(name.decode(), *map(int, RECORDS["gifter"].parse(row.decode())))
            if cursor == b"0":
                return found

    async def pulse(self, process: str, viewers: Mapping[str, int]) -> dict[str, int]:
        """Report how many viewers this process has in each room; returns how many all processes have."""
        ttl_ms = int(ROOM_PULSE_S * 3_000)
        replies = await self._store.call_many(
            [room_pulse(keys.room_root(room), process, count, ttl_ms) for room, count in viewers.items()]
        )
        return {room: reply for room, reply in zip(viewers, replies, strict=True) if isinstance(reply, int)}

    async def heads(self, rooms: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return the epoch and last `seq` of each room; rooms that can't be asked are missing."""
        names = list(rooms)
        replies = await self._store.call_many([room_head(keys.room_root(room)) for room in names])
        heads = {
            room: HeadReply(*reply)
            for room, reply in zip(names, replies, strict=True)
            if not isinstance(reply, Exception)
        }
        return {room: (int(head.epoch), int(head.seq)) for room, head in heads.items()}


def _contributions(room: str, reply: object) -> dict[int, RoomContribution]:
    if not isinstance(reply, list):
        raise StoreUnavailableError(f"room {room} does not tell what it has: {reply}", executed=False)
    texts = [item.decode() for item in reply]
    return {int(texts[i]): RoomContribution.parse(texts[i + 1]) for i in range(0, len(texts), 2)}
