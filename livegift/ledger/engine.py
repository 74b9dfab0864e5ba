"""The connection to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import literal, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from livegift.contract.errors import LivegiftError
from livegift.runtime.bounds import (
    DATABASE_POOL_MAX,
    DATABASE_TIMEOUT_S,
    SNAPSHOT_TIMEOUT_S,
    STATEMENT_TIMEOUT_MS,
    TRANSACTION_TIMEOUT_S,
)

# psycopg's own come from COPY, which SQLAlchemy does not wrap.
_AWAY = (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError, psycopg.InterfaceError)


class LedgerUnavailableError(LivegiftError):
    """PostgreSQL can't be reached or did not answer in time. The outcome of a commit is unknown."""


async def has_inserted(connection: AsyncConnection, statement: Insert) -> bool:
    """Execute an INSERT of one row with ON CONFLICT DO NOTHING; returns whether it has written the row.

    `rowcount` can't be used: where no rows come back, SQLAlchemy has closed the cursor by then and reports -1.
    """
    return (await connection.execute(statement.returning(literal(1)))).first() is not None


class Database:
    """A pool of connections, which are opened when needed."""

    def __init__(self, url: str, *, pool_max: int = DATABASE_POOL_MAX) -> None:
        """Create the pool for a `url` postgresql://…; the driver is always psycopg 3."""
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_max,
            max_overflow=0,
            pool_timeout=DATABASE_TIMEOUT_S,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": int(DATABASE_TIMEOUT_S),
                "tcp_user_timeout": int(DATABASE_TIMEOUT_S * 1000),
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
            },
        )

    @asynccontextmanager
    async def begin(self, deadline_s: float = TRANSACTION_TIMEOUT_S) -> AsyncIterator[AsyncConnection]:
        """Run a transaction. Raises LedgerUnavailableError when the server is away or does not finish in time."""
        try:
            # A server that has stalled answers nothing, not even a statement's own time-out.
            async with asyncio.timeout(deadline_s), self.engine.begin() as connection:
                yield connection
        except (*_AWAY, OSError, TimeoutError) as error:
            raise LedgerUnavailableError(f"PostgreSQL: {plain(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise LedgerUnavailableError(f"PostgreSQL: {plain(error)}") from error
            raise

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Run a read-only transaction that sees one moment throughout."""
        async with self.begin(SNAPSHOT_TIMEOUT_S) as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection

    async def ping(self) -> None:
        """Raise LedgerUnavailableError when PostgreSQL does not answer."""
        try:
            async with self.begin() as connection:
                await connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise LedgerUnavailableError(f"PostgreSQL: {plain(error)}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def plain(error: BaseException) -> str:
    """Return the first line of the driver's message, without statement and parameters, which may be personal data."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
