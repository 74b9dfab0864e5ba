"""Private, real Redis and PostgreSQL servers in a data folder: for `livegift dev` and for the tests.

The API is synchronous. The servers listen on the loopback only, need a password, keep their data across restarts, and
end with the process that started them where the system allows that (Linux with `setpriv`); otherwise the next start
ends them. A data folder has one user at a time: a second start stops the first one's servers, so callers hold a lock on
the folder.
"""

from livegift.dev.embedded.binaries import Source
from livegift.dev.embedded.errors import EmbeddedError
from livegift.dev.embedded.postgres_server import PostgresServer, start_postgres
from livegift.dev.embedded.process import Server
from livegift.dev.embedded.redis_server import RedisServer, start_redis, start_redis_cluster

__all__ = [
    "EmbeddedError",
    "PostgresServer",
    "RedisServer",
    "Server",
    "Source",
    "start_postgres",
    "start_redis",
    "start_redis_cluster",
]
