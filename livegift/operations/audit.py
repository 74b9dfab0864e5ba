"""`livegift audit`: the invariants, exact even under traffic.

Redis is read first: wallets, then the position of each journal, then the rooms. Then the audit waits until the ledger
has booked that much, and compares at exactly those positions, in one snapshot.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import StoreUnavailableError
from livegift.ledger import audit as ledger
from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.runtime.bounds import AUDIT_WAIT_S
from livegift.runtime.settings import Settings
from livegift.store.audit import StoredWallet, read_wallets
from livegift.store.client import Store
from livegift.store.outbox import Outbox, PartitionState
from livegift.store.rooms import Rooms, RoomTotals

POLL_S = 0.1

CORE = {
    1: "per asset, the sum over all accounts is zero, and each balance is the sum of its transfers",
    2: "every wallet in Redis equals the ledger at the same seq, and no seq is missing",
    3: "gifts accepted = gifts in the ledger, and without those that were revoked = gifts in the rooms' totals",
    4: "no wallet is below zero, except by a refund or a chargeback",
    5: "an accepted ref has exactly one gift",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The state read from Redis, in the order in which it was read, and how long refs are kept."""

    wallets: list[StoredWallet]
    states: dict[int, PartitionState]
    rooms: dict[str, RoomTotals]
    ref_ttl_s: int


@dataclass(frozen=True, slots=True)
class Invariant:
    """An invariant of a feature: its number, a sentence, and the query that finds violations.

    `find_wrong` returns how many things were compared and what was wrong, in the audit's snapshot of the ledger.
    Without a `statement` it adds to the invariant of its number, which is another's.
    """

    number: int
    statement: str | None
    find_wrong: Callable[[AsyncConnection, Seen], Awaitable[tuple[int, list[str]]]]


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """The features' part of the audit: see the slots of the same names in `livegift.features.slots`."""

    invariants: tuple[Invariant, ...]
    legs: tuple[str, ...]
    overdrawing: frozenset[str]

    @property
    def statements(self) -> dict[int, str]:
        """Return all invariants by number; those of several features under one number are joined in their order."""
        found = dict(CORE)
        for one in self.invariants:
            if one.statement is not None:
                found[one.number] = f"{found[one.number]}, {one.statement}" if one.number in found else one.statement
        return dict(sorted(found.items()))


@dataclass(slots=True)
class Check:
    """The result for one invariant: how many things were compared, and what was wrong."""

    number: int
    statement: str
    compared: int = 0
    violations: list[str] = field(default_factory=list)

    def expect(self, *, holds: bool, otherwise: str) -> None:
        """Count one comparison."""
        self.compared += 1
        if not holds:
            self.violations.append(otherwise)


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an audit."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return whether every invariant holds."""
        return all(not check.violations for check in self.checks)

    def to_json(self) -> str:
        """Format the report for programs."""
        rows = [
            {
                "invariant": check.number,
                "what": check.statement,
                "compared": check.compared,
                "violations": check.violations,
            }
            for check in self.checks
        ]
        return orjson.dumps({"passed": self.passed, "checks": rows}, option=orjson.OPT_INDENT_2).decode()

    def to_text(self) -> str:
        """Format the report for people."""
        lines = []
        for check in self.checks:
            mark = "FAIL" if check.violations else "ok  "
            lines.append(f"{mark} {check.number}. {check.statement} ({check.compared} compared)")
            lines += [f"       - {violation}" for violation in check.violations[: ledger.EXAMPLES_MAX]]
            hidden = len(check.violations) - ledger.EXAMPLES_MAX
            if hidden > 0:
                lines.append(f"       … and {hidden} more")
        lines.append("all invariants hold" if self.passed else "NOT all invariants hold")
        return "\n".join(lines)


async def audit(settings: Settings, plan: AuditPlan, wait_s: float = AUDIT_WAIT_S) -> Report:
    """Check the core's invariants and those of features.

    The journals' readers have up to `wait_s` to catch up. Raises StoreUnavailableError or LedgerUnavailableError.
    """
    store = await Store.connect(settings.redis_url)
    database = Database(settings.database_url)
    checks = {number: Check(number, statement) for number, statement in plan.statements.items()}
    try:
        seen = await _read_redis(store, database, settings, checks[3], wait_s)
        await _wait_for_ledger(database, seen, checks[2], wait_s)
        async with database.snapshot() as connection:
            await _check_core(connection, seen, checks, plan)
            for invariant in plan.invariants:
                compared, wrong = await invariant.find_wrong(connection, seen)
                checks[invariant.number].compared += compared
                checks[invariant.number].violations += wrong
    finally:
        await database.aclose()
        await store.aclose()
    return Report(tuple(checks.values()))


async def _check_core(connection: AsyncConnection, seen: Seen, checks: Mapping[int, Check], plan: AuditPlan) -> None:
    await _check_sums(connection, checks[1], plan.legs)
    await _check_wallets(connection, seen.wallets, checks[2])
    await _check_gifts(connection, seen.states, checks[3])
    await _check_rooms(connection, seen, checks[3])
    await _check_signs(connection, seen.wallets, checks[4], plan.overdrawing)
    checks[5].violations += await ledger.repeated_refs(connection, seen.ref_ttl_s)
    checks[5].compared = sum(state.gifts for state in seen.states.values())


