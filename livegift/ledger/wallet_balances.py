"""Wallets' balances in the ledger, moved by compare-and-set, so that a fork shows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import TextClause, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import PartitionStoppedError
from livegift.domain.journal import wallet_effect
from livegift.domain.partitions import Position
from livegift.domain.postings import Transfer, suspense_of
from livegift.ledger import tables
from livegift.ledger.quarantine import attribute
from livegift.ledger.slices import JournalSlice
from livegift.ledger.statements import Statements


class _Sql(Statements, file="wallet_balances.sql"):
    """The statements of this module."""

    add_heads: TextClause
    move_heads: TextClause
    set_head: TextClause


@dataclass(slots=True)
class _Move:
    """The effect of consecutive entries on a wallet: from (seq, balance) before the first to those of the last."""

    partition: int
    first: Position
    before_seq: int
    before_balance: int
    epoch: int
    seq: int
    balance: int


def _fold(slices: Sequence[JournalSlice]) -> dict[str, list[_Move]]:
    """Return the moves of each wallet: one, unless an entry between two of its own could not be read."""
    moves: dict[str, list[_Move]] = {}
    for piece in slices:
        for position, entry in piece.entries:
            effect = wallet_effect(entry)
            if effect is None:
                continue
            known = moves.setdefault(effect.user, [])
            before_seq, before_balance = effect.seq - 1, effect.balance - effect.delta
            if known and (known[-1].seq, known[-1].balance) == (before_seq, before_balance):
                move = known[-1]
                move.epoch, move.seq, move.balance = position.epoch, effect.seq, effect.balance
            else:
                known.append(
                    _Move(
                        piece.partition,
                        position,
                        before_seq,
                        before_balance,
                        position.epoch,
                        effect.seq,
                        effect.balance,
                    )
                )
    return moves


async def move_wallet_balances(connection: AsyncConnection, slices: Sequence[JournalSlice]) -> list[Transfer]:
    """Move the balances of all wallets of the slices.

    Returns the transfers of entries in quarantine whose wallet has become known. Raises PartitionStoppedError when a
    wallet is not where the journal says it was.
    """
    moves = dict(sorted(_fold(slices).items()))
    if not moves:
        return []
    fresh = {user: found[0] for user, found in moves.items() if found[0].before_seq == 0}
    await _add_heads(connection, fresh)
    moved = await _move(connection, {user: found[0] for user, found in moves.items()})
    transfers: list[Transfer] = []
    for user, found in moves.items():
        for move in found[1:] if user in moved else found:
            transfers += await _bridge(connection, user, move)
            if not await _move(connection, {user: move}):
                raise AssertionError(f"the balance of {user} was locked and has moved")
    return transfers


async def _add_heads(connection: AsyncConnection, moves: Mapping[str, _Move]) -> None:
    if moves:
        await connection.execute(
            _Sql.add_heads, {"users": list(moves), "partitions": [move.partition for move in moves.values()]}
        )


async def _move(connection: AsyncConnection, moves: Mapping[str, _Move]) -> set[str]:
    result = await connection.execute(
        _Sql.move_heads,
        {
            "users": list(moves),
            "before_seqs": [move.before_seq for move in moves.values()],
            "before_balances": [move.before_balance for move in moves.values()],
            "epochs": [move.epoch for move in moves.values()],
            "seqs": [move.seq for move in moves.values()],
            "balances": [move.balance for move in moves.values()],
        },
    )
    return {row.user_id for row in result}


async def _bridge(connection: AsyncConnection, user: str, move: _Move) -> list[Transfer]:
    """Close a gap of one seq by an unreadable entry of the partition: it must have been this wallet's."""
    await _add_heads(connection, {user: move})
    balances = tables.wallet_heads
    found = (await connection.execute(select(balances).where(balances.c.user_id == user).with_for_update())).one()
    delta = move.before_balance - found.balance
    is_gap = found.seq + 1 == move.before_seq
    if not is_gap or not await attribute(connection, move.partition, move.first.n, user, move.before_seq, found, delta):
        raise PartitionStoppedError(
            move.partition,
            f"entry {move.first} says wallet {user} was at seq {move.before_seq} with {move.before_balance}, "
            f"the ledger has it at seq {found.seq} with {found.balance}",
        )
    before = {"user": user, "seq": move.before_seq, "balance": move.before_balance}
    await connection.execute(_Sql.set_head, before)
    return list(suspense_of(user, move.partition, delta))
