"""Relay and aggregator as tasks of the test, on a Redis that the test may kill, cut and replace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from livegift.composition import make_settings
from livegift.operations.migrate import migrate
from tests.conftest import COMMON
from tests.faults.small import COINS, ROOM, OwnRedis
from tests.inprocess import InProcess


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path / "redis")
    yield own
    own.server.kill()


@pytest.fixture
async def small(own_redis: OwnRedis, database_url: str) -> AsyncIterator[InProcess]:
    """Provide a room, and alice with coins."""
    settings = make_settings(redis_url=own_redis.server.url, database_url=database_url, **COMMON)
    await migrate(settings)
    async with InProcess(settings) as system:
        await system.open_room(ROOM, "bob")
        await system.grant("alice", COINS)
        yield system
