"""Helpers of the targeted tests."""

from contextlib import closing
from pathlib import Path

from livegift.dev.embedded import RedisServer, start_redis
from livegift.store import keys
from tests.faults import files
from tests.faults.world import REDIS_SETTINGS
from tests.inprocess import InProcess
from tests.partitions import balance_and_seq

COINS = 1_000
ROOM = "r1"
HEART = 5


class OwnRedis:
    """A private Redis whose append-only file a test may cut."""

    def __init__(self, folder: Path) -> None:
        self.server: RedisServer = start_redis(folder, extra=REDIS_SETTINGS)

    @property
    def file(self) -> Path:
        return files.last_part(self.server.data_dir)

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server = start_redis(self.server.data_dir, port=self.server.port, extra=REDIS_SETTINGS)

    def start_with(self, data: bytes) -> None:
        """Kill Redis and start it with another append-only file."""
        self.kill()
        self.file.write_bytes(data)
        self.start()

    def wallet(self, root: str, user: str) -> tuple[int, int, int]:
        """Return balance, seq, and the number of entries in the journal."""
        with closing(self.server.client()) as client:
            return *balance_and_seq(client, keys.wallet(root, user)), int(client.xlen(keys.outbox(root)))


async def hearts(system: InProcess, first: int, count: int) -> None:
    """Send gifts of alice with the refs `k<number>`; each must be accepted as new."""
    for number in range(first, first + count):
        accepted = await system.gift("alice", ROOM, "bob", "heart", f"k{number}")
        assert not accepted.duplicate
