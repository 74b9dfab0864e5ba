"""Runs luacheck on each library of Redis Functions, whose files share their locals: all files of one are one chunk."""

import re
import shutil
import subprocess
import sys

from livegift.store.functions import FOLDER, LIBRARIES, SHARED

LUACHECK = ["luacheck", "--config", str(FOLDER / "luacheckrc"), "--codes", "--no-color", "--formatter", "plain", "-"]


def main() -> int:
    """Print every warning at its place; return 1 when there is one."""
    if shutil.which(LUACHECK[0]) is None:
        sys.stderr.write("luacheck is missing: install it (apt install lua-check, brew install luacheck)\n")
        return 1
    failed = 0
    for parts in LIBRARIES.values():
        texts = [(FOLDER / f"{part}.lua") for part in (SHARED, *parts)]
        places = [(path, number) for path in texts for number in range(1, len(path.read_text().splitlines()) + 2)]
        code = "\n".join(path.read_text() for path in texts)
        found = subprocess.run(LUACHECK, input=code, text=True, capture_output=True, check=False)
        for line in (found.stdout + found.stderr).splitlines():
            place = re.match(r"stdin:(\d+):(.*)", line)
            path, number = places[int(place[1]) - 1] if place else (None, 0)
            sys.stdout.write(f"{path.relative_to(FOLDER.parents[2])}:{number}:{place[2]}\n" if place else f"{line}\n")
        failed |= found.returncode
    return int(failed != 0)


if __name__ == "__main__":
    sys.exit(main())
