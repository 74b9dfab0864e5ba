"""How often HTTP routes may be asked, by an address and by a user. Real sockets; a header names the addresses."""

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from livegift.composition import make_settings
from livegift.contract.errors import RateLimitedError
from livegift.dev.embedded import RedisServer
from livegift.http.rates import UNITS, RequestRates
from livegift.hub.rates import Admission, Buckets
from livegift.runtime.access import Rate
from livegift.runtime.bounds import COSTLY_REQUEST_UNITS, PROBES_PER_S_MAX, REQUEST_BURST_S, WEBHOOKS_PER_S_MAX
from livegift.runtime.net import network_of
from tests.access_table import ROUTES
from tests.conftest import COMMON, emptied, migrated, new_database
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

ORIGIN = "https://live.example"
# So few that their bursts are as large as the most costly request, and do not fill up again while a test goes on.
SLOW = {
    "requests_per_s_max": 1,
    "user_requests_per_s_max": 1,
    "connections_per_address_max": 3,
    "allowed_origins": ORIGIN,
}
BURST = COSTLY_REQUEST_UNITS
TRIES_MAX = 400


@pytest.fixture(scope="module")
def shared_system(
    redis_server: RedisServer, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    with new_database(template_database) as url:
        settings = make_settings(redis_url=emptied(redis_server), database_url=url, **(COMMON | SLOW))
        with System(migrated(settings), tmp_path_factory.mktemp("rates") / "logs") as running:
            running.with_demo = True
            running.start().open_room("stage", "cleo")
            yield running


@pytest.fixture
def system(shared_system: System) -> System:
    return shared_system


Answer = tuple[int, http.client.HTTPMessage, Any]


def ask(system: System, method: str, path: str, address: str, body: object = None, **headers: str) -> Answer:
    """One request that a proxy passes on from `address`."""
    with closing(http.client.HTTPConnection(system.address(), timeout=10)) as connection:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"X-Forwarded-For": address} | headers
        )
        response = connection.getresponse()
        text = response.read()
        is_json = "json" in (response.headers["content-type"] or "")
        return response.status, response.headers, json.loads(text) if is_json else {}


def ask_until_refused(system: System, method: str, path: str, address: str, **headers: str) -> tuple[int, Answer]:
    """The same again until it is too much: how many passed, and the refusal."""
    for passed in range(TRIES_MAX):
        answer = ask(system, method, path, address, **headers)
        if answer[0] == 429:
            return passed, answer
    raise AssertionError(f"{TRIES_MAX} times {method} {path} from one address, and none was refused")


def bearer(system: System, user: str, role: str = "viewer") -> dict[str, str]:
    return {"Authorization": f"Bearer {system.token(user, role)}"}


# --- Addresses --------------------------------------------------------------------------------------------------------


def test_an_address_that_asks_too_often_is_told_when_to_come_back(system: System) -> None:
    passed, (_, headers, body) = ask_until_refused(system, "GET", "/v1/regions", "192.0.2.1", Origin=ORIGIN)
    assert passed >= BURST
    assert headers["content-type"] == "application/problem+json"
    assert (body["code"], body["status"], body["retryable"]) == ("rate_limited", 429, True)
    assert 0 < body["retry_after_ms"] <= 1000 * int(headers["Retry-After"])
    assert headers["access-control-allow-origin"] == ORIGIN, "or a page can't read the answer"
    assert "Retry-After" in headers["access-control-expose-headers"]
    # Nobody else has to wait, nor who asks whether this process lives.
    assert ask(system, "GET", "/v1/regions", "192.0.2.2")[0] == 200
    assert ask(system, "GET", "/healthz", "192.0.2.1")[0] == 200
    assert ask(system, "POST", "/v1/payments/sandbox/webhook", "192.0.2.1", {})[2]["code"] == "bad_signature"


async def test_and_comes_in_again_later(system: System) -> None:
    ask_until_refused(system, "GET", "/v1/regions", "192.0.2.3")
    await wait_until(lambda: ask(system, "GET", "/v1/regions", "192.0.2.3")[0] == 200, "a second's request")


