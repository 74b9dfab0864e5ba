"""Rooms while PostgreSQL is away, and a whole web process while either store is."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from livegift.contract.errors import RequestError
from livegift.dev.embedded import PostgresServer, RedisServer
from livegift.ledger import rooms
from livegift.ledger.engine import Database
from livegift.resources import directory as directory_module
from livegift.resources.directory import Directory
from livegift.runtime.bounds import DIRECTORY_TTL_S
from tests.proxy import Proxy
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

COINS = 10_000


# --- Rooms and PostgreSQL ---------------------------------------------------------------------------------------------


@pytest.fixture
async def database_proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as running:
        yield running


@pytest.fixture
async def directory(
    database: Database, database_url: str, database_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Directory]:
    """Through the proxy; it asks again for everything that it is asked for."""
    for room in ("known", "other"):
        await rooms.open_room(database, room, f"creator-{room}", "Creator", "before", "live")
    monkeypatch.setattr(directory_module, "DIRECTORY_TTL_S", 0.0)
    through = Database(database_proxy.url(database_url))
    made = Directory(through)
    await made.start()
    assert (await made.room("known")) is not None
    yield made
    database_proxy.resume()
    await database_proxy.accept()
    await made.aclose()
    await through.aclose()


async def is_unavailable(directory: Directory, room: str) -> bool:
    try:
        await directory.room(room)
    except RequestError as error:
        return error.code == "unavailable"
    return False


@pytest.mark.parametrize("fault", ["stall", "refuse"])
async def test_known_rooms_are_served_while_postgresql_is_away(
    directory: Directory, database: Database, database_proxy: Proxy, fault: str
) -> None:
    known = await directory.room("known")
    assert known is not None
    getattr(database_proxy, fault)()
    assert await directory.room("known") == known
    # From now on nobody waits: as many as like may ask, known or not.
    for _ in range(200):
        assert await directory.room("known") == known
        assert await is_unavailable(directory, "other")
        with pytest.raises(RequestError, match="unavailable"):
            await directory.is_receiver("somebody", known)
    assert await directory.is_receiver(known.creator_id, known)
    assert len(directory._inquiry._asked) <= 3, "what hangs is not asked again"
    assert directory.gifts

    await rooms.retitle_room(database, "known", "after")
    database_proxy.resume()
    await database_proxy.accept()

    async def is_fresh() -> bool:
        room = await directory.room("known")
        return room is not None and room.title == "after"

    async def is_known() -> bool:
        return not await is_unavailable(directory, "other")

    await wait_until(is_fresh, "the ledger is asked again")
    await wait_until(is_known, "unknown rooms are looked up again")


async def test_copies_do_not_serve_for_ever(
    directory: Directory, database_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "DIRECTORY_STALE_MAX_S", 0.0)
    database_proxy.refuse()
    assert await is_unavailable(directory, "known")


async def test_questions_at_once_are_asked_once(directory: Directory, database_proxy: Proxy) -> None:
    database_proxy.stall()
    waiting = [asyncio.create_task(directory.room("known")) for _ in range(1_000)]
    await wait_until(lambda: directory._inquiry._asked, "it is asked")
    assert len(directory._inquiry._asked) == 1
    found = await asyncio.gather(*waiting)
    assert {room.id for room in found if room is not None} == {"known"}


# --- A whole web process ----------------------------------------------------------------------------------------------


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis_server.port) as running:
        yield running


@pytest.fixture
async def web(system: System, proxy: Proxy, database_proxy: Proxy, tmp_path: Path) -> AsyncIterator[System]:
    """A web process that sees its stores through proxies, relay and aggregator that do not."""
    settings = msgspec.structs.replace(
        system.settings,
        redis_url=proxy.url(system.settings.redis_url),
        database_url=database_proxy.url(system.settings.database_url),
    )
    with System(settings, tmp_path / "through proxies") as running:
        for worker in ("relay 1", "aggregator 1"):
            system.start_one(worker)
        running.start_one("web 1")
        await asyncio.to_thread(running.wait_ready, "web 1")
        await asyncio.to_thread(running.open_room, "room", "creator")
        await system.grant({"alice": COINS, "bob": COINS})
        yield running
        await proxy.accept()
        await database_proxy.accept()


async def is_ready(web: System) -> bool:
    status, body = await asyncio.to_thread(web.http, "GET", "/readyz")
    return (status, body["status"]) == (200, "ok")


async def insist(viewer: Viewer, ref: str) -> dict[str, object]:
    async def accepted() -> dict[str, object] | None:
        result = await viewer.gift("room", ref=ref)
        return result if result["type"] == "gift.result" else None

    found = await wait_until(accepted, f"{ref} is accepted")
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", "refuse"])
async def test_viewers_are_answered_while_redis_is_away(web: System, system: System, proxy: Proxy, fault: str) -> None:
    address = web.address()
    async with Viewer(address, web.token("alice")) as alice:
        await alice.join("room")
        assert (await alice.gift("room", ref="before"))["status"] == "accepted"
        getattr(proxy, fault)()
        for i in range(200):
            await alice.send(type="gift.send", ref=f"away-{i}", room="room", gift_id="rose")
        await alice.wait_for(lambda: all(f"away-{i}" in alice.results for i in range(200)), "all are answered")
        for i in range(200):
            answer = alice.results[f"away-{i}"]
            known = {key: answer[key] for key in ("type", "code", "retryable", "outcome")}
            assert known == {"type": "error", "code": "unavailable", "retryable": True, "outcome": "unknown"}

        async with Viewer(address, None) as bob:
            await bob.send(type="hello", token=web.token("bob"))
            assert (await bob.expect("error"))["code"] == "unavailable"
            assert await bob.closed() == 1012
        status, body = await asyncio.to_thread(web.http, "GET", "/readyz")
        assert (status, list(body["missing"])) == (503, ["redis"])
        assert (await asyncio.to_thread(web.http, "GET", "/healthz"))[0] == 200
        assert (await asyncio.to_thread(web.http, "GET", "/v1/wallet", token=web.token("alice")))[0] == 503

        proxy.resume()
        await proxy.accept()
        statuses = [(await insist(alice, f"away-{i}"))["status"] for i in range(200)]
        assert set(statuses) <= {"accepted", "duplicate"}
        assert (await insist(alice, "after"))["balance"] == COINS - 202
        await wait_until(lambda: is_ready(web), "it is ready again")
    assert web.log("web 1").count("debits.breaker_opened") == web.log("web 1").count("debits.breaker_closed")
    report = await system.audit()
    assert report.passed, report.to_text()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stall", "refuse"])
async def test_gifts_in_known_rooms_go_on_while_postgresql_is_away(
    web: System, database_proxy: Proxy, fault: str
) -> None:
    async with Viewer(web.address(), web.token("alice")) as alice:
        await alice.join("room")
        assert (await alice.gift("room", ref="before"))["status"] == "accepted"
        getattr(database_proxy, fault)()
        old_at = time.monotonic() + DIRECTORY_TTL_S

        async def is_accepted_with_an_old_copy() -> bool:
            assert (await alice.gift("room"))["status"] == "accepted"
            return time.monotonic() > old_at

        await wait_until(is_accepted_with_an_old_copy, "gifts go on beyond the time for which a copy is fresh")
        for _ in range(100):
            assert (await alice.gift("room"))["status"] == "accepted"
        unknown = await alice.gift("another-room", ref="unknown")
        assert (unknown["status"], unknown["code"], unknown["retryable"]) == ("rejected", "unavailable", True)
        async with Viewer(web.address(), web.token("bob")) as bob:
            assert (await bob.join("room"))["creator"]["id"] == "creator"
            assert (await bob.gift("room"))["status"] == "accepted"
        for _ in range(3):
            status, body = await asyncio.to_thread(web.http, "GET", "/readyz")
            assert (status, body["status"], list(body["missing"])) == (200, "degraded", ["postgresql"])
        database_proxy.resume()
        await database_proxy.accept()
        await wait_until(lambda: is_ready(web), "it is ready again", 60)
