"""What accounts hold."""

from sqlalchemy import select

from livegift.domain.postings import diamonds_of
from livegift.ledger import tables
from livegift.ledger.engine import Database


async def creator_diamonds(database: Database, user: str) -> int:
    """All diamonds that `user` has earned and not paid out."""
    query = select(tables.accounts.c.balance).where(tables.accounts.c.name == diamonds_of(user))
    async with database.begin() as connection:
        return int(await connection.scalar(query) or 0)
