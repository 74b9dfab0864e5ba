"""`make load`: the whole system on a temporary folder, locust against it, a report, and an audit at the end.

Exit code 0 only when no request failed, at least one gift was accepted, and every invariant holds.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

from livegift.runtime.settings import read_env_file
from loadtests.harness.naming import creator_name, room_name, user_name
from loadtests.harness.processes import ROOT, LoadTestError, exit_on_sigterm, running, start, tail

READY_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15  # of locust's users, who wait for their last results
LOCUST_GRACE_S = 60.0  # start and stop of locust itself
COINS_SPARE = 2.0  # times what a user sends at the configured rate
GIFT_COINS_MAX = 34_999
VIOLATIONS_SHOWN_MAX = 10
INVARIANT_OF_REFS = 5  # its `compared` is the number of gifts that were accepted
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """What the command line says."""

    users: int
    rooms: int
    seconds: int
    gifts_per_s: float
    processes: int
    web: int


def arguments() -> Load:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--rooms", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--gifts-per-s", type=float, default=2.0, help="of each user")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="of locust; one sends about 2,000 messages a second, several report all but the last moment",
    )
    parser.add_argument("--web", type=int, default=1, help="web processes")
    given = parser.parse_args()
    load = Load(given.users, given.rooms, given.seconds, given.gifts_per_s, given.processes, given.web)
    if min(load.users, load.rooms, load.seconds, load.processes, load.web) < 1 or load.gifts_per_s <= 0:
        parser.error("expected numbers above zero")
    return load


# --- The system -------------------------------------------------------------------------------------------------------


@contextmanager
def system(folder: Path, web: int) -> Iterator[str]:
    """`livegift dev` on `folder/data`; yields its address. Raises LoadTestError when it does not come up."""
    out, err = folder / "dev.out", folder / "dev.err"
    argv = ["-m", "livegift", "dev", "--port", "0", "--data", str(folder / "data"), "--web", str(web)]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        # It is told to stop when we die, and takes its servers along.
        process = start(argv, stdout=stdout, stderr=stderr, on_our_death=SIGTERM)
    with running(process):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (ready := re.search(r"^livegift ready: (http://\S+)$", out.read_text(), re.MULTILINE)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                state = f"ended with {process.poll()}" if process.poll() is not None else "is not ready"
                raise LoadTestError(f"`livegift dev` {state} (waited {READY_TIMEOUT_S:g} s)\n{tail(out)}\n{tail(err)}")
            time.sleep(POLL_S)
        yield ready[1]


def livegift(folder: Path, *argv: str) -> tuple[int, str]:
    """One command on that system: its exit code and what it printed."""
    command = [sys.executable, "-m", "livegift", *argv, "--data", str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode and argv[0] != "audit":
        raise LoadTestError(f"`livegift {argv[0]}` failed: {done.stderr.decode(errors='replace')}")
    return done.returncode, done.stdout.decode()


def prepare(folder: Path, load: Load) -> None:
    """Coins for the users, and open rooms."""
    coins = max(int(load.gifts_per_s * load.seconds * COINS_SPARE), GIFT_COINS_MAX)
    grants = folder / "grants.csv"
    with grants.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("user", "coins", "ref"))
        # locust may give its processes uneven shares of the users, so the last numbers can be a little higher.
        rows.writerows((user_name(n), coins, f"load-{n}") for n in range(load.users + load.processes))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(livegift, folder, "grant", "--file", str(grants))]
        jobs += [
            pool.submit(livegift, folder, "room", "--id", room_name(n), "--creator", creator_name(n))
            for n in range(load.rooms)
        ]
        for job in jobs:
            job.result()


# --- Locust -----------------------------------------------------------------------------------------------------------


def run_locust(folder: Path, address: str, load: Load) -> int:
    """Run it to its end; returns its exit code. Raises LoadTestError when it does not end by itself."""
    argv = ["-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary", "--host", address]
    argv += ["-u", str(load.users), "-r", str(load.users), "-t", f"{load.seconds}s", "--stop-timeout"]
    argv += [str(STOP_TIMEOUT_S), "--room-count", str(load.rooms), "--gifts-per-s", str(load.gifts_per_s)]
    argv += ["--csv", str(folder / "locust"), "--json-file", str(folder / "locust")]  # it adds .json itself
    if load.processes > 1:
        argv += ["--processes", str(load.processes)]
    secret = read_env_file(folder / "data" / "env")["LIVEGIFT_JWT_SECRET"]
    log = folder / "locust.log"
    with log.open("wb") as file:
        process = start(argv, {"LIVEGIFT_JWT_SECRET": secret}, stdout=file, stderr=file)
    with running(process):
        try:
            return process.wait(load.seconds + STOP_TIMEOUT_S + LOCUST_GRACE_S)
        except subprocess.TimeoutExpired:
            raise LoadTestError(f"locust did not end in time\n{tail(log)}") from None


def percentile(counts: Counter[float], share: float) -> float:
    """The least value (ms) that `share` of all do not exceed; 0 when there are none."""
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0.0


def report(folder: Path, load: Load, *, locust_exit: int) -> tuple[bool, int]:
    """Print what locust measured; whether nothing failed, and how many gifts the users know to be accepted."""
    path = folder / "locust.json"
    entries: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    by_name = {entry["name"]: entry for entry in entries}
    sends, failures = by_name.get("gift.send"), sum(entry["num_failures"] for entry in entries)
    accepted = sends["num_requests"] - sends["num_failures"] if sends else 0
    print(f"\n{load.users} users, {load.rooms} rooms, {load.seconds} s, {load.gifts_per_s:g} gifts/s each")
    if sends:
        took_s = max(sends["last_request_timestamp"] - sends["start_time"], 1e-9)
        wanted = load.users * load.gifts_per_s
        print(f"gifts accepted: {accepted}, {accepted / took_s:.1f}/s (asked for {wanted:.1f}/s)")
    print(f"{'':<12}{'count':>9}{'failed':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for name, entry in sorted(by_name.items()):
        counts = Counter({float(ms): count for ms, count in entry["response_times"].items()})
        values = "".join(f"{percentile(counts, share):>9.0f}" for share in (0.5, 0.95, 0.99))
        largest = entry["max_response_time"] or 0
        print(f"{name:<12}{entry['num_requests']:>9}{entry['num_failures']:>8}{values}{largest:>9.0f}")
    print("(locust keeps whole milliseconds, above 100 ms two digits; 'seen' is from the debit to another viewer)")
    path, listed = folder / "locust_failures.csv", 0
    for row in csv.DictReader(path.read_text().splitlines()) if path.exists() else ():
        listed += int(row["Occurrences"])
        print(f"FAILED {row['Occurrences']} x {row['Name']}: {row['Error']}")
    if failures > listed:
        print(f"FAILED {failures - listed} more in the last moment, which locust counts but does not list")
    if locust_exit not in (0, 1) or not sends:
        print(f"FAILED locust ended with {locust_exit}\n{tail(folder / 'locust.log')}")
    if sends and not accepted:
        print("FAILED not a single gift was accepted")
    return locust_exit == 0 and accepted > 0 and failures == 0, accepted


def audit(folder: Path, accepted: int) -> bool:
    """Check the invariants, and that no gift which a user was told is accepted is missing. Prints both."""
    exit_code, text = livegift(folder, "audit", "--json")
    found = json.loads(text)
    print("\nlivegift audit")
    for check in found["checks"]:
        mark = "FAIL" if check["violations"] else "ok  "
        print(f"{mark} {check['invariant']}. {check['what']} ({check['compared']} compared)")
        for violation in check["violations"][:VIOLATIONS_SHOWN_MAX]:
            print(f"       - {violation}")
    booked = next(check["compared"] for check in found["checks"] if check["invariant"] == INVARIANT_OF_REFS)
    mark = "ok  " if booked >= accepted else "FAIL"
    print(f"{mark} every accepted gift is booked: the users were told of {accepted}, the ledger has {booked}")
    return exit_code == 0 and bool(found["passed"]) and booked >= accepted


def main() -> int:
    """Run it all; the exit code."""
    load = arguments()
    exit_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="livegift-load-") as name:
        folder = Path(name)
        try:
            print("starting the system …", flush=True)
            with system(folder, load.web) as address:
                prepare(folder, load)
                print(f"{address} is ready, load for {load.seconds} s …", flush=True)
                locust_exit = run_locust(folder, address, load)
                well, accepted = report(folder, load, locust_exit=locust_exit)
                is_sound = audit(folder, accepted)
                restarts = [
                    line for line in (folder / "dev.out").read_text().splitlines() if "starting it again" in line
                ]
        except LoadTestError as error:
            print(f"FAILED {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
    for line in restarts:
        print(f"FAILED {line}")
    passed = well and is_sound and not restarts
    print("load test passed" if passed else "load test FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
