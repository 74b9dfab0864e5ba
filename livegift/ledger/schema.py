"""The schema's version: upgrading it, and refusing to work with another."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from secrets import token_hex

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.dialects.postgresql import insert

from livegift.contract.errors import ConfigError
from livegift.domain.catalogue import DEFAULT_GIFTS, DEFAULT_PACKAGES
from livegift.domain.prices import REGIONAL_PRICES
from livegift.ledger import tables
from livegift.ledger.engine import Database
from livegift.runtime.event_ids import KEY_BYTES

# The newest revision in migrations/versions; a test compares the two.
VERSION = "0015"
_PARTITIONS = "partitions"
_EVENT_ID_KEY = "event_id_key"
_MIGRATE_LOCK = 0x6C69766567696674  # "livegift"


def _upgrade(connection: Connection) -> None:
    # Only `migrate` needs Alembic; it would double the start-up time of every process.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    with as_file(files("livegift.ledger") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


async def migrate(database: Database, partitions: int) -> str:
    """Bring the schema up to date and add missing defaults; idempotent. Returns the version.

    Raises ConfigError when the number of partitions is not the one of the first migration.
    """
    async with database.begin() as connection:
        # Two at once would make the same tables.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATE_LOCK})
        await connection.run_sync(_upgrade)
        await connection.execute(
            insert(tables.system).values(key=_PARTITIONS, value=str(partitions)).on_conflict_do_nothing()
        )
        fixed = await connection.scalar(select(tables.system.c.value).where(tables.system.c.key == _PARTITIONS))
        _check_partitions(str(fixed), partitions)
        # Made once: another key would change the id of every event that is booked.
        key = insert(tables.system).values(key=_EVENT_ID_KEY, value=token_hex(KEY_BYTES))
        await connection.execute(key.on_conflict_do_nothing())
        await connection.run_sync(_seed, range(partitions))
    return VERSION


def _check_partitions(fixed: str, partitions: int) -> None:
    if fixed != str(partitions):
        raise ConfigError(
            f"LIVEGIFT_PARTITIONS is {partitions}, but this database was made with {fixed}: "
            f"the number is fixed at the first migration, set it back to {fixed}"
        )


def _seed(connection: Connection, partitions: Sequence[int]) -> None:
    """Add defaults only where there is no row, so that operators' changes stay."""
    gifts = [
        {
            "id": gift.id,
            "name": gift.name,
            "coins": gift.coins,
            "diamond_count": gift.diamond_count,
            "streakable": gift.streakable,
            "tier": gift.tier,
            "icon": gift.icon,
        }
        for gift in DEFAULT_GIFTS
    ]
    packages = [{"id": p.id, "coins": p.coins, "bonus_coins": p.bonus_coins} for p in DEFAULT_PACKAGES]
    rows = [{"partition": p, "epoch": 0, "n": 0} for p in partitions]
    for table, values in (
        (tables.gift_kinds, gifts),
        (tables.coin_packages, packages),
        (tables.checkpoints, rows),
    ):
        connection.execute(insert(table).values(values).on_conflict_do_nothing())
    _seed_prices(connection)


def _seed_prices(connection: Connection) -> None:
    """Add prices in all regions to default packages that no operator has ever changed."""
    packages, acts = tables.coin_packages, tables.operator_acts
    touched = select(acts.c.subject).where(acts.c.act == "package.put", acts.c.subject == "package:" + packages.c.id)
    found = connection.execute(select(packages.c.id, packages.c.coins).where(~touched.exists())).all()
    coins = {row.id: row.coins for row in found}
    prices = [
        {"package_id": package.id, "region": region, "currency": currency, "amount": amount}
        for region, (currency, amounts) in REGIONAL_PRICES.items()
        for package, amount in zip(DEFAULT_PACKAGES, amounts, strict=True)
        if coins.get(package.id) == package.coins
    ]
    if prices:
        connection.execute(insert(tables.package_prices).values(prices).on_conflict_do_nothing())


async def read_event_id_key(database: Database) -> bytes:
    """Return the key for `event_ids.EventIds`. Raises ConfigError when `livegift migrate` has not created it yet."""
    async with database.begin() as connection:
        key = await connection.scalar(select(tables.system.c.value).where(tables.system.c.key == _EVENT_ID_KEY))
    if key is None:
        raise ConfigError("the database has no key for the ids of events: run `livegift migrate`")
    return bytes.fromhex(str(key))


async def check(database: Database, partitions: int) -> None:
    """Raise ConfigError unless the schema is the one that this code was written for."""
    async with database.begin() as connection:
        current = await connection.run_sync(_version)
        if current != VERSION:
            raise ConfigError(
                f"the database's schema is at {current or 'nothing'}, this version needs {VERSION}: "
                "run `livegift migrate`"
            )
        fixed = await connection.scalar(select(tables.system.c.value).where(tables.system.c.key == _PARTITIONS))
    _check_partitions(str(fixed), partitions)
