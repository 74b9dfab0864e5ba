"""Repair of a disarmed partition. Every call needs the token of `Outbox.disarm`, and each can be repeated."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.journal import Entry, GiftSent, LimitsChanged, WalletChanged
from livegift.domain.allowances import NO_LIMITS, NO_USAGE, SpendingLimits, Usage
from livegift.domain.combos import StreakKey
from livegift.domain.entries import Row, Stored
from livegift.domain.partitions import Position
from livegift.runtime.bounds import REPAIR_CHUNK
from livegift.store import keys
from livegift.store.client import Store, refused
from livegift.store.functions.partitions import (
    RefName,
    RefRow,
    StreakRow,
    WalletRow,
    partition_put,
    refs_drop,
    refs_put,
    streaks_convert,
    streaks_drop,
    streaks_put,
    wallets_put,
)
from livegift.store.functions.records import RECORDS
from livegift.store.link import Command
from livegift.store.wallets import limits_text, usage_text

T = TypeVar("T")

HOUR_MS = 3_600_000
CHANGE_REF_PREFIX = "!"


@dataclass(frozen=True, slots=True)
class RestoredWallet:
    """The state to give a wallet; with a `seq` of 0 and no limits, the wallet is removed."""

    user: str
    balance: int
    seq: int
    frozen: bool
    limits: SpendingLimits = NO_LIMITS
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True)
class RestoredAnswer:
    """The answer to an accepted ref. `combo` is the position of a streak's first gift, '' for a change of a wallet."""

    user: str
    ref: str
    payload_hash: str
    position: Position
    coins: int
    combo: str
    repeat_count: int
    ts_ms: int


class BrokenRef(NamedTuple):
    """A ref of a call that failed halfway, and its hour; '' where version 1 of the functions has noted it."""

    user: str
    ref: str
    hour: str


@dataclass(frozen=True, slots=True)
class OpenStreak:
    """A streak that may continue. `combo` is the position of its first gift, `last_n` the n of its last."""

    room: str
    gift_id: str
    to: str
    anonymous: bool
    user: str
    combo: str
    repeat_count: int
    deadline_ms: int
    shown: str
    last_n: int

    @property
    def key(self) -> str:
        """Return the streak's field in Redis."""
        return StreakKey(self.user, self.room, self.gift_id, self.to, self.anonymous).text


def _wallet_row(wallet: RestoredWallet) -> WalletRow:
    limits, usage = limits_text(wallet.limits), usage_text(wallet.usage)
    return WalletRow(wallet.user, wallet.balance, wallet.seq, "1" if wallet.frozen else "0", limits, usage)


