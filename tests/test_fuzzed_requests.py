"""Requests that were changed at random, of every role, to every route: no 5xx, no traceback, nobody else's data.

LIVEGIFT_FUZZ_REQUESTS says how many (40,000 is a thorough run); LIVEGIFT_FUZZ_SEED repeats one.
"""

import asyncio
import http.client
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import fields

from livegift.composition import make_settings
from livegift.dev.embedded import RedisServer
from livegift.http.bodies import parse_body
from livegift.http.routing import Route
from tests.access_table import ROUTES
from tests.conftest import COMMON, emptied, migrated, new_database
from tests.fuzzing.fuzzer import JSON, Answer, Fuzzer, Request, Tally
from tests.fuzzing.generated import valid_body
from tests.fuzzing.roles import CARL, HOLDER, IBAN, VERA, WHY, Asker, askers
from tests.fuzzing.routes import FILES, FIXED_POOLS, REQUESTS, REQUESTS_AND_FILES
from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

# Read before the fixture that takes the settings out of the environment.
REQUESTS_COUNT = int(os.environ.get("LIVEGIFT_FUZZ_REQUESTS", "3000"))
SEED = os.environ.get("LIVEGIFT_FUZZ_SEED", "1")
STREAMS = 4
ROUND = 400
# Of all requests, at least this share has to reach what a route does; a rate that answers the rest hides faults.
THROUGH_MIN, LIMITED_MAX = 0.2, 0.1
# An event that was signed, of another amount than the order's: the log is to call somebody.
EXPECTED_EVENTS = {"orders.needs_a_person"}


