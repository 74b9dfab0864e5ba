"""Whose pages may ask, under which name of the server, and what answers say to browsers. Real sockets."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from livegift.cli.main import cli
from livegift.composition import load_settings, make_settings
from livegift.contract.errors import ConfigError
from livegift.http.origins import OriginPolicy
from livegift.runtime import metrics_server
from livegift.runtime.bounds import METRICS_REQUEST_S, METRICS_REQUESTS_MAX
from livegift.runtime.settings import Settings
from tests.system import System
from tests.waiting import wait_until

OURS, OTHERS = "https://live.example", "https://evil.example"


def started(settings: Settings, logs: Path, *, with_demo: bool = False) -> Iterator[System]:
    with System(settings, logs) as system:
        system.with_demo = with_demo
        yield system.start()


@pytest.fixture
def named(settings: Settings, tmp_path: Path) -> Iterator[System]:
    """In production, with the origins of its pages."""
    origins = f"{OURS}, https://studio.example"
    yield from started(structs.replace(settings, allowed_origins=origins), tmp_path / "logs")


@pytest.fixture
def private(settings: Settings, tmp_path: Path) -> Iterator[System]:
    """As `livegift dev` has it."""
    yield from started(settings, tmp_path / "logs", with_demo=True)


def ask(
    system: System, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, Any]:
    """One request with these headers, `_` for `-`."""
    connection = http.client.HTTPConnection(system.address(), timeout=10)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), given)
        response = connection.getresponse()
        text = response.read()
        is_json = "json" in response.headers.get("content-type", "")
        return response.status, response.headers, json.loads(text) if is_json else text
    finally:
        connection.close()


async def opens(system: System, origin: str | None, host: str | None = None) -> bool:
    """Whether a WebSocket is let in."""
    given = host or system.address()
    address, port = system.address().split(":")
    try:
        async with connect(
            f"ws://{given}/v1/ws", origin=Origin(origin) if origin else None, host=address, port=int(port)
        ):
            return True
    except InvalidStatus as error:
        refused = error.response
    assert (refused.status_code, json.loads(refused.body)["code"]) == (403, "forbidden")
    return False


# --- Production -------------------------------------------------------------------------------------------------------


async def test_pages_of_named_origins_use_http_and_websocket_and_others_do_not(named: System) -> None:
    preflight = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "authorization,content-type"}
    status, headers, _ = ask(named, "OPTIONS", "/v1/wallet/limits", Origin=OURS, **preflight)
    assert (status, headers["access-control-allow-origin"]) == (200, OURS)
    assert "PUT" in headers["access-control-allow-methods"]
    assert "authorization" in headers["access-control-allow-headers"].lower()
    status, headers, _ = ask(named, "OPTIONS", "/v1/wallet/limits", Origin=OTHERS, **preflight)
    assert headers["access-control-allow-origin"] is None
    for path, expected in (("/v1/gifts", 200), ("/v1/wallet", 401), ("/v1/nothing", 404)):
        status, headers, _ = ask(named, "GET", path, Origin=OURS)
        assert (status, headers["access-control-allow-origin"]) == (expected, OURS), path
        assert "Origin" in headers["vary"]
        assert ask(named, "GET", path, Origin=OTHERS)[1]["access-control-allow-origin"] is None
    assert "access-control-allow-credentials" not in headers
    assert await opens(named, OURS)
    assert await opens(named, "https://studio.example")
    assert await opens(named, None)  # an app, which is no page
    for origin in (OTHERS, f"{OURS}.evil.example", "http://live.example", f"http://{named.address()}", "null"):
        assert not await opens(named, origin), origin


def test_answers_tell_browsers_what_they_are_and_links_are_not_made_of_the_host_header(named: System) -> None:
    for path in ("/v1/gifts", "/v1/nothing", "/v1/wallet", "/healthz"):
        headers = ask(named, "GET", path)[1]
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
    token = f"Bearer {named.token('ann')}"
    assert ask(named, "GET", "/v1/wallet", Authorization=token)[1]["cache-control"] == "no-store"
    status, headers, _ = ask(named, "GET", "/v1/gifts/", Host="evil.example")
    assert (status, headers["location"]) == (404, None)
    package = ask(named, "GET", "/v1/coin-packages?region=US")[2]["packages"][0]["id"]
    wanted = {"package_id": package}
    status, headers, order = ask(named, "POST", "/v1/orders", wanted, Host="evil.example", Authorization=token)
    assert status == 201, order
    assert order["checkout_url"].startswith(f"http://{named.address()}/")
    assert headers["location"].startswith("/v1/orders/")


def test_origins_that_no_browser_sends_are_refused() -> None:
    given = {"LIVEGIFT_REDIS_URL": "redis://x", "LIVEGIFT_DATABASE_URL": "postgresql://x"}
    for wrong in (
        "*",
        "live.example",
        "https://live.example/",
        "https://live.example/app",
        "https://Live.example",
        "null",
    ):
        with pytest.raises(ConfigError, match="LIVEGIFT_ALLOWED_ORIGINS: expected origins such as"):
            load_settings(environ={**given, "LIVEGIFT_ALLOWED_ORIGINS": f"{OURS},{wrong}"})


# --- `livegift dev` ---------------------------------------------------------------------------------------------------


async def test_a_private_system_answers_to_no_other_name_and_no_other_page(private: System) -> None:
    """A page from elsewhere that lets its name point here (DNS rebinding) gets no token, and neither do its frames."""
    port = private.address().split(":")[1]
    body = {"user": "ann"}
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[", ""):
        assert ask(private, "POST", "/demo/token", body, Host=host)[0] in (400, 403), host
    assert ask(private, "GET", "/v1/gifts", Host="evil.example")[2]["code"] == "forbidden"
    for origin in (OTHERS, "http://evil.example", "null", "http://127.0.0.1.evil.example"):
        assert ask(private, "POST", "/demo/token", body, Origin=origin)[0] == 403, origin
        assert ask(private, "POST", "/demo/coins", {"user": "ann", "coins": 5}, Origin=origin)[0] == 403, origin
        assert not await opens(private, origin), origin
    assert not await opens(private, None, host=f"evil.example:{port}")
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"demo.localhost:{port}"):
        assert ask(private, "POST", "/demo/token", body, Host=host)[0] == 200, host
    assert ask(private, "POST", "/demo/token", body, Origin="http://localhost:3000")[0] == 200
    assert await opens(private, f"http://{private.address()}")
    status, headers, _ = ask(private, "GET", "/demo")
    assert (status, headers["location"]) == (307, "/demo/")
    headers = ask(private, "GET", "/demo/")[1]
    assert headers.get_all("x-content-type-options") == ["nosniff"]
    assert len(headers.get_all("content-security-policy") or []) == 1


def test_a_door_that_is_open_to_the_network_takes_any_name() -> None:
    scope = {"type": "http", "headers": [(b"host", b"192.168.1.7:8080")]}
    assert OriginPolicy().refusal(scope) is None
    assert OriginPolicy(is_private=True).refusal(scope) is not None
    assert OriginPolicy(is_private=True, public_url="http://192.168.1.7:8080").refusal(scope) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org"])  # noqa: S104 - refused
def test_dev_on_an_address_that_others_reach_wants_a_word(host: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["dev", "--host", host, "--port", "0", "--data", str(tmp_path / "data")])
    assert done.exit_code == 2
    assert "add --open-to-network" in " ".join(done.output.split())
    assert not (tmp_path / "data").exists()


# --- Metrics ----------------------------------------------------------------------------------------------------------


async def test_metrics_are_for_this_machine_and_silent_readers_cannot_fill_them_up() -> None:
    assert make_settings(redis_url="", database_url="").metrics_host == "127.0.0.1"
    port = metrics_server.start(0, "127.0.0.1")

    def read() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=METRICS_REQUEST_S)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    assert read() == 200
    with ExitStack() as stack:
        for _ in range(METRICS_REQUESTS_MAX):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            silent.sendall(b"GET /metr")
        await wait_until(lambda: read() == 0, "all places are taken")
        # One byte now and then does not keep a place either.
        await wait_until(lambda: dripped(silent) and read() == 200, "they were sent away")


def dripped(sock: socket.socket) -> bool:
    with suppress(OSError):
        sock.sendall(b"i")
    return True
