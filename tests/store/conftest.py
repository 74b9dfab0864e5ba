"""A plain client of the real Redis with the functions of this version."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from livegift.dev.embedded import RedisServer
from tests.store.live import load_functions


@pytest.fixture(scope="module")
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Repeats nothing and gives raw replies, as the store has them. Tests keep apart by the root they use."""
    made = redis.Redis.from_url(redis_server.url, protocol=2, socket_timeout=10, retry=Retry(NoBackoff(), 0))
    with closing(made):
        made.response_callbacks.clear()
        made.flushall()
        load_functions(made)
        yield made
