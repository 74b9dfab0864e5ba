"""Accounts: their balances, and the transfers between them that touch no wallet (money, diamonds, holds)."""

from collections.abc import Iterable, Sequence

from sqlalchemy import TextClause, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.postings import Transfer, sums
from livegift.ledger import tables
from livegift.ledger.statements import Statements


class _Sql(Statements, file="accounts.sql"):
    """The statements of this module."""

    add: TextClause


async def add(connection: AsyncConnection, transfers: Iterable[Transfer]) -> dict[str, int]:
    """Add the sums of `transfers` to the accounts; returns the new balance of each. The caller stores them."""
    changes = sums(transfers)
    if not changes:
        return {}
    result = await connection.execute(
        _Sql.add,
        {
            "names": [name for name, _ in changes],
            "assets": [asset for _, asset in changes],
            "changes": list(changes.values()),
        },
    )
    return {row.name: row.balance for row in result}


async def balances(connection: AsyncConnection, names: Iterable[str]) -> dict[str, int]:
    """Lock those of the accounts that exist and return their balances. They can't change until the transaction ends."""
    table = tables.accounts
    query = select(table.c.name, table.c.balance).where(table.c.name.in_(list(names))).order_by(table.c.name)
    return {row.name: row.balance for row in await connection.execute(query.with_for_update())}


async def post(connection: AsyncConnection, reason: str, ref: str, transfers: Sequence[Transfer]) -> dict[str, int]:
    """Book transfers that touch no wallet, all for one posting `(reason, ref)`; returns the new balances.

    A posting is made once: a second time raises SQLAlchemy's IntegrityError. Called in the transaction that changes the
    state behind it, it can't happen twice. To undo one, post transfers in the other direction.
    """
    await write(connection, reason, ref, transfers)
    return await add(connection, transfers)


async def write(connection: AsyncConnection, reason: str, ref: str, transfers: Sequence[Transfer]) -> None:
    """Write the rows of `post` only, where one `add` moves the accounts of several postings: two could deadlock."""
    rows = [
        {
            "reason": reason,
            "ref": ref,
            "line": line,
            "asset": transfer.asset,
            "debit": transfer.debit,
            "credit": transfer.credit,
            "amount": transfer.amount,
        }
        for line, transfer in enumerate(transfers, 1)
    ]
    if rows:
        await connection.execute(insert(tables.postings), rows)
