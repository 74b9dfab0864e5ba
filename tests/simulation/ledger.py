"""The ledger's transactions."""

from livegift.domain.partitions import Position
from livegift.domain.recovery import common_end
from tests.simulation.partition import put
from tests.simulation.state import PRICE, Config, Entry, Ledger, RoomContribution, Wallet


def book(ledger: Ledger, after: Position, entries: tuple[Entry, ...], config: Config) -> Ledger | None:
    """Book entries. Returns None when the checkpoint has moved. Entries that do not fit stop the partition."""
    design = config.design
    if (design.cas_epoch and ledger.at.epoch != after.epoch) or (design.cas_n and ledger.at.n != after.n):
        return None
    before, bases, heads = ledger.at, ledger.bases, ledger.heads
    for entry in entries:
        if design.cas_n and (entry.at.n != before.n + 1 or (entry.at.epoch < before.epoch and design.cas_epoch)):
            return ledger._replace(stopped=True)
        if entry.at.epoch > before.epoch and entry.at.epoch not in dict(bases):
            bases = (*bases, Position(entry.at.epoch, before.n))  # the ledger was set back
        user = config.users[entry.ref]
        balance, seq = heads[user]
        if design.heads and (entry.seq != seq + 1 or entry.balance != balance - PRICE):
            return ledger._replace(stopped=True)
        heads = put(heads, user, Wallet(entry.balance, entry.seq))
        before = entry.at
    return ledger._replace(at=max(before, ledger.at), bases=bases, rows=ledger.rows + entries, heads=heads)


def begin_epoch(ledger: Ledger, at: Position) -> Ledger:
    """Begin the epoch of `at`; the row is locked, and unlocked by the commit."""
    bases = (*(base for base in ledger.bases if base.epoch != at.epoch), at)
    return ledger._replace(at=Position(at.epoch, ledger.at.n), bases=bases, lock=0)


def contribution_of(ledger: Ledger, room: int, config: Config) -> tuple[Entry, ...]:
    """Return what a room should have by now."""
    return tuple(row for row in ledger.rows if config.rooms[row.ref] == room)


def last_n(ledger: Ledger, room: int, config: Config) -> int:
    """Return the n of the last gift of a room."""
    return max((row.at.n for row in contribution_of(ledger, room, config)), default=0)


def right_contribution(ledger: Ledger, room: int, to: Position, config: Config) -> tuple[Entry, ...]:
    """Return what a room should have up to `to`."""
    return tuple(row for row in contribution_of(ledger, room, config) if row.at.n <= to.n)


def bases_before(ledger: Ledger, epoch: int) -> dict[int, int]:
    """Return the bases of all epochs up to `epoch`."""
    return {base.epoch: base.n for base in ledger.bases if base.epoch <= epoch}


def revoked_above(contribution: RoomContribution, bases: dict[int, int]) -> int | None:
    """Return the n beyond which a contribution does not count, or None when all of it does (recovery/rooms.py)."""
    end = common_end(contribution.mark.epoch, bases)
    return end if end is not None and contribution.mark.n > end else None
