"""A partition in the real Redis, driven through the same commands as in production."""

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis

from livegift.contract.journal import GiftSent, LimitsChanged, StreakEnded, WalletChanged
from livegift.domain.entries import Row
from livegift.domain.partitions import START, Position
from livegift.domain.spending import Change, GiftSend, Journaled, LimitsSet, Refused, SetLimits
from livegift.runtime.event_ids import KEY_BYTES
from livegift.store import keys
from livegift.store.functions import LIBRARIES, VERSION, source
from livegift.store.functions.records import RECORDS
from livegift.store.functions.rooms import rooms_claim, rooms_open
from livegift.store.functions.wallets import streaks_sweep, wallets_read
from livegift.store.link import Command
from livegift.store.outbox import parse_read
from livegift.store.wallets import (
    Balance,
    Display,
    Outcome,
    change_command,
    gift_send,
    limits_command,
    parse_limits_reply,
    parse_outcome,
    parse_wallets,
)

NEVER_MS = 10**9  # a combo time-out that no test sees the end of
REF_TTL_S = 7200
BACKLOG_MAX = 10**6
DISPLAY = Display('["Ann A.","Dan D.","Rose",1,1,1,"R"]', '"hello"')
COUNTERS = RECORDS["counters"]
_roots = itertools.count(1)


def call(function: str, root: str, *args: str | bytes | int) -> Command:
    """A call with any arguments, also those that no signature allows."""
    return ("FCALL", f"{function}_{VERSION}", 1, root, *args)


def load_functions(client: redis.Redis) -> None:
    for library in LIBRARIES:
        client.execute_command("FUNCTION", "LOAD", "REPLACE", source(library))  # type: ignore[no-untyped-call]
    client.execute_command(*rooms_claim("1"))  # type: ignore[no-untyped-call]
    client.execute_command(*rooms_open("1", []))  # type: ignore[no-untyped-call]


