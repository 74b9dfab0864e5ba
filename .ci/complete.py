"""Checks in an environment that was just set up from a lock: `complete.py WHAT LOCK`.

WHAT (livegift with extras, as for pip) wants nothing beside what is installed, extras of extras included, which
`pip check` does not look at; and nothing else is installed than what LOCK has.
"""

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

OURS = {"pip", "setuptools", "livegift"}


def name_of(text: str) -> str:
    """The name as registries compare it."""
    return re.sub(r"[-_.]+", "-", text).lower()


def main(what: str, lock: str) -> None:
    """Exit with a sentence when the lock is not complete."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--dry-run"]
    command = [*pip, "--no-index", "--no-build-isolation", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wanted = re.findall(r"^Would install (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or any(not each.startswith("livegift-") for each in " ".join(wanted).split()):
        sys.exit(f"{lock} is not complete for {what}, call make lock: pip would install {wanted}\n{done.stderr}")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", Path(lock).read_text(), re.MULTILINE))
    pinned = {name_of(name): version for name, version in pinned.items()}
    there = {name_of(each.name): each.version for each in distributions()}
    others = {name: version for name, version in there.items() if name not in OURS and pinned.get(name) != version}
    if others:
        sys.exit(f"installed, but not from {lock}: {others}")
    print(f"{lock} is complete: {len(there)} packages, pip {there['pip']}")


main(*sys.argv[1:])
