"""The data folders of earlier releases, as `make_data.py` has made them, started with this one."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.dev import Dev, get, run
from tests.viewer import Viewer
from tests.waiting import wait_until

MATCHED = 300  # what the sponsor has added, all of the budget
FOLDERS = sorted(Path(__file__).parent.glob("schema-*.tar.xz"))


def test_there_are_folders() -> None:
    assert FOLDERS


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name.removesuffix(".tar.xz"))
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in (tmp_path / "data" / "postgres", *(tmp_path / "data" / "postgres").rglob("*")):
        path.chmod(
            0o700 if path.is_dir() else 0o600
        )  # the filter has made them readable for others: PostgreSQL refuses
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_everybody_has_what_they_had(data: Path) -> None:
    told = json.loads((data / "told.json").read_text())
    with Dev(data) as dev:
        address = await dev.ready()
        people = People(data, address)
        await people.have(told)
        if "ref_ttl_s" in told:
            await people.repeat(told)
        room = await people.room_goes_on(told)
        assert "all invariants hold" in run(data, "audit")
        assert people.get(f"/v1/admin/rooms/{room}/audit", "root", "admin")["passed"]
        assert "Traceback" not in dev.output + "".join(dev.logs.values())
        assert dev.stop() == 0


class People:
    """What everybody sees of a system that has been upgraded."""

    def __init__(self, data: Path, address: str) -> None:
        self.data, self.address = data, address
        self._tokens: dict[tuple[str, str], str] = {}

    def token(self, user: str, role: str = "viewer") -> str:
        if (user, role) not in self._tokens:
            self._tokens[user, role] = run(self.data, "token", "--user", user, "--role", role)
        return self._tokens[user, role]

    def get(self, path: str, user: str, role: str = "viewer") -> Any:
        return get(self.address + path, self.token(user, role))

    async def have(self, told: dict[str, Any]) -> None:
        """Coins, orders, limits, diamonds and payouts: what the release said of them itself."""
        for user, wallet in told["wallets"].items():
            found = self.get("/v1/wallet", user)
            assert {name: found[name] for name in wallet} == wallet, user
        for user, orders in told["orders"].items():
            for order in orders:
                found = self.get(f"/v1/orders/{order['id']}", user)
                # The address has another port. An order that waited is too old to be paid.
                over = {"created": {"created", "expired"}}.get(order["status"], {order["status"]})
                assert found["status"] in over
                assert {**order, **{n: found[n] for n in ("status", "checkout_url")}}.items() <= found.items()
        for user, limits in told["limits"].items():
            assert self.get("/v1/wallet/limits", user)["own"] == limits["own"], user
        payout = told["payout"]
        assert payout.items() <= self.get(f"/v1/payouts/{payout['id']}", "cho", "creator").items()
        given = sum(gift["coins"] for gift in told["gifts"] if gift["room"] == "room-cho")
        await wait_until(lambda: self.earned() == given + MATCHED, "what was not booked is booked")
        for user in told["wallets"]:
            sent = [gift["coins"] for gift in told["gifts"] if gift["user"] == user]
            entries = self.get("/v1/wallet/history?limit=100", user)["items"]
            assert sorted(-entry["coins"] for entry in entries if entry["what"] == "gift") == sorted(sent), user

    async def repeat(self, told: dict[str, Any]) -> None:
        """The refs are known: each gets its first answer, whatever has become of room and wallet, and nothing moves."""
        before = {user: self.get("/v1/wallet", user) for user in told["wallets"]}
        for user in {gift["user"] for gift in told["gifts"]}:
            async with Viewer(self.address.removeprefix("http://"), self.token(user)) as viewer:
                for gift in [gift for gift in told["gifts"] if gift["user"] == user][-4:]:
                    sent = {name: gift[name] for name in ("count", "anonymous", "message") if name in gift}
                    answer = await viewer.gift(gift["room"], gift["gift_id"], ref=gift["ref"], **sent)
                    assert (answer["status"], answer["gift_event_id"]) == ("duplicate", gift["gift_event_id"]), gift
                    other = await viewer.gift(gift["room"], gift["gift_id"], ref=gift["ref"], **{**sent, "count": 99})
                    assert other["code"] == "ref_conflict"
                if before[user]["frozen"]:
                    answer = await viewer.gift("room-cho", "rose")
                    assert answer["code"] == "wallet_frozen"
        assert {user: self.get("/v1/wallet", user) for user in before} == before

    def earned(self) -> int:
        balance = self.get("/v1/creator/balance", "cho", "creator")
        return int(balance["diamonds_total"] + balance["diamonds_in_payout"])

    async def no_streak_is_open(self, room: str) -> bool:
        async with Viewer(self.address.removeprefix("http://"), self.token("ben")) as viewer:
            return not (await viewer.join(room))["combos"]

    async def room_goes_on(self, told: dict[str, Any]) -> str:
        """A room has its totals, with what was not published, and the next gift on top."""
        room = "room-cho"
        coins = told["rooms"][room]["totals"]["coins"] + sum(
            g["coins"] for g in told["gifts"] if "cat-last" in g["ref"]
        )
        async with Viewer(self.address.removeprefix("http://"), self.token("ann")) as viewer:
            snapshot = await viewer.join(room)

            def seen() -> int:
                frames = [frame["totals"] for frame in viewer.frames if "totals" in frame and frame.get("room") == room]
                return int(frames[-1]["coins"])

            await wait_until(lambda: seen() == coins, "the room has all gifts")
            assert snapshot["creator"]["id"] == "cho"
            await wait_until(lambda: self.no_streak_is_open(room), "the streaks of back then are over")
            await viewer.gift(room, "heart")
            await wait_until(lambda: seen() == coins + 5, "the room goes on")
        return room
