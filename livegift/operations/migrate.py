"""`livegift migrate`: the database's schema and the Redis Functions, both idempotent."""

from livegift.ledger import schema
from livegift.ledger.engine import Database
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store


async def migrate(settings: Settings) -> list[str]:
    """Bring both stores up to date; returns lines that say what was done. Raises ConfigError."""
    database = Database(settings.database_url)
    try:
        version = await schema.migrate(database, settings.partitions)
    finally:
        await database.aclose()
    store = await Store.connect(settings.redis_url)
    try:
        removed = await functions.remove_older(store)
        loaded = await functions.load(store)
    finally:
        await store.aclose()
    lines = [f"schema at {version}", f"functions loaded: {', '.join(loaded) or 'none, they were there'}"]
    return [*lines, f"functions removed: {', '.join(removed)}"] if removed else lines
