"""The harness's own access to PostgreSQL, without a proxy."""

import asyncio
from contextlib import suppress
from typing import Any

import psycopg

from livegift.dev.embedded import PostgresServer, start_postgres

# A killed server loses nothing that the kernel has, so there is no need to wait for the disk.
POSTGRES_SETTINGS = {"fsync": "off", "max_connections": "100"}
SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'livegift' AND pid <> pg_backend_pid()"
)


class LedgerServer:
    """The part of the world that is about PostgreSQL."""

    postgres: PostgresServer

    async def _sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the server's owner, without a proxy; returns the rows of the last one."""
        base = self.postgres.url.rpartition("/")[0]
        async with await psycopg.AsyncConnection.connect(f"{base}/{database}", autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                await cursor.execute(statement.encode())
            return list(await cursor.fetchall()) if cursor.description else []

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows of the ledger."""
        return await self._sql(statement, database="livegift")

    async def checkpoints(self) -> dict[int, tuple[int, int]]:
        return {p: (epoch, n) for p, epoch, n in await self.query("SELECT partition, epoch, n FROM checkpoints")}

    async def stopped(self) -> dict[int, str]:
        """Return why partitions are stopped."""
        return dict(await self.query("SELECT partition, stopped FROM checkpoints WHERE stopped IS NOT NULL"))

    async def start_postgres_again(self) -> None:
        server = self.postgres
        self.postgres = await asyncio.to_thread(
            start_postgres, server.data_dir, port=server.port, extra_settings=POSTGRES_SETTINGS
        )

    async def terminate_backends(self, *, in_transaction: bool = False) -> None:
        with suppress(psycopg.OperationalError):
            await self._sql(f"{SESSIONS} AND xact_start IS NOT NULL" if in_transaction else SESSIONS)

    async def save_ledger(self) -> None:
        """Make a copy of the database."""
        await self._sql("ALTER DATABASE livegift ALLOW_CONNECTIONS false")
        await self.terminate_backends()
        await self._sql(
            "CREATE DATABASE saved TEMPLATE livegift STRATEGY file_copy",
            "ALTER DATABASE livegift ALLOW_CONNECTIONS true",
        )

    async def put_back_ledger(self) -> None:
        """Restore the copy of the database."""
        await self._sql("ALTER DATABASE livegift ALLOW_CONNECTIONS false")
        await self.terminate_backends()
        await self._sql(
            "ALTER DATABASE livegift RENAME TO newer",
            "ALTER DATABASE saved RENAME TO livegift",
            "DROP DATABASE newer",
        )
