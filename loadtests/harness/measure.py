"""What the kernel says of processes and of this machine (Linux: from /proc)."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from livegift.dev.embedded.binaries import PROBE_TIMEOUT_S, try_run
from livegift.dev.embedded.postgres_server import find_postgres
from livegift.dev.embedded.redis_server import find_redis

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14  # after the name in brackets, see proc(5)
TWO_CORES = 2
CPU_STEP_S = 1 / TICKS_PER_S  # the least CPU time that can be told from none


class CoreError(Exception):
    """A process is not where it was put."""


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """Seconds of CPU (user and system) that the process has used so far, all its threads; in steps of about 10 ms."""
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / TICKS_PER_S


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def tree_cpu_s(pid: int) -> float:
    """The same for a server with child processes: its own, its living children's, and those of children that ended."""
    fields = _stat(pid)
    total = sum(int(fields[field]) for field in (_UTIME, _STIME, _CUTIME, _CSTIME)) / TICKS_PER_S
    for child in children(pid):
        try:
            total += cpu_s(child)
        except OSError:
            continue  # ended meanwhile: counted by its parent the next time
    return total


def memory_kib(pid: int) -> dict[str, int]:
    """`rss`, and `pss` (shared pages divided among those who share them) where the kernel tells it."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            found["rss"] = int(line.split()[1])
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found["pss"] = int(line.split()[1])
    except OSError:
        pass  # needs a kernel from 4.14 on and the right to look
    return found


def two_cores() -> tuple[set[int], set[int]] | None:
    """One core for the server and others for the client (and what else runs), or None when there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) >= TWO_CORES else None


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process with all its threads on `cores`."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
    if os.sched_getaffinity(pid) != cores:
        raise CoreError(f"process {pid} should be on cores {cores}, it is on {os.sched_getaffinity(pid)}")


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 and max; needs two values at least."""
    cuts = quantiles(values, n=100, method="inclusive")
    return {
        "p50": round(cuts[49], 3),
        "p95": round(cuts[94], 3),
        "p99": round(cuts[98], 3),
        "max": round(max(values), 3),
    }


def machine() -> dict[str, object]:
    """Return what a figure can't be read without, and how busy the machine is with other things at this moment."""
    redis_version, postgres_version = store_versions()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "redis": redis_version,
        "postgresql": postgres_version,
        "load_average_1m": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class Idle:
    """How much of the cores nobody has used since it was made (Linux; elsewhere None)."""

    def __init__(self) -> None:
        """Begins to count."""
        self._before = self._ticks()

    @staticmethod
    def _ticks() -> tuple[int, int]:
        try:
            ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except OSError:
            return 0, 0
        return ticks[3] + ticks[4], sum(ticks)  # idle and waiting for disks, see proc(5)

    def share(self) -> float | None:
        """Return it as a share of all cores, 0 to 1."""
        idle, total = (after - before for after, before in zip(self._ticks(), self._before, strict=True))
        return round(idle / total, 3) if total else None


def store_versions() -> tuple[str, str]:
    """Return the versions of the Redis and PostgreSQL programs that private systems start."""
    return _version(find_redis()), _version(find_postgres() / "postgres")


def _version(program: Path) -> str:
    _, said = try_run([program, "--version"], PROBE_TIMEOUT_S)
    found = re.search(r"v=(\S+)|PostgreSQL\) (.+)", said)
    return (found[1] or found[2]).strip() if found else said.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
