"""Who may do what: every route and every command, with every role, on real sockets."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from starlette.requests import Request
from starlette.responses import Response

from livegift.composition import make_settings
from livegift.http.guard import guarded
from livegift.http.rates import RequestRates
from livegift.http.routing import Route
from livegift.runtime import access
from livegift.runtime.access import Rate
from livegift.runtime.identity import Role
from tests.access_table import COMMANDS, FILE, ROUTES, table
from tests.hostile import unharmed
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

NOWHERE = make_settings(redis_url="redis://127.0.0.1:1", database_url="postgresql://127.0.0.1:1/none")
ROLES: tuple[Role, ...] = get_args(Role)


@pytest.fixture
def system(shared_system: System) -> Iterator[System]:
    with unharmed(shared_system) as running:
        yield running


# --- The table --------------------------------------------------------------------------------------------------------


def test_a_change_of_access_shows_in_review() -> None:
    assert FILE.read_text() == table(), "access has changed on purpose? `python -m tests.access_table` notes it"


async def _nothing(_: Request) -> Response:
    return Response()


def test_a_route_without_a_rule_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="rule"):
        Route("GET", "/v1/new", rate=Rate.PLAIN, handler=_nothing, summary="New")  # type: ignore[call-arg]


def test_two_routes_for_the_same_stop_the_start() -> None:
    """Else the rule of one of them would be the other's."""
    routes = [Route("GET", "/v1/new", rule, Rate.PLAIN, _nothing, "New") for rule in (access.PUBLIC, access.OPERATE)]
    with pytest.raises(RuntimeError, match="expected one route each for GET /v1/new"):
        guarded(routes, RequestRates(NOWHERE))


def test_only_what_is_meant_to_be_public_is() -> None:
    """Named once more here, so that a slip of the table is seen."""
    public = {pair for pair, entry in ROUTES.items() if entry.rule.is_public}
    assert public == {
        ("WS", "/v1/ws"),
        *(
            ("GET", path)
            for path in (
                "/openapi.json", "/asyncapi.json",
                "/healthz", "/readyz", "/v1/gifts", "/v1/coin-packages", "/v1/rates", "/v1/regions",
                "/v1/regions/{region}", "/v1/rooms", "/v1/rooms/{room}", "/v1/rooms/{room}/matches",
                "/v1/payments/sandbox/checkout/{ref}", "/", "/demo", "/demo/{file}",
            )
        ),
        ("POST", "/v1/payments/{provider}/webhook"),
        ("POST", "/v1/payments/sandbox/checkout/{ref}"),
        ("POST", "/demo/token"),
        ("POST", "/demo/coins"),
    }  # fmt: skip


def test_no_rule_gives_anything_to_moderators_or_more_than_a_room_to_overlays() -> None:
    rules = {pair: entry.rule for pair, entry in ROUTES.items()}
    rules |= {("", name): rule for name, rule in COMMANDS.items()}
    assert not [pair for pair, rule in rules.items() if rule.roles and "moderator" in rule.roles]
    overlays = {pair for pair, rule in rules.items() if rule.roles and "overlay" in rule.roles}
    assert overlays == {("", "hello"), ("", "room.join"), ("", "room.leave")}


def test_operators_routes_are_operators_alone() -> None:
    for (_, path), entry in ROUTES.items():
        assert ("/admin/" in path) == (entry.rule.roles == frozenset[Role](["admin"])), path


# --- HTTP -------------------------------------------------------------------------------------------------------------


def expected(role: str, method: str, path: str) -> bool:
    """Whether a role may ask this at all, said in another way than the table does."""
    if role in ("overlay", "moderator"):
        return False
    if "/admin/" in path:
        return role == "admin"
    if path.startswith(("/v1/creator", "/v1/payouts")):
        return role == "creator" or (path == "/v1/creator/balance" and role == "admin")
    if method != "GET" and path in ("/v1/rooms", "/v1/rooms/{room}"):
        return role in ("creator", "admin")
    return True