def test_an_ipv6_network_of_one_customer_is_one_address(system: System) -> None:
    refused = 0
    for n in range(TRIES_MAX):
        refused = ask(system, "GET", "/v1/regions", f"2001:db8:1:2:{n:x}::1")[0]
        if refused == 429:
            break
    assert refused == 429
    assert ask(system, "GET", "/v1/regions", "2001:db8:1:3::1")[0] == 200


def test_the_network_of_an_address() -> None:
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::") != network_of("2001:db8:1:3::")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    for other in ("", "unix:", "testclient", "no:address"):
        assert network_of(other) == other


# --- Routes -----------------------------------------------------------------------------------------------------------


def test_every_route_is_counted_before_anything_is_looked_at(system: System) -> None:
    """Without a token, too: who has none could ask for ever else."""
    counted = [pair for pair, entry in ROUTES.items() if entry.rate in (Rate.PLAIN, Rate.QUERY, Rate.COSTLY)]
    for n, (method, path) in enumerate([*counted, ("GET", "/v1/nothing"), ("GET", "/demo/session.js")]):
        rate = ROUTES[method, path].rate if (method, path) in ROUTES else Rate.PLAIN
        filled = path.replace("{decision}", "approve").replace("{", "").replace("}", "")
        passed, _ = ask_until_refused(system, method, filled, f"198.51.100.{n}")
        assert passed >= BURST // UNITS[rate], (method, path)


async def test_probes_have_an_end_too(system: System) -> None:
    """Faster than they are allowed again: all at once, in one connection."""
    most = 4 * REQUEST_BURST_S * PROBES_PER_S_MAX
    host, port = system.address().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.66\r\n"
    writer.write((request + b"\r\n") * (most - 1) + request + b"Connection: close\r\n\r\n")
    answers = await reader.read(-1)
    writer.close()
    statuses = [answers.count(f"HTTP/1.1 {status} ".encode()) for status in (200, 429)]
    assert sum(statuses) == most
    assert statuses[0] >= REQUEST_BURST_S * PROBES_PER_S_MAX
    assert statuses[1] > 0


def test_what_writes_costs_most_and_every_rate_has_a_price() -> None:
    assert set(UNITS) == set(Rate) - {Rate.CONNECT}
    assert max(UNITS.values()) == UNITS[Rate.COSTLY] == COSTLY_REQUEST_UNITS
    for (method, path), entry in ROUTES.items():
        if method not in ("GET", "WS") and "/admin/" not in path and not path.endswith("/webhook"):
            assert entry.rate is Rate.COSTLY, path
    # What everybody may ask is not cheaper than what a token is needed for, unless no store is asked.
    at_hand = {path for (_, path), entry in ROUTES.items() if entry.rule.is_public and entry.rate is Rate.PLAIN}
    assert at_hand == {"/", "/demo", "/demo/{file}", "/v1/regions", "/v1/regions/{region}"}


def spend_until_refused(rates: RequestRates, rate: Rate, most: int) -> int:
    for passed in range(most):
        try:
            rates.spend(rate, {"client": ("192.0.2.9", 1)})
        except RateLimitedError:
            return passed
    raise AssertionError("none was refused")


def test_webhooks_come_in_bursts_and_have_an_end() -> None:
    burst = REQUEST_BURST_S * WEBHOOKS_PER_S_MAX
    nowhere = make_settings(redis_url="", database_url="")
    rates = RequestRates(nowhere)
    assert spend_until_refused(rates, Rate.WEBHOOK, 100 * burst) >= burst
    rates.spend(Rate.COSTLY, {"client": ("192.0.2.9", 1)})
    # 0 is no limit of addresses and users, but not of these.
    unlimited = RequestRates(msgspec.structs.replace(nowhere, requests_per_s_max=0))
    for _ in range(burst):
        unlimited.spend(Rate.COSTLY, {"client": None})
        unlimited.spend_of("ann", Rate.COSTLY)
    spend_until_refused(unlimited, Rate.PROBE, 100 * burst)


# --- Users ------------------------------------------------------------------------------------------------------------


