"""The model's states: small immutable values, so that a search can recognise a state that it has seen.

There is one partition of wallets in one Redis process, some rooms in another, one ledger, and the workers between them.
A crash takes a Redis back to its `disk`, an image of some earlier moment: because the disk may catch up at any step,
every prefix of the writes that no barrier has promised is a possible outcome.
"""

from dataclasses import dataclass
from typing import NamedTuple

from livegift.domain.partitions import START, Position

PRICE = 1


class Entry(NamedTuple):
    """A gift in the journal. `seq` and `balance` are of the sender's wallet, after it.

    Gifts of one call are stored as one entry, whose last one has the n `last_n`: Redis has or lacks all of them.
    """

    at: Position
    ref: int
    seq: int
    balance: int
    last_n: int

    @property
    def id(self) -> Position:
        """The id of the stored entry."""
        return Position(self.at.epoch, self.last_n)


class Wallet(NamedTuple):
    balance: int
    seq: int


class Image(NamedTuple):
    """The data of a partition that Redis stores: its `meta`, wallets, refs and outbox."""

    epoch: int
    n: int
    wallets: tuple[Wallet, ...]
    refs: tuple[Position | None, ...]
    outbox: tuple[Entry, ...]
    relayed: Position = START
    booked: Position = START
    generation: int = 0
    whole_after: int = 0  # the outbox has every entry after this n that was not trimmed


class Process(NamedTuple):
    """A Redis process: its image, and its memory, which ends with it. `claim` is the token of the last disarm, or 0."""

    image: Image
    armed: int = 0
    claim: int = 0


class Room(NamedTuple):
    """A room. `mark` is the watermark. `counted` stands for the contribution's sums; workers see only its length."""

    mark: Position = START
    counted: tuple[Entry, ...] = ()
    fences: tuple[Position, ...] = ()
    epoch: int = 0
    seq: int = 0

    @property
    def contribution(self) -> "RoomContribution":
        return RoomContribution(self.mark, len(self.counted))


class RoomContribution(NamedTuple):
    """A room's contribution as a worker reads it."""

    mark: Position
    gifts: int


class RoomNode(NamedTuple):
    """The rooms' Redis. All but `rooms` and `disk` is memory of the process; a `gate` of 0 is closed.

    `since` is the first incarnation (see Relay) of the partition whose relays are accepted.
    """

    rooms: tuple[Room, ...]
    disk: tuple[Room, ...]
    changed: tuple[bool, ...]
    gate: int = 0
    claim: int = 0
    since: "Incarnation" = (0, 0)


class Ledger(NamedTuple):
    """The ledger.

    `lock` is the armer that holds the checkpoint's row, counted from 1; `bases` are (epoch, n at its begin).
    """

    at: Position
    bases: tuple[Position, ...]
    rows: tuple[Entry, ...]
    heads: tuple[Wallet, ...]
    tokens: int
    lock: int = 0
    stopped: bool = False


Incarnation = tuple[int, int]  # a partition's epoch and the generation of its relay's cursor


class Relay(NamedTuple):
    """A relay. `queue` was read and is not published yet; `incarnation` is the one in which it loaded its cursor."""

    cursor: Position
    queue: tuple[Entry, ...] = ()
    incarnation: Incarnation = (1, 0)


class Booker(NamedTuple):
    """A booking aggregator.

    `entries` were read after `after` and are durable; `booked` is committed, but not in Redis yet.
    """

    after: Position = START
    entries: tuple[Entry, ...] = ()
    booked: Position | None = None


class Armer(NamedTuple):
    """An arming in progress: its next step, whether it talks to an old primary, and what it remembers.

    `stored` is Redis' position, `booked` the checkpoint, `at` the epoch that begins. No relay will publish what a room
    lacks up to `relayed_n`. `contribution` and `to` are what a room is corrected from and to.
    """

    phase: str = "idle"
    is_old: bool = False
    stored: Position = START
    booked: Position = START
    common_n: int = 0
    diverged: tuple[Entry, ...] = ()
    relayed_n: int = 0
    at: Position = START
    room: int = 0
    contribution: RoomContribution = RoomContribution(START, 0)
    to: Position = START


class Checker(NamedTuple):
    """A comparison of the rooms with the ledger in progress. `at` is the checkpoint that it uses.

    `behind` are rooms with the n up to which they are complete; `back_to` is where the relays have to begin again.
    """

    phase: str = "idle"
    token: int = 0
    at: Position = START
    room: int = 0
    behind: tuple[tuple[int, int], ...] = ()
    back_to: int = 0
    incarnation: Incarnation = (0, 0)
    contribution: RoomContribution = RoomContribution(START, 0)
    to: Position = START


IDLE_BOOKER, IDLE_ARMER, IDLE_CHECKER = Booker(), Armer(), Checker()