async def _states(outbox: Outbox) -> dict[int, PartitionState]:
    states = await outbox.states(outbox.roots)
    missing = sorted(set(outbox.roots) - set(states))
    if missing:
        raise StoreUnavailableError(f"partitions {missing} do not answer", executed=False)
    return states


async def _read_redis(store: Store, database: Database, settings: Settings, check: Check, wait_s: float) -> Seen:
    partitions = settings.partitions
    outbox, rooms = Outbox(store, partitions), Rooms(store)
    wallets = [wallet async for chunk in read_wallets(store, partitions) for wallet in chunk]
    states = await _states(outbox)
    # Every gift so far has to be in its room: wait for the relay before the rooms are read.
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        relayed = {p: state.relayed.n for p, state in (await _states(outbox)).items()}
        late = [p for p, state in states.items() if relayed[p] < state.n]
        if not late or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(POLL_S)
    for p in late:
        check.violations.append(
            f"partition {p}: entries up to {states[p].n}, but after {wait_s:g} s the relay has published {relayed[p]}"
        )
    async with database.snapshot() as connection:
        known = await ledger.all_rooms(connection)
    totals = {room: await rooms.totals(room) for room in known}
    # Some time after its end a room expires in Redis; the ledger keeps its gifts.
    kept = {room: found for room, found in totals.items() if found.watermarks or known[room] != "ended"}
    return Seen(wallets, states, kept, settings.ref_ttl_s)


async def _wait_for_ledger(database: Database, seen: Seen, check: Check, wait_s: float) -> None:
    """Wait until everything that was seen is booked."""
    needed = {p: state.n for p, state in seen.states.items()}
    for totals in seen.rooms.values():
        for p, position in totals.watermarks.items():
            needed[p] = max(needed.get(p, 0), position.n)
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        checkpoints = await read_checkpoints(database)
        late = {p: n for p, n in needed.items() if p not in checkpoints or checkpoints[p].position.n < n}
        if not late or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(POLL_S)
    for p, n in late.items():
        stopped = checkpoints[p].stopped if p in checkpoints else "no checkpoint"
        check.violations.append(
            f"partition {p}: entries up to {n}, but after {wait_s:g} s the ledger has booked "
            f"{checkpoints[p].position.n if p in checkpoints else 0}{f' (stopped: {stopped})' if stopped else ''}"
        )


async def _check_sums(connection: AsyncConnection, check: Check, legs: Iterable[str]) -> None:
    check.compared, wrong = await ledger.unbalanced_assets(connection)
    check.violations += wrong
    check.violations += await ledger.wrong_accounts(connection, legs)


async def _check_wallets(connection: AsyncConnection, wallets: list[StoredWallet], check: Check) -> None:
    check.violations += await ledger.broken_chains(connection)
    known = await ledger.balances_at(connection, {wallet.user: wallet.seq for wallet in wallets})
    for wallet in wallets:
        balance = known.get(wallet.user)
        said = "no such entry" if balance is None else f"a balance of {balance}"
        check.expect(
            holds=balance == wallet.balance or (wallet.seq == 0 and wallet.balance == 0),
            otherwise=f"wallet {wallet.user}: Redis has {wallet.balance} at seq {wallet.seq}, the ledger {said} there",
        )


async def _check_gifts(connection: AsyncConnection, states: Mapping[int, PartitionState], check: Check) -> None:
    booked = await ledger.accepted_until(connection, {p: state.n for p, state in states.items()})
    unread = await ledger.unread_entries(connection)
    for p, state in states.items():
        gifts, coins = booked.get(p, (0, 0))
        # An unreadable entry in quarantine may have been a gift of any price.
        may_lack = state.gifts - unread.get(p, 0) <= gifts <= state.gifts and coins <= state.coins
        check.expect(
            holds=may_lack if p in unread else (gifts, coins) == (state.gifts, state.coins),
            otherwise=f"partition {p}: {state.gifts} gifts of {state.coins} coins accepted, "
            f"{gifts} of {coins} in the ledger",
        )


async def _check_rooms(connection: AsyncConnection, seen: Seen, check: Check) -> None:
    sums = await ledger.room_sums(connection, {room: totals.watermarks for room, totals in seen.rooms.items()})
    for room, totals in seen.rooms.items():
        here = (totals.gifts, totals.coins, totals.diamonds)
        there = sums.get(room, (0, 0, 0))
        check.expect(
            holds=here == there,
            otherwise=f"room {room}: totals (gifts, coins, diamonds) {here}, the ledger has {there}",
        )
    lasts = await ledger.last_gifts(connection, {p: state.n for p, state in seen.states.items()})
    for (room, p), n in lasts.items():
        if room in seen.rooms:
            mark: Any = seen.rooms[room].watermarks.get(p)
            check.expect(
                holds=mark is not None and mark.n >= n,
                otherwise=f"room {room}: gift {n} of partition {p} was never published, the room has it up to {mark}",
            )


async def _check_signs(
    connection: AsyncConnection, wallets: list[StoredWallet], check: Check, overdrawing: Iterable[str]
) -> None:
    below = {wallet.user for wallet in wallets if wallet.balance < 0}
    explained = await ledger.taken_below_zero(connection, below, overdrawing)
    for wallet in wallets:
        check.expect(
            holds=wallet.balance >= 0 or wallet.user in explained,
            otherwise=f"wallet {wallet.user}: {wallet.balance} coins, which no refund or chargeback has taken",
        )
