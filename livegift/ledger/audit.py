"""The audit's queries to the ledger, all within one snapshot. Violations are returned as sentences."""

from collections.abc import Iterable, Mapping

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position
from livegift.ledger.statements import Statements

EXAMPLES_MAX = 20


class _Sql(Statements, file="audit.sql"):
    """The statements of this module."""

    legs: str
    assets: TextClause
    accounts: str
    chains: TextClause
    heads: TextClause
    at_seq: TextClause
    accepted: TextClause
    unread: TextClause
    room_sums: TextClause
    room_lasts: TextClause
    refs: TextClause
    rooms: TextClause
    below: TextClause


async def unbalanced_assets(connection: AsyncConnection) -> tuple[int, list[str]]:
    """Check invariant 1. Returns the number of accounts, and each asset whose accounts do not sum to zero."""
    rows = (await connection.execute(_Sql.assets)).all()
    wrong = [f"asset {row.asset}: all accounts sum to {row.total}, expected 0" for row in rows if row.total != 0]
    return sum(row.accounts for row in rows), wrong


async def wrong_accounts(connection: AsyncConnection, legs: Iterable[str]) -> list[str]:
    """Return the accounts whose balance is not the sum of their gifts, transfers and the `legs` of features' rows."""
    query = text(_Sql.accounts.format(legs=" UNION ALL ".join([_Sql.legs, *legs])))
    rows = (await connection.execute(query, {"examples": EXAMPLES_MAX})).all()
    return [f"account {row.name}: balance {row.balance}, its transfers sum to {row.total}" for row in rows]


async def broken_chains(connection: AsyncConnection) -> list[str]:
    """Return the wallets whose entries have a gap in `seq`, or a balance that does not follow from the one before."""
    rows = (await connection.execute(_Sql.chains, {"examples": EXAMPLES_MAX})).all()
    wrong = [
        f"wallet {row.user_id}: gap in seq, entry {row.seq} follows {row.before_seq}"
        if row.seq != row.before_seq + 1
        else f"wallet {row.user_id}: entry {row.seq} says {row.balance}, "
        f"expected {row.before_balance} + {row.delta} = {row.before_balance + row.delta}"
        for row in rows
    ]
    rows = (await connection.execute(_Sql.heads, {"examples": EXAMPLES_MAX})).all()
    wrong += [
        f"wallet {row.user_id}: head at seq {row.head_seq} with {row.head_balance}, last entry at seq {row.seq} with "
        f"{row.balance}, account with {row.account_balance}"
        for row in rows
    ]
    return wrong


async def balances_at(connection: AsyncConnection, seqs: Mapping[str, int]) -> dict[str, int | None]:
    """Return each wallet's balance after its entry `seq`; None when there is no such entry."""
    parameters = {"users": list(seqs), "seqs": list(seqs.values())}
    return {row.user_id: row.balance for row in await connection.execute(_Sql.at_seq, parameters)}


async def accepted_until(connection: AsyncConnection, ns: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Return the number of gifts and their coins in the ledger, per partition up to entry n."""
    parameters = {"partitions": list(ns), "ns": list(ns.values())}
    return {row.partition: (row.gifts, int(row.coins)) for row in await connection.execute(_Sql.accepted, parameters)}


async def unread_entries(connection: AsyncConnection) -> dict[int, int]:
    """Return how many entries of each partition are in quarantine with unknown contents."""
    return {row.partition: row.entries for row in await connection.execute(_Sql.unread)}


async def all_rooms(connection: AsyncConnection) -> dict[str, str]:
    """Return every room that exists or has gifts, with its status ('unknown' when only gifts name it)."""
    return {row.id: row.status for row in await connection.execute(_Sql.rooms)}


async def room_sums(
    connection: AsyncConnection, watermarks: Mapping[str, Mapping[int, Position]]
) -> dict[str, tuple[int, int, int]]:
    """Return gifts, coins and diamonds of each room up to its watermarks, less gifts revoked up to there."""
    flat = [(room, p, at) for room, marks in watermarks.items() for p, at in marks.items()]
    parameters = {
        "rooms": [room for room, _, _ in flat],
        "partitions": [p for _, p, _ in flat],
        "epochs": [at.epoch for _, _, at in flat],
        "ns": [at.n for _, _, at in flat],
    }
    rows = await connection.execute(_Sql.room_sums, parameters)
    return {row.room: (int(row.gifts), int(row.coins), int(row.diamonds)) for row in rows}


async def last_gifts(connection: AsyncConnection, until: Mapping[int, int]) -> dict[tuple[str, int], int]:
    """Return the n of the last gift or revocation that each room got from each partition, of entries up to `until`."""
    parameters = {"partitions": list(until), "ns": list(until.values())}
    return {(row.room, row.partition): row.n for row in await connection.execute(_Sql.room_lasts, parameters)}


async def taken_below_zero(connection: AsyncConnection, users: Iterable[str], reasons: Iterable[str]) -> set[str]:
    """Return those of `users` from whom an entry with one of `reasons` has taken coins that they did not have."""
    rows = await connection.execute(_Sql.below, {"users": list(users), "reasons": sorted(reasons)})
    return {row.user_id for row in rows}


async def repeated_refs(connection: AsyncConnection, ref_ttl_s: int) -> list[str]:
    """Return the refs that were accepted twice while they were remembered."""
    rows = (await connection.execute(_Sql.refs, {"examples": EXAMPLES_MAX, "ttl_ms": ref_ttl_s * 1000})).all()
    return [f"sender {row.sender}: ref {row.ref} has {row.gifts} gifts, expected 1" for row in rows]