def protected() -> list[tuple[str, str]]:
    return [pair for pair, entry in ROUTES.items() if not entry.rule.is_public]


def ask(system: System, method: str, path: str, token: str | None, room: str = "r1") -> tuple[int, Any]:
    filled = path.replace("{room}", room).replace("{decision}", "approve").replace("{gift_event_id}", "0-1-999999")
    for name in ("order", "payout", "batch", "user", "gift", "package", "promotion", "match", "id"):
        filled = filled.replace(f"{{{name}}}", f"no-{name}")
    if method == "GET" and path == "/v1/payouts":
        filled += "?limit=5"
    return system.http(method, filled, {} if method in ("POST", "PUT", "PATCH") else None, token=token)


def test_no_protected_route_answers_without_a_token(system: System) -> None:
    for method, path in protected():
        status, body = ask(system, method, path, None)
        assert (status, body["code"]) == (401, "unauthenticated"), (method, path)


@pytest.mark.parametrize("role", ROLES)
def test_each_route_lets_in_the_roles_it_is_for(system: System, role: Role) -> None:
    token = system.token("eve", role, **({"rooms": ["r1"]} if role == "overlay" else {}))
    for method, path in protected():
        status, body = ask(system, method, path, token)
        assert status < 500, (method, path, body)
        refused = status == 403 and "needs a token of role" in body["detail"]
        assert refused != expected(role, method, path), (method, path, status, body)


def test_a_token_for_one_room_does_nothing_to_another_nor_to_the_account(system: System) -> None:
    """The creator owns both rooms, the token is for one: it ends the other in none of the ways that there are."""
    bob = system.token("bob", "creator")
    assert system.http("POST", "/v1/rooms", {"id": "r2", "title": "second"}, token=bob)[0] in (200, 201)
    limited = system.token("bob", "creator", rooms=["r1"])
    for method, path, body in (
        ("PATCH", "/v1/rooms/r2", {"status": "ended"}),
        ("POST", "/v1/rooms", {"id": "r3", "title": "another"}),
        ("POST", "/v1/rooms", {"title": "any"}),
        ("GET", "/v1/creator/balance", None),
        ("GET", "/v1/creator/payout-account", None),
        ("PUT", "/v1/creator/payout-account", {"holder": "Eve", "iban": "DE89370400440532013000"}),
        ("POST", "/v1/payouts", {"diamonds": 10_000}),
        ("GET", "/v1/creator/statement?from=2026-01-01&to=2026-02-01", None),
    ):
        status, answer = system.http(method, path, body, token=limited)
        assert (status, answer["code"]) == (403, "forbidden"), (method, path, answer)
    assert system.http("GET", "/v1/rooms/r2")[1]["status"] == "live"
    assert system.http("PATCH", "/v1/rooms/r1", {"title": "mine"}, token=limited)[0] == 200
    assert system.http("GET", "/v1/wallet", token=limited)[0] == 200  # viewers' tokens of one room buy and give
    for method, path in protected():
        if "/admin/" in path:
            operator = system.token("root", "admin", rooms=["r2"])
            assert ask(system, method, path, operator)[0] == 403, (method, path)


async def test_receipts_and_undo_of_another_rooms_gift_are_refused(system: System) -> None:
    await system.grant({"ann": 5_000})
    async with Viewer(system.address(), system.token("ann")) as ann:
        event_id = (await ann.gift("r1", "rose"))["gift_event_id"]
    own, other = (system.token("ann", rooms=[room]) for room in ("r1", "r2"))
    await wait_until(lambda: system.http("GET", f"/v1/gifts/{event_id}/receipt", token=own)[0] == 200, "it is booked")
    assert system.http("GET", f"/v1/gifts/{event_id}/receipt", token=other)[1]["code"] == "forbidden"
    assert system.http("POST", f"/v1/gifts/{event_id}/undo", token=other)[1]["code"] == "forbidden"
    assert system.http("POST", f"/v1/gifts/{event_id}/undo", token=own)[1]["code"] == "too_late"  # not dear enough


