"""Which processes run here: from /proc, or from `ps` where there is none."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Process(NamedTuple):
    """`environ` and `folder` (its working one) are empty where only the process itself may know them."""

    pid: int
    command: str
    environ: str = ""
    folder: str = ""


def running() -> Iterator[Process]:
    """All processes, without those that nobody has reaped and those whose arguments can't be read."""
    if not (PROC / "self").exists():
        yield from by_ps()
        return
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environ = (entry / "environ").read_bytes().decode(errors="replace")
            folder = str((entry / "cwd").readlink())
        except OSError:
            continue
        if command:
            yield Process(int(entry.name), command, environ, folder)


def by_ps() -> Iterator[Process]:
    """The same from `ps`, which knows less."""
    done = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)  # noqa: S607 - where it is differs
    for line in done.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if "<defunct>" not in command:
            yield Process(int(pid), command)
