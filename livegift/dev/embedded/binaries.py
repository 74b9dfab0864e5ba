"""The programs of the servers: finding one whose version fits, and running programs to their end."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

PROBE_TIMEOUT_S = 10.0  # `--version` and the like

Source = Literal["path", "wheel"]
Version = tuple[int, ...]


def environment() -> dict[str, str]:
    """Return our environment without PostgreSQL's variables, and with English messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a binary may be. `binary` is None when there is none."""

    source: Source | Literal["system"]
    place: str
    binary: Path | None


def try_run(command: Sequence[str | Path], timeout_s: float) -> tuple[bool, str]:
    """Run a command to its end; returns whether it succeeded and its output. A program that fails raises nothing."""
    try:
        done = subprocess.run(  # noqa: S603 - binaries found by us, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for us: we finish the step, then stop
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, done.stdout.decode(errors="replace").strip()


@cache
def version_of(binary: Path) -> Version:
    """Return the version that `binary --version` prints; `()` when it does not run or prints none."""
    _, output = try_run([binary, "--version"], PROBE_TIMEOUT_S)
    match = re.search(r"(?:v=|\) )(\d+(?:\.\d+)*)", output)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def choose(
    candidates: Iterable[Candidate], fits: Callable[[Version], bool], prefer: Source | None
) -> tuple[Path | None, str]:
    """Return the first candidate whose version fits, and a line on all candidates (when there is none).

    With `prefer`, only candidates of that source are considered.
    """
    seen = []
    for candidate in candidates:
        if prefer is not None and candidate.source != prefer:
            continue
        if candidate.binary is None:
            seen.append(f"{candidate.place}: none")
            continue
        version = version_of(candidate.binary)
        if fits(version):
            return candidate.binary, ""
        seen.append(f"{candidate.place}: {'.'.join(map(str, version)) or 'does not run'} ({candidate.binary})")
    return None, "; ".join(seen) or "nothing"


def on_path(name: str) -> Path | None:
    """Return the path of `name` on PATH, with symbolic links resolved."""
    found = shutil.which(name)
    return Path(found).resolve() if found else None