# --- WebSocket --------------------------------------------------------------------------------------------------------


async def test_an_overlay_watches_its_room_and_nothing_else(system: System) -> None:
    """Its token stands in an address that is shown on streams: it is a creator's, and tells nothing of the wallet."""
    system.open_room("other", "bob")
    await system.grant({"bob": 500, "ann": 500}, "overlay")
    async with (
        Viewer(system.address(), system.token("bob", "overlay", rooms=["r1"])) as overlay,
        Viewer(system.address(), system.token("bob", "creator")) as bob,
        Viewer(system.address(), system.token("ann")) as ann,
    ):
        assert not {"balance", "wallet_seq"} & set(await overlay.expect("welcome"))
        assert {"balance", "wallet_seq"} <= set(await bob.expect("welcome"))
        await overlay.send(type="room.join", room="other")
        assert (await overlay.expect("error", room="other"))["code"] == "forbidden"
        await overlay.send(type="gift.send", ref="o-1", room="r1", gift_id="rose")
        assert (await overlay.wait_for(lambda: overlay.results.get("o-1"), "an answer"))["code"] == "forbidden"
        await overlay.join("r1")
        await system.grant({"bob": 5}, "overlay-more")
        await bob.expect("wallet", balance=505)
        await ann.gift("r1", "rose")
        await overlay.wait_for(lambda: [e for e in overlay.events("r1") if e["type"] == "gift"], "the gift")
        assert {frame["type"] for frame in overlay.frames} & {"wallet", "creator.credited", "limit.reminder"} == set()


@pytest.mark.parametrize("rooms", [None, [], ["r1", "r2"]])
async def test_an_overlays_token_is_for_exactly_one_room(system: System, rooms: list[str] | None) -> None:
    token = system.token("bob", "overlay", rooms=rooms)
    async with Viewer(system.address(), None) as overlay:
        await overlay.send(type="hello", token=token)
        assert "exactly one room" in (await overlay.expect("error", code="unauthenticated"))["message"]
        assert await overlay.closed() == 4401
    assert system.http("GET", "/v1/wallet", token=token)[0] == 401


async def test_a_moderator_is_not_let_in_yet(system: System) -> None:
    async with Viewer(system.address(), None) as moderator:
        await moderator.send(type="hello", token=system.token("mo", "moderator"))
        await moderator.expect("error", code="forbidden")
        assert await moderator.closed() == 4403


@pytest.mark.parametrize("role", ["viewer", "creator", "admin"])
async def test_the_others_watch_and_give_within_their_rooms(system: System, role: str) -> None:
    await system.grant({f"w-{role}": 500})
    async with Viewer(system.address(), system.token(f"w-{role}", role, rooms=["r1"])) as viewer:
        await viewer.join("r1")
        assert (await viewer.gift("r1", "rose"))["status"] == "accepted"
        assert (await viewer.gift("r2", "rose"))["code"] == "forbidden"


async def test_a_new_token_for_other_rooms_ends_the_old_ones_rooms(system: System) -> None:
    await system.grant({"ann": 500}, "renewed")
    async with (
        Viewer(system.address(), system.token("kim")) as kim,
        Viewer(system.address(), system.token("ann")) as ann,
    ):
        await kim.join("r1")
        await kim.send(type="hello", token=system.token("kim", rooms=["r2"]))
        await kim.wait_for(lambda: [f["type"] for f in kim.frames].count("welcome") == 2, "the second welcome")
        kim.frames.clear()
        await ann.join("r1")
        await ann.gift("r1", "rose")
        await ann.wait_for(lambda: [e for e in ann.events("r1") if e["type"] == "gift"], "the gift")
        await kim.send(type="ping", t=1)
        await kim.expect("pong")
        assert kim.events("r1") == []
        await kim.send(type="hello", token=system.token("kim", "overlay", rooms=["r2"]))
        assert await kim.closed() == 4403
