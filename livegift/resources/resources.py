"""The resources that the parts of a process share, opened and closed in one place."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar, cast

from livegift.ledger import schema
from livegift.ledger.engine import Database
from livegift.resources.directory import Directory
from livegift.runtime.event_ids import EventIds
from livegift.runtime.identity import tokens_of
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.outbox import Outbox
from livegift.store.room_events import RoomEventPublisher
from livegift.store.rooms import Rooms
from livegift.store.wallets import Wallets

T = TypeVar("T")


class Stores:
    """Both stores, and access to what is kept in Redis."""

    def __init__(self, settings: Settings, store: Store, database: Database) -> None:
        """Use open stores, which the caller closes."""
        self.settings = settings
        self.store = store
        self.database = database
        self.outbox = Outbox(store, settings.partitions)
        self.wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
        self.rooms = Rooms(store)
        self.room_events = RoomEventPublisher(store)
        self._made: dict[Callable[..., Any], object] = {}

    def once(self, make: Callable[["Stores"], T]) -> T:
        """Return the result of `make` for these stores, which is called only the first time."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("T", self._made[make])


class Resources(Stores):
    """The resources that the hub and the HTTP handlers of a web process share."""

    def __init__(self, settings: Settings, store: Store, database: Database, event_ids: EventIds) -> None:
        """Use open stores; the directory is empty until it is started."""
        super().__init__(settings, store, database)
        self.tokens = tokens_of(settings)
        self.event_ids = event_ids
        self.directory = Directory(database)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Connect to both stores, check their versions and load the catalogue; close everything afterwards.

        Raises ConfigError, StoreUnavailableError or LedgerUnavailableError.
        """
        store = await Store.connect(settings.redis_url)
        database = Database(settings.database_url)
        try:
            await functions.check(store)
            await schema.check(database, settings.partitions)
            resources = cls(settings, store, database, EventIds(await schema.read_event_id_key(database)))
            try:
                await resources.directory.start()
                yield resources
            finally:
                await resources.directory.aclose()
        finally:
            await database.aclose()
            await store.aclose()
