"""Make the data folder of a release: run this file with that release's Python, in its checkout.

`python make_data.py OUT.tar.xz` starts the release's `livegift dev`, lets people buy, send, undo and set limits, stops
it and packs its folder, with `told.json`: what the release itself said of everybody before it stopped. It uses nothing
of livegift but its command line, its API and the names of its processes, so that it works in releases that this
checkout has never seen.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import websockets

LIVEGIFT = str(Path(sys.executable).parent / "livegift")
READY_TIMEOUT_S = 120
BOOKED_TIMEOUT_S = 30
COMBO_TIMEOUT_MS = 60_000  # streaks are open when the release stops, and over when it is upgraded
REF_TTL_S = 20 * 365 * 86_400  # refs are remembered when the archive is years old
VIEWERS = ("ann", "ben", "cat", "dan", "eve")


class System:
    """A `livegift dev` on a folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LIVEGIFT_")}
        environ |= {
            "LIVEGIFT_COMBO_TIMEOUT_MS": str(COMBO_TIMEOUT_MS),
            "LIVEGIFT_HOLD_H": "0",
            "LIVEGIFT_REF_TTL_S": str(REF_TTL_S),
        }
        self.output = (data.parent / "output").open("w+")
        self.process = subprocess.Popen(
            [LIVEGIFT, "dev", "--port", "0", "--data", str(data)], stdout=self.output, stderr=self.output, env=environ
        )

    def ready(self) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        path = Path(self.output.name)
        while not (found := re.search(r"livegift ready: (http://\S+)", path.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(path.read_text())
            time.sleep(0.2)
        self.url = found[1].rstrip("/")
        env = (self.data / "env").read_text().splitlines()
        self.secret = next(line.partition("=")[2] for line in env if line.startswith("LIVEGIFT_JWT_SECRET="))

    def token(self, user: str, role: str = "viewer") -> str:
        claims = {"sub": user, "role": role, "exp": int(time.time()) + 600, "iat": int(time.time())}
        return jwt.encode({**claims, "auth_time": int(time.time()), "age_verified": True}, self.secret, "HS256")

    def ask(self, method: str, path: str, user: str = "", role: str = "viewer", body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token(user, role)}"} if user else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def stop_reading(self) -> None:
        """Let relay and aggregator do nothing more, so that the last gifts are neither published nor booked."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            words = path.read_bytes().split(b"\0")
            parent = re.search(r"^PPid:\s+(\d+)", (path.parent / "status").read_text(), re.MULTILINE)
            if parent and int(parent[1]) == self.process.pid and {b"relay", b"aggregator"} & set(words):
                os.kill(int(path.parent.name), signal.SIGSTOP)

    def run(self, *words: str) -> None:
        subprocess.run([LIVEGIFT, *words, "--data", str(self.data)], check=True, capture_output=True)


async def send(system: System, user: str, gifts: list[dict[str, object]]) -> list[dict[str, Any]]:
    """Send one after the other on one connection; all have to be accepted."""
    answers = []
    async with websockets.connect(system.url.replace("http", "ws", 1) + "/v1/ws") as socket:
        await socket.send(json.dumps({"type": "hello", "token": system.token(user)}))
        for gift in gifts:
            await socket.send(json.dumps({"type": "gift.send", **gift}))
            while (answer := json.loads(await socket.recv()))["type"] != "gift.result":
                if answer["type"] == "error":
                    raise SystemExit(f"{gift}: {answer}")
            if answer["status"] != "accepted":
                raise SystemExit(f"{gift}: {answer}")
            answers.append({**gift, "user": user, "gift_event_id": answer["gift_event_id"], "coins": answer["coins"]})
    return answers


def buy(system: System, user: str, package: str, decision: str) -> str:
    order = system.ask("POST", "/v1/orders", user, body={"package_id": package, "region": "US"})
    if decision:
        form = urlencode({"decision": decision}).encode()
        urllib.request.urlopen(urllib.request.Request(order["checkout_url"], form, method="POST"), timeout=30).read()
    return str(order["id"])


def wait_for(what: str, condition: Any) -> None:
    end = time.monotonic() + BOOKED_TIMEOUT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"not in time: {what}")
        time.sleep(0.1)


def live(system: System) -> dict[str, Any]:
    """Let things happen, and return what the release says of them."""
    for creator in ("cho", "dee"):
        system.ask("POST", "/v1/rooms", creator, "creator", {"id": f"room-{creator}", "title": f"{creator} live"})
    for user in (*VIEWERS, "brand"):
        system.run("grant", "--user", user, "--coins", "30000", "--ref", f"grant-{user}")
    paid = [buy(system, user, "coins-550", "pay") for user in ("ann", "ben")]
    declined, waiting = buy(system, "ann", "coins-100", "decline"), buy(system, "cat", "coins-100", "")
    orders = {"ann": [paid[0], declined], "ben": [paid[1]], "cat": [waiting]}
    for user, order in zip(("ann", "ben"), paid, strict=True):
        wait_for("order", lambda u=user, o=order: system.ask("GET", f"/v1/orders/{o}", u)["status"] == "credited")
    match = {"sponsor": "brand", "sponsor_name": "Brand", "title": "twice", "factor": 1, "budget_coins": 300}
    system.ask("POST", "/v1/admin/rooms/room-cho/matches", "root", "admin", match)
    system.ask("PUT", "/v1/wallet/limits", "dan", body={"day": 500})
    sent = []
    for index, user in enumerate(VIEWERS):
        room = "room-dee" if user == "eve" else "room-cho"
        gifts = [
            {"ref": f"{user}-{n}", "room": room, "gift_id": "rose" if n % 2 else "heart", "count": 1 + (n + index) % 3}
            for n in range(12)
        ]
        gifts.append({"ref": f"{user}-hidden", "room": room, "gift_id": "rose", "anonymous": True})
        sent += asyncio.run(send(system, user, gifts))
    dear = {"ref": "ben-big", "room": "room-cho", "gift_id": "lion", "count": 1, "message": "for you 🎁"}
    sent += asyncio.run(send(system, "ben", [dear]))
    wait_for("diamonds", lambda: earned(system)["diamonds_total"] >= 12_000)
    account = {"iban": "DE89370400440532013000", "holder": "Cho Example"}
    system.ask("PUT", "/v1/creator/payout-account", "cho", "creator", account)
    payout = system.ask("POST", "/v1/payouts", "cho", "creator", {"diamonds": 10_000})["id"]
    system.ask("PATCH", "/v1/rooms/room-dee", "dee", "creator", {"status": "ended"})
    system.ask("PUT", "/v1/admin/users/dan/freeze", "root", "admin", {"why": "a person looks"})
    time.sleep(1)  # what the aggregator tells of after a booking
    return {
        "wallets": {user: system.ask("GET", "/v1/wallet", user) for user in (*VIEWERS, "brand")},
        "limits": {user: system.ask("GET", "/v1/wallet/limits", user) for user in ("dan", "eve")},
        "orders": {user: [system.ask("GET", f"/v1/orders/{o}", user) for o in ids] for user, ids in orders.items()},
        "payout": {"id": payout, **system.ask("GET", f"/v1/payouts/{payout}", "cho", "creator")},
        "earned": earned(system),
        "rooms": {room: system.ask("GET", f"/v1/rooms/{room}") for room in ("room-cho", "room-dee")},
        "gifts": sent,
    }


def earned(system: System) -> Any:
    return system.ask("GET", "/v1/creator/balance", "cho", "creator")


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="livegift-data-") as folder:
        system = System(Path(folder) / "data")
        try:
            system.ready()
            told = live(system)
            system.stop_reading()
            told["gifts"] += asyncio.run(
                send(system, "cat", [{"ref": f"cat-last-{n}", "room": "room-cho", "gift_id": "rose"} for n in range(9)])
            )
            told["wallets"]["cat"] = system.ask("GET", "/v1/wallet", "cat")
            told["ref_ttl_s"] = REF_TTL_S
        finally:
            system.process.terminate()
            system.process.wait(60)
        (system.data / "told.json").write_text(json.dumps(told, indent=1))
        for path in (system.data / "logs").glob("*"):
            path.unlink()
        with tarfile.open(out, "w:xz", preset=9) as archive:
            archive.add(system.data, "data")
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
