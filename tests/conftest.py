"""Real servers for every test above `domain/`: private, on free ports, with temporary data."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from livegift.composition import make_settings
from livegift.dev.embedded import PostgresServer, RedisServer, start_postgres, start_redis, start_redis_cluster
from livegift.ledger import schema
from livegift.ledger.engine import Database
from livegift.operations.migrate import migrate
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.rooms import Rooms
from tests.system import System

# A busy machine is no failure: tests have time-outs, single examples have no deadline.
hypothesis.settings.register_profile("livegift", deadline=None)
hypothesis.settings.load_profile("livegift")

JWT_SECRET = "a secret that only the tests know, 32+ bytes"
PARTITIONS = 8


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    nodes = start_redis_cluster(tmp_path_factory.mktemp("cluster"))
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, redis_server: RedisServer) -> str:
    if any(
        "shared_system" in getattr(item, "fixturenames", ())
        for item in request.session.items
        if item.path == request.path
    ):
        pytest.fail(
            "expected no test on a shared_system in this module: its processes are on the Redis that is emptied"
        )
    return emptied(redis_server)


def emptied(server: RedisServer) -> str:
    """As if it had just been started for the first time: the functions' memory is gone as well."""
    with closing(server.client()) as client:
        client.function_flush()
        client.flushall()
    return server.url


@pytest.fixture
def cluster_url(cluster: list[RedisServer]) -> str:
    for node in cluster:
        emptied(node)
    return cluster[0].url


@pytest.fixture(scope="session")
def template_database(postgres_server: PostgresServer) -> str:
    """A migrated database that the others are copied from."""

    async def make() -> None:
        database = Database(postgres_server.url)
        await schema.migrate(database, PARTITIONS)
        await database.aclose()

    asyncio.run(make())
    return postgres_server.url


@pytest.fixture
def database_url(template_database: str) -> Iterator[str]:
    """A database of this test's own."""
    with new_database(template_database) as url:
        yield url


@contextmanager
def new_database(template_url: str) -> Iterator[str]:
    base, _, template = template_url.rpartition("/")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield f"{base}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def settings(redis_url: str, database_url: str) -> Settings:
    """Both stores migrated."""
    return migrated(make_settings(redis_url=redis_url, database_url=database_url, **COMMON))


COMMON: dict[str, object] = {
    "jwt_secret": JWT_SECRET,
    "jwt_leeway_s": 0,
    "partitions": PARTITIONS,
    "metrics_port": 0,
    "combo_timeout_ms": 1000,
    "commands_per_s_max": 0,
    "requests_per_s_max": 0,
    "room_events_max": 0,
    "hold_h": 0,
    "sandbox_secrets": "a sandbox secret that only the tests know",
}


def migrated(settings: Settings) -> Settings:
    asyncio.run(migrate(settings))
    return settings


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    """Redis with the functions loaded."""
    connected = await Store.connect(redis_url)
    await functions.load(connected)
    for node in connected.nodes:
        await Rooms(connected).claim_gate(node, 1)
        await Rooms(connected).open_gate(node, 1, {})
    yield connected
    await connected.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    connected = Database(database_url)
    yield connected
    await connected.aclose()


@pytest.fixture
def system(settings: Settings, tmp_path: Path) -> Iterator[System]:
    """Real processes on this test's stores; the test starts those it wants."""
    with System(settings, tmp_path / "logs") as running:
        yield running


# For a module whose tests are to hold on both of the hub's ways: `pytestmark = BOTH_WAYS`.
BOTH_WAYS = pytest.mark.parametrize(
    "shared_system", [True, False], indirect=True, ids=["direct", "plain"], scope="module"
)


@pytest.fixture(scope="module")
def shared_system(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """One of each process for all tests of a module, which must not ask for `redis_url` themselves.

    With a parameter of False (see BOTH_WAYS) the hub goes the plain ASGI way, as on another server than ours.
    """
    direct = getattr(request, "param", True)
    with new_database(template_database) as url:
        settings = migrated(
            make_settings(redis_url=emptied(redis_server), database_url=url, fast_path=direct, **COMMON)
        )
        with System(settings, tmp_path_factory.mktemp("shared") / "logs") as running:
            yield running.start()


@pytest.fixture
def cluster_system(cluster_url: str, database_url: str, tmp_path: Path) -> Iterator[System]:
    """The same on a cluster of three primaries."""
    settings = migrated(make_settings(redis_url=cluster_url, database_url=database_url, **COMMON))
    with System(settings, tmp_path / "logs") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A demo in this checkout has left its own, with a secret and providers.
    monkeypatch.setattr("livegift.runtime.settings.DEFAULT_DATA_DIR", tmp_path_factory.getbasetemp() / "no data")
    for name in list(os.environ):
        if name.startswith("LIVEGIFT_"):
            monkeypatch.delenv(name)