class World(NamedTuple):
    """The whole world. The last six fields are not part of the system: budgets of the search, and what it remembers.

    `accepted` has the position of each ref that was accepted by a Redis which has not lost it since, `sent` a bit per
    ref that was ever accepted. `told` is the last (epoch, seq) that each room's viewers got. `alarm` is an error found
    by a step.
    """

    live: Process
    disk: Image
    replica: Image | None
    old: Process | None
    node: RoomNode
    ledger: Ledger
    backup: Ledger | None
    relays: tuple[Relay, ...]
    bookers: tuple[Booker, ...]
    armers: tuple[Armer, ...]
    checkers: tuple[Checker, ...]
    sends: int
    faults: int
    accepted: tuple[Position | None, ...]
    sent: int
    told: tuple[tuple[int, int], ...]
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Design:
    """The mechanisms, each of which can be left out to see that the simulation notices."""

    # Partitions.
    lock: bool = True  # the checkpoint's row stays locked from the comparison to the new epoch
    cas_epoch: bool = True  # a booking compares the checkpoint's epoch, not only its n
    cas_n: bool = True
    heads: bool = True  # a booking compares the wallets' heads
    barrier: bool = True  # a booking waits until what it read is durable
    new_epoch: bool = True  # arming begins an epoch
    arm_claim: bool = True  # only the last one to disarm may arm
    arm_n: bool = True  # and only at the n that it has compared
    repair_claim: bool = True  # only the last one to disarm may repair
    stop_claim: bool = (
        True  # only the last one to disarm may say that entries are missing: else Redis may be another one
    )
    disarm: bool = True
    drain: bool = True  # what Redis has is booked before it is armed
    cut: bool = True  # diverged entries are removed
    forget_refs: bool = True  # refs of diverged entries are forgotten
    put_refs: bool = True  # refs of lost entries are remembered
    put_wallets: bool = True
    put_epoch: bool = True  # a repaired partition says that it is of the checkpoint's epoch
    cut_with_n: bool = True  # entries are cut in the step that sets n, not before
    keep_booked: bool = True  # trimming stops at what is booked
    keep_relayed: bool = True  # trimming stops at what is published
    cursor_own: bool = True  # a reader's cursor is never beyond the partition's position
    whole: bool = True  # an outbox knows from where on it has no gap
    drop: bool = True  # a reader inside an entry passes over the gifts that it has
    # Rooms.
    watermark: bool = True
    fence: bool = True
    fences_max: int = 4  # a room remembers so many
    fence_again: bool = True  # a room that has restarted is told the last base again
    revoke: bool = True  # a room that has published diverged entries is corrected
    fill: bool = True  # a room that lacks what no relay will publish is corrected, when a partition is armed
    set_back: bool = True  # no room is corrected by a ledger that was set back meanwhile
    fill_always: bool = True  # even when nothing had to be repaired: somebody else may have done it
    contribution_cas: bool = True  # a correction applies to the contribution that was read
    gate: bool = True
    gate_claim: bool = True  # only the last one to claim the closed gate of this process opens it
    check: bool = True  # rooms are compared with the ledger before the gate opens
    rewind: bool = True  # and the relays set back
    rewind_live: bool = True  # only in the Redis whose epoch the ledger knows as the last; else they wait for the next
    check_trim: bool = True  # after the relays were set back, the outbox still reaches back that far
    room_epoch: bool = True  # a room takes a new epoch at its first change after the gate was opened
    epoch_stride: int = 16  # tokens of the gate grow by this, so that corrections in between don't use them up
    # Relays.
    guard: str = (
        "incarnation"  # a node takes what was read in this "incarnation" or a later one; or "generation", or "none"
    )
    refresh: bool = True  # a relay notices that its cursor was set back and begins again
    save_armed: bool = True  # and only in an armed partition: while it is compared its cursor does not move
    save: str = "incarnation"  # a cursor is stored only by who began in this "incarnation"; or "generation", or "any"


@dataclass(frozen=True, slots=True)
class Config:
    """The size of a world, and what may go wrong in it."""

    users: tuple[int, ...] = (0, 0)  # per ref, who sends it
    rooms: tuple[int, ...] = (0, 0)  # per ref, to which room
    coins: int = 2
    sends: int = 2
    faults: int = 1
    kinds: frozenset[str] = frozenset({"crash"})
    relays: int = 1
    bookers: int = 1
    armers: int = 1
    checkers: int = 1
    durability: str = "fsync"
    trims: bool = False
    together: bool = False  # a call may send all refs at once, and a booking that fails is bisected
    stale: frozenset[str] = frozenset({"client", "relay", "booker", "armer"})  # who may talk to an old primary
    design: Design = Design()

    @property
    def room_count(self) -> int:
        return max(self.rooms) + 1


def start(config: Config) -> World:
    """Return a system in which nothing has happened: armed under epoch 1, gate open with token 1."""
    wallets = (Wallet(config.coins, 0),) * (max(config.users) + 1)
    image = Image(1, 0, wallets, (None,) * len(config.users), ())
    rooms = (Room(epoch=1),) * config.room_count
    ledger = Ledger(Position(1, 0), (Position(1, 0),), (), wallets, 1)
    return World(
        Process(image, armed=1),
        image,
        image if "promote" in config.kinds else None,
        None,
        RoomNode(rooms, rooms, (True,) * config.room_count, gate=1),
        ledger,
        ledger if "restore" in config.kinds else None,
        (Relay(START),) * config.relays,
        (IDLE_BOOKER,) * config.bookers,
        (IDLE_ARMER,) * config.armers,
        (IDLE_CHECKER,) * config.checkers,
        config.sends,
        config.faults,
        (None,) * len(config.users),
        0,
        ((1, 0),) * config.room_count,
    )