def _ref_row(ref: RestoredAnswer) -> RefRow:
    answer = RECORDS["answer"].text(
        payload_hash=ref.payload_hash,
        position=ref.position,
        coins=ref.coins,
        combo=ref.combo,
        repeat_count=ref.repeat_count,
    )
    return RefRow(ref.user, ref.ref, ref.ts_ms // HOUR_MS, answer)


def _streak_row(open_streak: OpenStreak) -> StreakRow:
    streak = RECORDS["streak"].text(
        combo=open_streak.combo,
        repeat_count=open_streak.repeat_count,
        deadline_ms=open_streak.deadline_ms,
    )
    return StreakRow(open_streak.key, open_streak.deadline_ms, streak, open_streak.shown)


class Repair:
    """The repair of one partition. Raises StoreRefusedError when somebody else has disarmed it since."""

    def __init__(self, store: Store, root: str, partition: int, token: str) -> None:
        """Repair `partition`, which has that root, using the token of its last `disarm`."""
        self._store = store
        self._root = root
        self._partition = partition
        self._token = token
        self._kept: Stored | None = None  # what stays of an entry of several gifts that goes beyond what counts

    async def check(self) -> None:
        """Raise StoreRefusedError unless this is the Redis that was disarmed: else what it lacks proves nothing."""
        await self._store.call(wallets_put(self._root, self._token, []))

    async def _call(self, function: Callable[[str, str, Sequence[T]], Command], items: Iterable[T]) -> None:
        """Call a repair function with the items, REPAIR_CHUNK at a time."""
        rest = iter(items)
        while chunk := list(islice(rest, REPAIR_CHUNK)):
            await self._store.call(function(self._root, self._token, chunk))

    async def _read(self, *command: str | bytes | int) -> Any:
        """Run a command and return its reply unchanged. Raises StoreUnavailableError."""
        (reply,) = await self._store.node_of(self._root).exchange([command])
        if (message := refused(reply)) is not None:
            raise StoreUnavailableError(f"{command[0]!r} was refused: {message}")
        return reply

    async def diverged(self, common_n: int, n: int) -> list[Row]:
        """Return the outbox's entries with an n in (`common_n`, `n`].

        Raises StoreUnavailableError when some are gone.
        """
        # Read backwards by n alone, which continues across epochs; no id is below 0-0.
        name, end = keys.outbox(self._root), "+"
        entries: list[Stored] = []
        while not entries or entries[0].first.n > common_n + 1:
            found = await self._read("XREVRANGE", name, end, "-", "COUNT", min(n - common_n, REPAIR_CHUNK))
            if not found:
                break
            entries = [Stored.parse(raw_id, fields) for raw_id, fields in found[::-1]] + entries
            end = f"({found[-1][0].decode()}"
        rows = [row for entry in entries for row in entry.rows(self._partition) if row.position.n > common_n]
        if [row.position.n for row in rows] != list(range(common_n + 1, n + 1)):
            raise StoreUnavailableError(f"the entries {common_n + 1}..{n} are not all in the outbox", executed=False)
        split = [entry for entry in entries if entry.first.n <= common_n < entry.last.n]
        self._kept = split[0].up_to(common_n) if split else None
        return rows

    async def forget(self, rows: Iterable[Row]) -> None:
        """Forget the refs and streaks of entries that do not count."""
        entries = [row.entry for row in rows if row.entry is not None]
        await self._call(
            refs_drop,
            [
                RefName(entry.user, ref, str(entry.ts_ms // HOUR_MS))
                for entry in entries
                if (ref := ref_of(entry)) is not None
            ],
        )
        await self.drop_streaks(key for entry in entries if (key := _streak_of(entry)) is not None)

    async def put_wallets(self, wallets: Iterable[RestoredWallet]) -> None:
        """Write wallets: balance, seq, whether frozen, limits and usage."""
        await self._call(wallets_put, map(_wallet_row, wallets))

    async def put_refs(self, refs: Iterable[RestoredAnswer], ref_ttl_s: int) -> None:
        """Store answers again. Call it after `put_wallets`."""

        def put(root: str, token: str, rows: Sequence[RefRow]) -> Command:
            return refs_put(root, token, ref_ttl_s, rows)

        await self._call(put, map(_ref_row, refs))

    async def drop_streaks(self, streaks: Iterable[str]) -> None:
        """Remove streaks (by their keys) without journaling that they end."""
        await self._call(streaks_drop, streaks)

    async def put_streaks(self, streaks: Iterable[OpenStreak]) -> None:
        """Open streaks again."""
        await self._call(streaks_put, map(_streak_row, streaks))

    async def broken(self) -> list[BrokenRef]:
        """Return the ref of each call that failed halfway: its wallet may know it without an entry."""
        members = await self._read("SMEMBERS", keys.broken(self._root))
        parts = [member.decode().split(" ") for member in members]
        return [BrokenRef(user, ref, "".join(hour)) for user, ref, *hour in parts]

    async def forget_broken(self, broken: Sequence[BrokenRef]) -> None:
        """Forget the refs of calls that failed halfway, and the streaks that they may have changed."""
        await self._call(refs_drop, [RefName(*ref) for ref in broken])
        users = {ref.user for ref in broken}
        in_keys = {user.replace("|", "!") for user in users}
        await self.drop_streaks(key for key in await self.open_streaks() if key.rpartition("|")[2] in in_keys)

    async def convert_streaks(self) -> None:
        """Convert the streaks that version 1 of the functions has left open."""
        await self._store.call(streaks_convert(self._root, self._token))

    async def open_streaks(self) -> dict[str, str]:
        """Return the keys of all open streaks -> position of the first gift; '' for one whose gift was not accepted."""
        due = [key.decode() for key in await self._read("ZRANGE", keys.due(self._root), 0, -1)]
        found: dict[str, str] = {}
        for start in range(0, len(due), REPAIR_CHUNK):
            chunk = due[start : start + REPAIR_CHUNK]
            states = await self._read("MGET", *(keys.streak(self._root, key) for key in chunk))
            found |= {key: (state or b"").partition(b"|")[0].decode() for key, state in zip(chunk, states, strict=True)}
        return found

    async def put_position(self, common_n: int, at: Position, gifts: int, coins: int) -> None:
        """Remove what is above `common_n` from the outbox and store the partition's position: the last step."""
        kept = self._kept
        command = partition_put(
            self._root,
            self._token,
            common_n=common_n,
            epoch=at.epoch,
            n=at.n,
            gifts=gifts,
            coins=coins,
            kept_head=kept.head if kept else "",
            kept=kept.raw if kept else b"",
        )
        await self._store.call(command)


def _streak_of(entry: Entry) -> str | None:
    """Return the key of the streak that an entry may have changed."""
    if isinstance(entry, LimitsChanged):
        return None
    gift = entry.revokes if isinstance(entry, WalletChanged) else entry
    if gift is None:
        return None
    return StreakKey(entry.user, gift.room, gift.gift_id, gift.to, gift.anonymous).text


def ref_of(entry: object) -> str | None:
    """Return the ref under which Redis stores the answer to an entry; None for an entry without one."""
    if isinstance(entry, GiftSent):
        return entry.ref
    if isinstance(entry, WalletChanged):
        return CHANGE_REF_PREFIX + entry.ref
    return None
