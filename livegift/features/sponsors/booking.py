"""The booking of matched gifts, and of payments by and to sponsors' wallets, in the journal's transaction."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from sqlalchemy import ARRAY, Row, Text, TextClause, any_, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.journal import WalletChanged
from livegift.domain.partitions import Position, event_id
from livegift.domain.postings import Transfer
from livegift.features.sponsors.queries import (
    COLUMNS,
    NewMatch,
    StoredMatch,
    insert_match,
    stored_of,
    write_matches,
    write_postings,
)
from livegift.features.sponsors.rules import (
    FUNDED,
    REASONS,
    RETURNED,
    Match,
    Matched,
    Posting,
    end,
    forgotten,
    fund,
    give_back,
    is_exhausted,
    match_gifts,
    match_id_of,
    matched_transfers,
    take_back,
    taken_back_transfers,
)
from livegift.features.sponsors.tables import sponsor_matches as table
from livegift.ledger.participants import Batch, Changes, Gifts, Revocation
from livegift.ledger.revocations import gift_position
from livegift.ledger.statements import Statements

NAME = "sponsors"


class _Sql(Statements, file="booking.sql"):
    """The statements of this module."""

    added: TextClause
    add: TextClause


async def match_batch(connection: AsyncConnection, batch: Batch) -> None:
    """Match the gifts of a batch in posted order, after payments by sponsors and before those back to them.

    At the end, what was added to gifts that the batch revokes is taken back. The batch gets the transfers, the added
    diamonds and, as news, the matches that have changed.

    Matches are locked in the order of their numbers, after checkpoints and wallets and before accounts, so that
    bookings can't deadlock; they stay locked, so that two can't spend the same coins. Raises ValueError or KeyError for
    an entry that can't be a match's.
    """
    gifts, revoked = batch.gifts, batch.revoked
    mine = batch.changes_for(REASONS)
    if not gifts and not mine and not revoked:
        return
    concerned = {row.match_id for row in await _added_to(connection, revoked)}
    before = await _lock(connection, sorted({gift.room for _, _, gift in gifts}), mine, concerned)
    if not before and not mine:
        return
    after, postings = {match_id: found.match for match_id, found in before.items()}, list[Posting]()
    for partition, _, entry in mine:
        if entry.reason == FUNDED:
            _apply(after, postings, entry, partition)
    after, added = match_gifts(after.values(), (gift for _, _, gift in gifts))
    for match_id, match in after.items():
        if match.status == "active" and is_exhausted(match, before[match_id].cheapest_coins):
            over = end(match, "exhausted")
            after[match_id] = over.match
            postings += over.postings
    for partition, _, entry in mine:
        if entry.reason == RETURNED:
            _apply(after, postings, entry, partition)
    await _write(connection, gifts, added)
    batch.taken_back |= _take_back(after, postings, revoked, await _added_to(connection, revoked))
    changed = [replace(before[m], match=match) for m, match in after.items() if match != before[m].match]
    await write_matches(connection, [found.match for found in changed])
    await write_postings(connection, postings)
    batch.news[NAME] = tuple(changed)
    batch.transfers += [transfer for posting in postings for transfer in posting.transfers]
    sums: dict[tuple[str, int, str], tuple[int, int]] = {}
    for index, matched in added:
        partition, _, gift = gifts[index]
        coins, diamonds = sums.get((matched.match_id, partition, gift.to), (0, 0))
        sums[matched.match_id, partition, gift.to] = coins + matched.coins, diamonds + matched.diamonds
    for (match_id, partition, creator), (coins, diamonds) in sums.items():
        batch.transfers += matched_transfers(match_id, coins, diamonds, partition, creator)
        batch.added_diamonds[creator] = batch.added_diamonds.get(creator, 0) + diamonds


def _apply(after: dict[str, Match], postings: list[Posting], entry: WalletChanged, partition: int) -> None:
    match = after[match_id_of(entry.ref)]
    transition = fund(match, entry, partition) if entry.reason == FUNDED else give_back(match, entry)
    after[match.id] = transition.match
    postings += transition.postings


async def _added_to(connection: AsyncConnection, revoked: Sequence[Revocation]) -> Sequence[Row[Any]]:
    """Return the rows of what was added to revoked gifts, in the order in which it is taken back."""
    if not revoked:
        return ()
    at = [gift_position(revocation.gift_event_id) for revocation in revoked]
    places = {
        "partitions": [partition for partition, _ in at],
        "epochs": [position.epoch for _, position in at],
        "ns": [position.n for _, position in at],
    }
    return (await connection.execute(_Sql.added, places)).all()


def _take_back(
    after: dict[str, Match], postings: list[Posting], revoked: Sequence[Revocation], rows: Sequence[Row[Any]]
) -> dict[str, list[Transfer]]:
    """Apply revocations to the matches; returns, for each, the transfers that take back what the matches had added."""
    by_gift = {revocation.gift_event_id: revocation for revocation in revoked}
    found: dict[str, list[Transfer]] = {}
    for row in rows:
        revocation = by_gift[event_id(row.partition, Position(row.epoch, row.n))]
        matched = Matched(row.match_id, row.units, row.coins, row.diamonds)
        transition = take_back(after[row.match_id], matched, revocation.id)
        after[row.match_id] = transition.match
        postings += transition.postings
        found.setdefault(revocation.id, []).extend(taken_back_transfers(matched, row.partition, revocation.receiver))
    return found


async def _lock(
    connection: AsyncConnection, rooms: Sequence[str], mine: Changes, more: AbstractSet[str]
) -> Mapping[str, StoredMatch]:
    """Lock the active matches of the rooms, those that entries belong to and `more`, in the order of application."""
    paid = {match_id_of(entry.ref) for _, _, entry in mine}
    ids = sorted(paid | more)
    condition = (table.c.status == "active") & (table.c.room == any_(cast(rooms, ARRAY(Text))))
    if ids:
        condition = condition | table.c.id.in_(ids)
    query = select(*COLUMNS).where(condition).order_by(table.c.number).with_for_update(of=table, key_share=True)
    found = {row.id: stored_of(row) for row in await connection.execute(query)}
    if lost := paid - found.keys():
        # A payment is made after its match was written: a ledger that does not know it was set back.
        for _, _, entry in mine:
            if entry.reason == FUNDED and match_id_of(entry.ref) in lost:
                again = forgotten(match_id_of(entry.ref), entry.user, -entry.delta)
                await insert_match(connection, NewMatch(again, "", "", ""))
        query = select(*COLUMNS).where(table.c.id.in_(lost)).order_by(table.c.number)
        rows = (await connection.execute(query.with_for_update(of=table, key_share=True))).all()
        found |= {row.id: stored_of(row) for row in rows}
    return found


async def _write(connection: AsyncConnection, gifts: Gifts, added: Sequence[tuple[int, Matched]]) -> None:
    if not added:
        return
    at = [gifts[index] for index, _ in added]
    await connection.execute(
        _Sql.add,
        {
            "partitions": [partition for partition, _, _ in at],
            "epochs": [position.epoch for _, position, _ in at],
            "ns": [position.n for _, position, _ in at],
            "ids": [matched.match_id for _, matched in added],
            "units": [matched.units for _, matched in added],
            "coins": [matched.coins for _, matched in added],
            "diamonds": [matched.diamonds for _, matched in added],
        },
    )
