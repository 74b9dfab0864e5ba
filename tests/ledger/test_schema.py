"""The schema: made by the migrations alone, as the queries see it, and never by surprise."""

from collections.abc import AsyncIterator, Iterator
from importlib.resources import as_file, files
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from livegift.contract.errors import ConfigError
from livegift.dev.embedded import PostgresServer
from livegift.domain.catalogue import DEFAULT_GIFTS, DEFAULT_PACKAGES
from livegift.domain.prices import REGIONAL_PRICES
from livegift.features.orders.public import Package, Price, put_package, read_offers, read_prices
from livegift.ledger import schema
from livegift.ledger.catalogue import put_gifts, read_gifts
from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.ledger.room_contributions import legacy_rooms
from livegift.ledger.schema import read_event_id_key
from livegift.ledger.tables import metadata
from tests.conftest import PARTITIONS


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with nothing in it."""
    base = postgres_server.url.rpartition("/")[0]
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield f"{base}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    connected = Database(empty_url)
    yield connected
    await connected.aclose()


# What Alembic does not compare: checks, the columns of keys and indexes, identities.
CATALOGUE = {
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes "
    "WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, "
    "identity_generation FROM information_schema.columns "
    "WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
}


async def catalogue(database: Database) -> dict[str, set[tuple[object, ...]]]:
    async with database.begin() as connection:
        return {name: set(map(tuple, (await connection.execute(text(sql))).all())) for name, sql in CATALOGUE.items()}


async def contents(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    found = {}
    async with database.begin() as connection:
        for name in metadata.tables:
            rows = (await connection.execute(text(f"SELECT t::text FROM {name} t"))).all()  # noqa: S608
            found[name] = sorted(row[0] for row in rows)
    return found


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


# --- The same tables --------------------------------------------------------------------------------------------------


async def test_the_migrations_make_the_tables_that_the_queries_see(database: Database) -> None:
    async with database.begin() as connection:
        assert await connection.run_sync(differences) == []


async def test_constraints_and_indexes_are_the_same_too(database: Database, empty: Database) -> None:
    async with empty.begin() as connection:
        await connection.run_sync(metadata.create_all)
    assert await catalogue(database) == await catalogue(empty)


def test_the_version_is_that_of_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(files("livegift.ledger") / "migrations"))
    assert scripts.get_heads() == [schema.VERSION]


# --- Migrating --------------------------------------------------------------------------------------------------------


async def test_an_empty_database_gets_everything(empty: Database) -> None:
    assert await schema.migrate(empty, PARTITIONS) == schema.VERSION
    await schema.check(empty, PARTITIONS)
    assert {gift.id for gift in await read_gifts(empty)} == {gift.id for gift in DEFAULT_GIFTS}
    await put_gifts(empty, DEFAULT_GIFTS[:1], active=False, actor="ops")
    assert DEFAULT_GIFTS[0] not in await read_gifts(empty)
    assert DEFAULT_GIFTS[0] in await read_gifts(empty, with_inactive=True)
    assert [package.id for package in (await read_prices(empty, "US")).packages] == [
        package.id for package in DEFAULT_PACKAGES
    ]
    assert set(await read_checkpoints(empty)) == set(range(PARTITIONS))


async def test_migrating_again_changes_nothing(database: Database) -> None:
    before = await contents(database), await catalogue(database)
    assert await schema.migrate(database, PARTITIONS) == schema.VERSION
    assert (await contents(database), await catalogue(database)) == before


async def test_migrating_again_keeps_what_an_operator_has_changed(database: Database) -> None:
    async with database.begin() as connection:
        for statement in (
            "UPDATE gift_kinds SET coins = 2, active = false WHERE id = 'rose'",
            "UPDATE package_prices SET amount = 149 WHERE package_id = 'coins-100'",
            "UPDATE checkpoints SET epoch = 4, n = 17 WHERE partition = 0",
            "INSERT INTO gift_kinds VALUES ('cake', 'Cake', 7, 7, true, 1, '🍰', true)",
        ):
            await connection.execute(text(statement))
    before = await contents(database)
    await schema.migrate(database, PARTITIONS)
    assert await contents(database) == before


async def test_another_number_of_partitions_is_refused(database: Database) -> None:
    before = await contents(database)
    for partitions in (1, PARTITIONS - 1, PARTITIONS + 1, 64):
        sentence = f"LIVEGIFT_PARTITIONS is {partitions}, but this database was made with {PARTITIONS}.*set it back to"
        with pytest.raises(ConfigError, match=sentence):
            await schema.migrate(database, partitions)
        with pytest.raises(ConfigError, match=sentence):
            await schema.check(database, partitions)
    assert await contents(database) == before


# As the version before migration 0011 leaves them: a room, a booked partition, revocations that are open and decided.
OLDER_ROWS = (
    "INSERT INTO system VALUES ('partitions', '2')",
    "INSERT INTO users (id, name) VALUES ('bob', 'Bob')",
    "INSERT INTO rooms (id, creator_id, title, kind, status) VALUES ('r1', 'bob', 'Bob live', 'live', 'live')",
    "INSERT INTO checkpoints (partition, epoch, n) VALUES (0, 1, 7), (1, 0, 0)",
    (
        "INSERT INTO corrections (id, user_id, coins, gift_event_id, gift_partition, room, receiver, diamonds, why, "
        "requested_by, status) SELECT s, 'ann', 5, '0-1-' || length(s), 0, 'r1', 'bob', 5, 'why', 'op', s "
        "FROM unnest(ARRAY['requested', 'approved', 'applied']) s"
    ),
)


async def test_an_older_system_notes_what_is_to_be_converted(empty: Database) -> None:
    def to_older(connection: Connection) -> None:
        with as_file(files("livegift.ledger") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "0010")

    async with empty.begin() as connection:
        await connection.run_sync(to_older)
        for statement in OLDER_ROWS:
            await connection.execute(text(statement))
    for _ in range(2):
        await schema.migrate(empty, 2)
        async with empty.begin() as connection:
            assert await legacy_rooms(connection, 1.0) == ["r1"]
            rows = await connection.execute(text("SELECT partition FROM checkpoints WHERE frozen_by_debts"))
            assert rows.all() == [(0,)]
            rows = await connection.execute(text("SELECT id FROM corrections WHERE is_whole"))
            assert rows.all() == [("requested",)], "of the others the diamonds were taken when they were approved"
    assert await read_event_id_key(empty)


async def test_a_new_system_has_nothing_to_convert(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text(OLDER_ROWS[1]))
        await connection.execute(text(OLDER_ROWS[2]))
        assert await legacy_rooms(connection, 1.0) == []
        assert not await connection.scalar(text("SELECT count(*) FROM checkpoints WHERE frozen_by_debts"))


# --- Checking ---------------------------------------------------------------------------------------------------------


async def test_an_empty_database_is_refused_with_what_to_do(empty: Database) -> None:
    with pytest.raises(ConfigError, match=r"schema is at nothing, this version needs \S+: run `livegift migrate`"):
        await schema.check(empty, PARTITIONS)
    assert await catalogue(empty) == {"constraints": set(), "indexes": set(), "columns": set()}


async def test_another_version_is_refused_with_what_to_do(database: Database) -> None:
    for version in ("0000", "9999"):
        async with database.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        with pytest.raises(ConfigError, match=f"schema is at {version}.*livegift migrate"):
            await schema.check(database, PARTITIONS)


async def test_the_right_version_is_accepted(database: Database) -> None:
    await schema.check(database, PARTITIONS)


async def test_prices_of_regions_come_to_a_system_that_is_there_and_change_none_of_an_operator(empty: Database) -> None:
    await schema.migrate(empty, 8)
    async with empty.begin() as connection:  # as it was before there were other regions
        await connection.execute(text("DELETE FROM package_prices WHERE region <> 'US'"))
        await connection.execute(text("UPDATE package_prices SET amount = 249 WHERE package_id = 'coins-100'"))
        await connection.execute(text("UPDATE coin_packages SET coins = 1300 WHERE id = 'coins-1250'"))
    await put_package(empty, Package("coins-550", 550, 0, {"US": Price(888, "USD")}), "root")
    await schema.migrate(empty, 8)
    prices = {package.id: package.prices for package in await read_offers(empty)}
    assert prices["coins-100"]["US"] == Price(249, "USD")
    assert prices["coins-100"]["DE"] == Price(219, "EUR")
    assert prices["coins-550"] == {"US": Price(888, "USD")}, "an operator has chosen where it is sold"
    assert set(prices["coins-1250"]) == {"US"}, "another package has other prices"
    assert set(prices["coins-2650"]) == set(REGIONAL_PRICES)
    for region, (currency, amounts) in REGIONAL_PRICES.items():
        found = await read_prices(empty, region)
        assert found.priced_region == region
        assert {p.currency for p in found.packages} == {currency}
        assert found.packages[-1].amount == amounts[-1]