@pytest.fixture(scope="module")
def shared_system(
    redis_server: RedisServer, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """As `livegift dev` has it, payouts of a few diamonds included."""
    with new_database(template_database) as url:
        own = {**COMMON, "payout_diamonds_min": 10, "reauth_amount": 0, "limit_raise_delay_s": 0}
        settings = migrated(make_settings(redis_url=emptied(redis_server), database_url=url, **own))
        with System(settings, tmp_path_factory.mktemp("fuzzed") / "logs") as running:
            running.with_demo = True
            yield running.start()


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


def test_the_fuzzer_knows_every_route_and_every_role_there_is() -> None:
    assert sorted(REQUESTS_AND_FILES) == sorted(ROUTES)
    assert FILES not in REQUESTS


@pytest.mark.parametrize("pair", [pair for pair, entry in ROUTES.items() if isinstance(entry, Route)], ids=" ".join)
def test_the_fuzzer_sends_what_routes_declare(pair: tuple[str, str]) -> None:
    route, template = ROUTES[pair], REQUESTS[pair]
    assert isinstance(route, Route)
    assert (template.body is None) == (route.body is None)
    assert set(template.query) == ({each.encode_name for each in fields(route.query)} if route.query else set())
    if isinstance(route.body, type):
        assert template.body is not None
        msgspec.convert(template.body(lambda pool: FIXED_POOLS.get(pool, ("none",))[0]), route.body)


@pytest.mark.parametrize(
    "pair", [pair for pair, entry in ROUTES.items() if isinstance(getattr(entry, "body", None), type)]
)
def test_bodies_that_are_generated_are_valid(pair: tuple[str, str]) -> None:
    rng = random.Random(1)  # noqa: S311 - to be repeated, not to be secret
    for _ in range(200):
        parse_body(json.dumps(valid_body(rng, ROUTES[pair].body)).encode(), ROUTES[pair].body)


@pytest.mark.parametrize(
    ("wrong", "route", "asker", "status", "kind", "content"),
    [
        ("a fault of the server's", "/v1/wallet", "none", 500, JSON, b'{"code":"internal","status":500}'),
        ("expected 401", "/v1/wallet", "none", 200, "application/json", b"{}"),
        ("expected 403", "/v1/admin/acts", "viewer", 404, JSON, b'{"code":"not_found","status":404}'),
        ("private", "/v1/orders", "viewer", 200, "application/json", b'{"id":"secret-1"}'),
        ("expected application/problem+json", "/v1/orders", "viewer", 400, "text/plain", b"no"),
        ("expected a code of the table", "/v1/orders", "viewer", 400, JSON, b'{"code":"odd","status":400}'),
        ("expected a code of the table", "/v1/orders", "viewer", 404, JSON, b'{"code":"invalid","status":400}'),
        (None, "/v1/orders", "viewer", 400, JSON, b'{"code":"invalid","status":400}'),
        (None, "/v1/orders", "admin", 200, "application/json", b'{"id":"secret-1"}'),
    ],
)
def test_the_fuzzer_sees_what_is_wrong(
    wrong: str | None, route: str, asker: str, status: int, kind: str, content: bytes
) -> None:
    fuzzer = Fuzzer("127.0.0.1:1", "1", [], ["secret-1"], Tally())
    asking = Asker(asker, None if asker == "none" else asker)
    headers = http.client.HTTPMessage()
    headers["content-type"] = kind
    said = fuzzer.wrong(
        Request(("GET", route), asking, "GET", route, {}, None, True, None),
        Answer(status, headers, content),
    )
    assert (said is None) if wrong is None else (said is not None and wrong in said)


async def ask(system: System, method: str, path: str, body: object = None, **options: Any) -> Any:
    status, answer = await asyncio.to_thread(system.http, method, path, body, **options)
    assert status < 300, (method, path, answer)
    return answer


async def private_things(system: System) -> list[str]:
    """What vera and carl have, and nobody else may see: an anonymous gift, an order, an account, a payout, a note."""
    vera, carl = system.token(VERA), system.token(CARL, "creator")
    await asyncio.to_thread(system.open_room, "carls", CARL)
    await system.grant({VERA: 60_000}, "private")
    async with Viewer(system.address(), vera) as viewer:
        for _ in range(3):
            assert (await viewer.gift("carls", "balloon", anonymous=True))["status"] == "accepted"
    order = await ask(system, "POST", "/v1/orders", {"package_id": "coins-550"}, token=vera)
    await ask(system, "PUT", "/v1/creator/payout-account", {"holder": HOLDER, "iban": IBAN}, token=carl)

    def has_earned() -> bool:
        return bool(system.http("GET", "/v1/creator/balance", token=carl)[1]["diamonds_available"] >= 1_500)

    await wait_until(has_earned, "the gifts are booked")
    payout = await ask(system, "POST", "/v1/payouts", {"diamonds": 1_000}, token=carl)
    await ask(
        system,
        "POST",
        "/v1/admin/corrections",
        {"why": WHY, "user": VERA, "coins": 5},
        token=system.token("root", "admin"),
    )
    ref = order["checkout_url"].rpartition("/")[2]
    return [VERA, HOLDER, f"{IBAN[:4]}…".encode().decode("latin-1"), WHY, order["id"], ref, payout["id"]]


async def gifts(system: System, number: int) -> list[str]:
    room, found = f"round-{number}", []
    await asyncio.to_thread(system.open_room, room, "bob")
    await system.grant({"ann": 10_000, f"giver-{number}": 100_000}, room)
    await ask(system, "PUT", "/v1/wallet/limits", {}, token=system.token("ann"))  # some were set
    for user in ("ann", f"giver-{number}"):
        async with Viewer(system.address(), system.token(user, region="eu")) as viewer:
            for gift_id, count, anonymous in (("rose", 3, False), ("fireworks", 1, False), ("fireworks", 1, True)):
                said = await viewer.gift(room, gift_id, count=count, anonymous=anonymous)
                if said["status"] == "accepted":  # a dispute may have left ann with less than nothing
                    found.append(said["gift_event_id"])
    return found


async def payout_at_the_bank(system: System, number: int) -> list[str]:
    """One of bob's, if he has enough left, in a batch whose result may come."""
    bob, root, rita = system.token("bob", "creator"), system.token("root", "admin"), system.token("rita", "admin")
    account = {"holder": "Bob Smith", "iban": "DE89370400440532013000"}
    await ask(system, "PUT", "/v1/creator/payout-account", account, token=bob)

    def asked() -> Any:
        status, body = system.http("POST", "/v1/payouts", {"diamonds": 50}, token=bob, key=f"sent-{number}")
        return body if status == 201 else None

    made = await asyncio.to_thread(asked)
    if made is None:
        return []
    await ask(system, "POST", f"/v1/admin/payouts/{made['id']}/approve", token=rita)
    await ask(system, "POST", "/v1/admin/payout-batches", {"id": f"sent-{number}"}, token=root)
    return [made["id"]]


def errors(system: System) -> list[str]:
    """Lines of any process that tell of a mistake."""
    found = []
    for name in system.processes:
        for line in system.log(name).splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                said = {"level": "error"}  # what is no line of the log is a traceback, or a library's complaint
            is_error = said.get("level") in ("error", "critical") and said.get("event") not in EXPECTED_EVENTS
            if is_error or "exc_info" in line or "exception" in said:
                found.append(f"{name}: {line[:2_000]}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(7_200)
async def test_requests_that_were_changed_at_random(system: System) -> None:
    for room, creator in (("r2", "bob"), ("r3", "cid")):
        await asyncio.to_thread(system.open_room, room, creator)
    private, tally = await private_things(system), Tally()
    everybody: list[Asker] = askers(system)
    fuzzers = [Fuzzer(system.address(), f"{SEED}-{n}", everybody, private, tally) for n in range(STREAMS)]
    rounds = max(1, REQUESTS_COUNT // (ROUND * STREAMS))
    for number in range(rounds):
        events, payouts = await gifts(system, number), await payout_at_the_bank(system, number)
        for fuzzer in fuzzers:
            fuzzer.pools["gift_event_id"] = [*fuzzer.pools.get("gift_event_id", [])[-2:], *events]
            fuzzer.pools["sent payout"] = payouts or ["none"]
            fuzzer.pools["batch"] = [*FIXED_POOLS["batch"], *[f"sent-{number}"] * 6]
        share = REQUESTS_COUNT // (rounds * STREAMS)
        await asyncio.gather(*(asyncio.to_thread(fuzzer.run, share) for fuzzer in fuzzers))
    for fuzzer in fuzzers:
        fuzzer.close()
    print(f"{tally.requests} requests, seed {SEED}: {dict(sorted(tally.statuses.items()))}")
    print(f"codes {dict(tally.codes.most_common())}")
    for (method, path), counts in sorted(tally.by_route.items(), key=lambda pair: pair[0][1]):
        print(f"  {method:6} {path:60} {dict(sorted(counts.items()))}")
    assert tally.faults == [], f"{len(tally.faults)} faults:\n" + "\n".join(tally.faults[:40])
    assert errors(system) == [], "\n".join(errors(system)[:10])
    through = sum(count for status, count in tally.statuses.items() if status < 400)
    assert through > THROUGH_MIN * tally.requests
    assert tally.statuses[429] < LIMITED_MAX * tally.requests
    assert {status for status, _ in await _ready(system)} == {200}
    report = await system.audit()
    assert report.passed, report.to_text()


async def _ready(system: System) -> list[tuple[int, Any]]:
    return [await asyncio.to_thread(system.http, "GET", path) for path in ("/healthz", "/readyz")]