def test_a_user_who_writes_too_often_is_refused_from_every_address(system: System) -> None:
    bob, eve = bearer(system, "bob", "creator"), bearer(system, "eve", "creator")
    for n in range(TRIES_MAX):
        room = {"id": f"b-{n}", "title": "one more"}
        status, _, body = ask(system, "POST", "/v1/rooms", f"203.0.113.{n}", room, **bob)
        if status == 429:
            break
        assert status == 201
    assert (status, body["code"]) == (429, "rate_limited")
    assert n < TRIES_MAX // 10
    assert ask(system, "GET", f"/v1/rooms/b-{n}", "203.0.113.201")[0] == 404, "nothing was written"
    assert ask(system, "POST", "/v1/rooms", "203.0.113.202", {"id": "e-1", "title": "hers"}, **eve)[0] == 201


def test_a_wrong_token_costs_nobody_but_its_address(system: System) -> None:
    for n in range(2 * BURST):
        assert ask(system, "GET", "/v1/wallet", f"198.18.0.{n}", Authorization="Bearer zoe")[0] == 401
    assert ask(system, "GET", "/v1/wallet", "198.18.0.99", **bearer(system, "zoe"))[0] == 200


# --- WebSockets -------------------------------------------------------------------------------------------------------


async def test_an_address_that_connects_again_and_again_is_refused(system: System) -> None:
    """It has never more than one at a time; without a rate of its own it used up the rate of all."""
    url = f"ws://{system.address()}/v1/ws"

    async def come_and_go(address: str) -> None:
        async with connect(url, additional_headers={"X-Forwarded-For": address}):
            pass

    async def is_refused() -> bool:
        try:
            await come_and_go("192.0.2.77")
        except InvalidStatus as refused:
            response = refused.response
            return (response.status_code, "Retry-After" in response.headers, b"address_rate" in response.body) == (
                503,
                True,
                True,
            )
        return False

    await wait_until(is_refused, "it came too often")
    await come_and_go("192.0.2.78")


def test_all_connections_of_an_address_may_come_back_at_once() -> None:
    admission = Admission(connections_max=0, per_address_max=100, per_s_max=0, address_per_s_max=1)
    for _ in range(100):
        assert admission.enter("a") is None
    assert admission.enter("a") == "address"
    for _ in range(100):
        admission.leave("a")
    assert admission.enter("a") == "address_rate"
    assert admission.enter("b") is None
    through_one = Admission(connections_max=0, per_address_max=0, per_s_max=0, address_per_s_max=1)
    assert {through_one.enter("proxy") for _ in range(1_000)} == {None}


# --- Bounds -----------------------------------------------------------------------------------------------------------


def test_who_was_here_longest_ago_is_forgotten() -> None:
    buckets = Buckets(1, 2, most=2)
    assert [buckets.take("a") for _ in range(2)] == [0, 0]
    assert buckets.take("a") > 0
    buckets.take("b")
    assert buckets.take("a") > 0
    buckets.take("c")  # b goes
    assert buckets.take("a") > 0
    for n in range(1_000):
        buckets.take(str(n))
    assert buckets.count == 2
    assert buckets.take("a") == 0


async def test_a_flood_of_refused_requests_fills_no_log_and_harms_nobody(system: System) -> None:
    await system.grant({"kim": 100})
    address = "192.0.2.50"
    async with Viewer(system.address(), system.token("kim")) as kim:

        async def flood() -> None:
            for _ in range(100):
                await asyncio.to_thread(ask, system, "GET", "/v1/rooms", address)

        flooding = [asyncio.create_task(flood()) for _ in range(4)]
        await asyncio.to_thread(ask_until_refused, system, "GET", "/v1/rooms", address)
        assert (await kim.gift("stage", "rose"))["status"] == "accepted"
        await asyncio.gather(*flooding)
    lines = [json.loads(line) for line in system.log("web 1").splitlines() if '"request.refused"' in line]
    told = [line for line in lines if line["reason"] == "address"]
    assert told
    assert len(told) < 100, "a line for each reason and period, whatever comes"
    assert all(line["address"] for line in told)
    assert "Traceback" not in system.log("web 1")