class Live:
    """One partition under a root of its own, so that many can live in one Redis."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        number: int = 7,
        epoch: int = 1,
        backlog_max: int = BACKLOG_MAX,
        armed: bool = True,
    ) -> None:
        self.client = client
        self.number = number
        self.root = f"{{t{next(_roots)}}}"
        if armed:
            self.arm(epoch, backlog_max)

    # --- Commands -----------------------------------------------------------------------------------------------------

    def run(self, *command: Any) -> Any:
        """The reply; an error reply is raised as redis.ResponseError."""
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def run_all(self, *commands: Command) -> list[Any]:
        """The replies to commands that go out together."""
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        replies: list[Any] = pipeline.execute()
        return replies

    def call(self, function: str, *args: str | bytes | int) -> Any:
        return self.run(*call(function, self.root, *args))

    def arm(self, epoch: int, backlog_max: int = BACKLOG_MAX) -> Any:
        _, n = self.call("partition_disarm", "token")
        return self.call("partition_arm", epoch, self.number, backlog_max, "token", n, "ab" * KEY_BYTES)

    def advance(self, reader: str, position: str) -> Any:
        """A reader notes how far it is, in the present incarnation of the partition."""
        state = self.call("partition_state")
        return self.call("cursor_advance", reader, position, *((state[1], state[7]) if reader == "relayed" else ()))

    def now_ms(self) -> int:
        """Redis' time."""
        return time_ms(self.run("TIME"))

    def pass_ms(self, ms: int) -> None:
        """Return when Redis' time has moved on by more than `ms`."""
        until, give_up = self.now_ms() + ms, time.monotonic() + 10
        while self.now_ms() <= until:
            assert time.monotonic() < give_up, "Redis' time stands still"

    def gifts_command(
        self,
        sends: Sequence[GiftSend],
        timeout_ms: int = NEVER_MS,
        now_ms: int | None = None,
        display: Display = DISPLAY,
    ) -> Command:
        """`now_ms` is the hub's clock."""
        at_ms = int(time.time() * 1000) if now_ms is None else now_ms
        return gift_send(self.root, [(send, display) for send in sends], at_ms, timeout_ms, REF_TTL_S)

    def change_command(self, change: Change, ttl_s: int = REF_TTL_S) -> Command:
        """Of the function that `Wallets.change` would take."""
        return change_command(self.root, change, ttl_s)

    def limits_command(self, asked: SetLimits) -> Command:
        return limits_command(self.root, asked)

    def set_limits(self, asked: SetLimits) -> LimitsSet | Outcome:
        return parse_limits_reply(self.run(*self.limits_command(asked)))

    def sweep_command(self, room: str = "", at_most: int = 1000) -> Command:
        return streaks_sweep(self.root, at_most, room)

    def gifts(self, sends: Sequence[GiftSend], timeout_ms: int = NEVER_MS) -> list[Outcome]:
        return [parse_outcome(reply) for reply in self.run(*self.gifts_command(sends, timeout_ms))]

    def gift(self, send: GiftSend, timeout_ms: int = NEVER_MS) -> Outcome:
        (outcome,) = self.gifts([send], timeout_ms)
        return outcome

    def change(self, change: Change, ttl_s: int = REF_TTL_S) -> Outcome:
        return parse_outcome(self.run(*self.change_command(change, ttl_s)))

    def credit(self, user: str, coins: int, ref: str = "start") -> Outcome:
        return self.change(Change(user, ref, "aa", coins, "grant"))

    def sweep(self, room: str = "", at_most: int = 1000) -> int:
        count: int = self.run(*self.sweep_command(room, at_most))
        return count

    # --- What is stored -----------------------------------------------------------------------------------------------

    def rows(self, after: str = "0-0") -> list[Row]:
        """The journal after a position, as relay and aggregator read it."""
        return self.parse_rows(self.run(*self.rows_command(after)))

    def rows_command(self, after: str) -> Command:
        return ("XREAD", "STREAMS", keys.outbox(self.root), after)

    def parse_rows(self, reply: object) -> list[Row]:
        streams, number = {keys.outbox(self.root).encode(): self.number}, self.number
        found = parse_read([reply], streams, {number: START}).get(number, [])
        assert all(row.entry is not None for row in found), found
        return found

    def journal(self) -> list[Journaled]:
        return [journaled(row) for row in self.rows()]

    def wallet(self, user: str) -> tuple[int, int, bool]:
        """Balance, seq, frozen."""
        found = self.balance(user)
        return found.balance, found.seq, found.frozen_by_operator

    def balance(self, user: str) -> Balance:
        (found,) = parse_wallets(self.run(*wallets_read(self.root, [user])))
        return found

    def counters(self) -> dict[str, str]:
        text = self.run("GET", keys.counters(self.root))
        return {} if text is None else dict(zip(COUNTERS.kinds, COUNTERS.parse(text.decode()), strict=True))

    def set_counters(self, **changed: object) -> None:
        self.run("SET", keys.counters(self.root), COUNTERS.text(**{**self.counters(), **changed}))

    def meta(self, *fields: str) -> list[str | None]:
        """Counters and cursors."""
        values = self.run("HMGET", keys.meta(self.root), *fields)
        found = {field: value.decode() for field, value in zip(fields, values, strict=True) if value is not None}
        found |= self.counters()
        return [found.get(field) for field in fields]

    @property
    def is_armed(self) -> bool:
        return bool(self.call("partition_state")[0] != b"0")

    def streaks(self) -> set[str]:
        """The keys of the open streaks; state, hash and zset must agree."""
        found = {key.decode() for key in self.run("ZRANGE", f"{self.root}:due", 0, -1)}
        assert found == {key.decode() for key in self.run("HKEYS", f"{self.root}:shown")}
        prefix = keys.streak(self.root, "").encode()
        assert found == {key.removeprefix(prefix).decode() for key in self.all_keys() if key.startswith(prefix)}
        return found

    def all_keys(self) -> list[bytes]:
        return sorted(self.run("KEYS", f"{self.root}:*"))

    def dump(self) -> dict[bytes, tuple[bytes, int]]:
        """Every key of the root with its bytes and the moment at which it expires."""
        return {key: (self.run("DUMP", key), self.run("PEXPIRETIME", key)) for key in self.all_keys()}


def time_ms(reply: Sequence[bytes]) -> int:
    """The reply of TIME."""
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


def journaled(row: Row) -> Journaled:
    """An entry, reduced to what the model knows."""
    entry, at = row.entry, row.position
    if isinstance(entry, GiftSent):
        return Journaled(
            at, "gift", entry.user, entry.wallet_seq, entry.balance, entry.coins, entry.combo_id, entry.repeat_count
        )
    if isinstance(entry, WalletChanged):
        return Journaled(at, "change", entry.user, entry.wallet_seq, entry.balance, entry.delta, "", 0)
    if isinstance(entry, LimitsChanged):
        return Journaled(at, "limits", entry.user, entry.version, 0, 0, "", 0)
    assert isinstance(entry, StreakEnded)
    return Journaled(at, "streak_end", entry.user, 0, 0, 0, entry.combo_id, entry.repeat_count)


def codes(outcomes: Iterable[Outcome]) -> list[str]:
    """'' for each that was accepted, else the code."""
    return [outcome.code if isinstance(outcome, Refused) else "" for outcome in outcomes]


def positions(rows: Iterable[Row]) -> list[Position]:
    return [row.position for row in rows]
