"""Redis' append-only file on disk: its parts, and its size over time."""

import asyncio
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

POLL_S = 0.02
KEPT_S = 10.0


def folder_of(data_dir: Path) -> Path:
    return data_dir / "redis" / "appendonlydir"


def last_part(data_dir: Path) -> Path:
    """Return the file that Redis appends to."""
    parts = folder_of(data_dir).glob("*.incr.aof")
    return max(parts, key=lambda path: int(re.findall(r"\.(\d+)\.incr", path.name)[-1]))


def empty(data_dir: Path) -> None:
    """Empty the folder, as if the disk had been replaced."""
    shutil.rmtree(data_dir / "redis")
    (data_dir / "redis").mkdir(mode=0o700)


def commands(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each whole command of an append-only file: where it ends, and its name."""
    at = 0
    while at < len(data):
        if data[at : at + 1] != b"*":
            return
        try:
            line_end = data.index(b"\r\n", at)
            count, name = int(data[at + 1 : line_end]), b""
            at = line_end + 2
            for index in range(count):
                line_end = data.index(b"\r\n", at)
                start, length = line_end + 2, int(data[at + 1 : line_end])
                at = start + length + 2
                name = data[start : start + length] if index == 0 else name
        except ValueError:
            return  # torn
        if at > len(data):
            return
        yield at, name.upper()


def whole_end(data: bytes) -> int:
    """Return the end of the last whole transaction or command, where `redis-check-aof --fix` would cut."""
    end, is_open = 0, False
    for at, name in commands(data):
        is_open = name == b"MULTI" or (is_open and name != b"EXEC")
        if not is_open:
            end = at
    return end


class Sizes:
    """The sizes of a growing file in the last seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, Path, int]] = []

    def look(self, path: Path) -> None:
        now = time.monotonic()
        self._seen.append((now, path, path.stat().st_size))
        while self._seen[0][0] < now - KEPT_S:
            self._seen.pop(0)

    def at(self, path: Path, ago_s: float) -> int:
        """Return the size `ago_s` before the last look, or the smallest that is known."""
        mine = [(at, size) for at, seen, size in self._seen if seen == path]
        if not mine:
            return path.stat().st_size
        then = mine[-1][0] - ago_s
        return max([size for at, size in mine if at <= then], default=mine[0][1])

    async def follow(self, data_dir_of: "CurrentFolder") -> None:
        """Keep recording the size."""
        while True:
            with suppress(OSError, ValueError):  # killed, moved or emptied at this moment
                self.look(last_part(data_dir_of()))
            await asyncio.sleep(POLL_S)


class CurrentFolder:
    """The data folder of the present primary."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> Path:
        return self.path
