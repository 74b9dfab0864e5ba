"""Requests that get far in each route, with ids that exist. A route that is missing here fails the fuzzer's test."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Pools = Mapping[str, Sequence[str]]
Pick = Callable[[str], str]  # one of a pool


@dataclass(frozen=True)
class Template:
    """`body` makes a valid one: an object for JSON, a text for anything else. `names`: pools of the path's parts."""

    body: Callable[[Pick], object] | None = None
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1
    is_signed: bool = False
    is_websocket: bool = False


PAGE = {"limit": ("1", "2", "100"), "cursor": ("1", "999", "1700000000.1.9")}
REGION = {"region": ("US", "DE", "us", "JP", "XX", "KR")}
DAYS = {
    "from": ("2026-01-01", "2026-11-01", "2025-12-31"),
    "to": ("2026-12-31", "2026-12-01", "2026-11-02"),
    "group": ("line", "day", "room"),
    "format": ("csv", "json"),
}


def _why(_: Pick) -> object:
    return {"why": "because"}


def _now_ms() -> int:
    return int(time.time() * 1000)


def _webhook(pick: Pick) -> object:
    """`payment` is '<order>|<ref>|<amount>|<currency>'."""
    order, ref, amount, currency = pick("payment").split("|")
    kind = pick("event kind")
    event = {"id": f"evt-{ref}-{kind}-{pick('number')}", "type": kind, "order_id": order, "ref": ref}
    return {**event, "amount": int(amount), "currency": currency}


def _match(pick: Pick) -> object:
    times = {"starts_ms": _now_ms(), "ends_ms": _now_ms() + 10**6}
    return {
        "sponsor": pick("user"), "sponsor_name": "Acme", "title": "Double", "budget_coins": 500, "gift_id": "rose",
        "factor": 2, **times,
    }  # fmt: skip


def _correction(pick: Pick) -> object:
    if int(pick("number")) % 2:
        return {"why": "w", "id": pick("correction"), "gift_event_id": pick("gift_event_id")}
    return {"why": "w", "id": pick("correction"), "user": pick("user"), "coins": 50}


def _order(pick: Pick) -> object:
    what: tuple[dict[str, object], ...] = (
        {"package_id": pick("package")},
        {"shortfall_coins": 700},
        {"shortfall": {"gift_id": pick("gift"), "count": 5}},
    )
    return {**what[int(pick("number")) % 3], "region": pick("region"), "provider": "sandbox"}


def _package(pick: Pick) -> object:
    prices = [
        {"region": region, "currency": currency, "amount": 9_900}
        for region, currency in (("US", "USD"), ("DE", "EUR"), (pick("region"), "GBP"))
    ]
    return {"coins": 1_000, "prices": prices[: int(pick("number")) % 4], "bonus_coins": 5, "active": True}


def _promotion(pick: Pick) -> object:
    return {
        "package_id": pick("package"), "starts_ms": _now_ms() - 1_000, "ends_ms": _now_ms() + 10**6, "region": "US",
        "per_user_max": 2, "bonus_coins": 10, "percent_off": 10,
    }  # fmt: skip


def _gift(_: Pick) -> object:
    return {
        "name": "Odd", "coins": 7, "diamond_count": 7, "streakable": True, "tier": 1, "icon": "🌹", "active": True,
    }  # fmt: skip


def _result(pick: Pick) -> object:
    return (
        "payout,status,why\r\n"
        + "".join(f"{pick('payout')},{status},{why}\r\n" for status, why in (("paid", ""), ("failed", "closed")))[
            : (30, 1_000)[int(pick("number")) % 2]
        ]
    )


def _settled(pick: Pick) -> object:
    return f"payout,status,why\r\n{pick('sent payout')},failed,no such account\r\n"


def _bank(pick: Pick) -> object:
    return (_settled if int(pick("number")) % 2 else _result)(pick)


ROOM, USER, PAYOUT, ORDER = {"room": "room"}, {"user": "user"}, {"payout": "payout"}, {"order": "order"}
EVENT = {"gift_event_id": "gift_event_id"}
A = "/v1/admin"

REQUESTS: dict[tuple[str, str], Template] = {
    ("WS", "/v1/ws"): Template(query={"token": ("a.b.c", "x")}, is_websocket=True),
    ("GET", "/openapi.json"): Template(),
    ("GET", "/asyncapi.json"): Template(),
    ("GET", "/healthz"): Template(),
    ("GET", "/readyz"): Template(),
    ("GET", "/v1/gifts"): Template(query=REGION),
    ("GET", "/v1/coin-packages"): Template(query=REGION),
    ("GET", "/v1/rates"): Template(query=REGION),
    ("GET", "/v1/regions"): Template(),
    ("GET", "/v1/regions/{region}"): Template(names={"region": "rules"}),
    ("GET", "/v1/rooms"): Template(query=PAGE),
    ("GET", "/v1/rooms/{room}"): Template(names=ROOM),
    ("GET", "/v1/rooms/{room}/matches"): Template(names=ROOM),
    ("POST", "/v1/payments/{provider}/webhook"): Template(
        _webhook, names={"provider": "provider"}, weight=4, is_signed=True
    ),
    ("GET", "/v1/payments/sandbox/checkout/{ref}"): Template(names={"ref": "checkout"}),
    ("POST", "/v1/payments/sandbox/checkout/{ref}"): Template(
        lambda pick: f"decision={pick('decision')}", names={"ref": "checkout"}, weight=3
    ),
    ("GET", "/v1/wallet"): Template(),
    ("GET", "/v1/wallet/history"): Template(query=PAGE, weight=2),
    ("GET", "/v1/wallet/spend"): Template(),
    ("GET", "/v1/wallet/limits"): Template(),
    ("PUT", "/v1/wallet/limits"): Template(lambda _: {"per_gift": 10**6, "day": 10**7, "month": 10**8}, weight=2),
    ("GET", "/v1/orders"): Template(query=PAGE),
    ("POST", "/v1/orders"): Template(_order, weight=4),
    ("GET", "/v1/orders/{order}"): Template(names=ORDER),
    ("POST", "/v1/orders/{order}/withdraw"): Template(names=ORDER, weight=2),
    ("GET", "/v1/gifts/{gift_event_id}/receipt"): Template(names=EVENT, weight=2),
    ("POST", "/v1/gifts/{gift_event_id}/undo"): Template(names=EVENT, weight=4),
    ("POST", "/v1/rooms"): Template(lambda pick: {"title": "T", "id": pick("room"), "kind": "live"}, weight=3),
    ("PATCH", "/v1/rooms/{room}"): Template(
        lambda pick: {"title": "New", "status": "ended"} if pick("number") == "1" else {"title": "New"},
        names=ROOM,
        weight=2,
    ),
    ("GET", "/v1/creator/balance"): Template(),
    ("GET", "/v1/creator/payout-account"): Template(),
    ("PUT", "/v1/creator/payout-account"): Template(
        lambda _: {"holder": "Bob Smith", "iban": "DE89370400440532013000"}, weight=2
    ),
    ("GET", "/v1/creator/statement"): Template(query={**DAYS, **PAGE}, weight=4),
    ("GET", "/v1/payouts"): Template(query={**PAGE, "status": ("requested", "paid")}),
    ("POST", "/v1/payouts"): Template(lambda _: {"diamonds": 10}, weight=3),
    ("GET", "/v1/payouts/{payout}"): Template(names=PAYOUT),
    ("DELETE", "/v1/payouts/{payout}"): Template(names=PAYOUT),
    ("GET", f"{A}/acts"): Template(query={**PAGE, "subject": ("user:ann", "order:x", "gift:rose")}),
    ("GET", f"{A}/corrections"): Template(query={**PAGE, "status": ("requested", "applied")}),
    ("POST", f"{A}/corrections"): Template(_correction, weight=3),
    ("POST", f"{A}/corrections/{{id}}/{{decision}}"): Template(
        names={"id": "made correction", "decision": "correction decision"}, weight=2
    ),
    ("GET", f"{A}/orders"): Template(query={"user": ("ann", "bob"), **PAGE}),
    ("POST", f"{A}/orders/{{order}}/refund"): Template(names=ORDER),
    ("GET", f"{A}/odd-payments"): Template(query=PAGE),
    ("POST", f"{A}/odd-payments/{{provider}}/{{event}}/{{decision}}"): Template(
        _why, names={"provider": "provider", "event": "event", "decision": "odd decision"}, weight=2
    ),
    ("GET", f"{A}/payouts"): Template(query={**PAGE, "status": ("requested", "sent")}),
    ("POST", f"{A}/payouts/{{payout}}/approve"): Template(names=PAYOUT, weight=2),
    ("POST", f"{A}/payouts/{{payout}}/reject"): Template(_why, names=PAYOUT),
    ("POST", f"{A}/payout-batches"): Template(lambda pick: {"id": pick("batch")}),
    ("GET", f"{A}/payout-batches/{{batch}}"): Template(names={"batch": "batch"}),
    ("POST", f"{A}/payout-batches/{{batch}}/result"): Template(_bank, names={"batch": "batch"}, weight=4),
    ("PUT", f"{A}/sender-holds/{{user}}"): Template(_why, names=USER),
    ("DELETE", f"{A}/sender-holds/{{user}}"): Template(names=USER),
    ("PUT", f"{A}/users/{{user}}/freeze"): Template(_why, names={"user": "frozen user"}),
    ("DELETE", f"{A}/users/{{user}}/freeze"): Template(names={"user": "frozen user"}),
    ("PUT", f"{A}/gifts/{{gift}}"): Template(_gift, names={"gift": "gift"}, weight=2),
    ("GET", f"{A}/coin-packages"): Template(),
    ("PUT", f"{A}/coin-packages/{{package}}"): Template(_package, names={"package": "package"}, weight=2),
    ("GET", f"{A}/promotions"): Template(query=PAGE),
    ("PUT", f"{A}/promotions/{{promotion}}"): Template(_promotion, names={"promotion": "promotion"}, weight=2),
    ("GET", f"{A}/rooms/{{room}}/audit"): Template(names=ROOM),
    ("GET", f"{A}/rooms/{{room}}/matches"): Template(query=PAGE, names=ROOM),
    ("POST", f"{A}/rooms/{{room}}/matches"): Template(_match, names=ROOM, weight=2),
    ("DELETE", f"{A}/rooms/{{room}}/matches/{{match}}"): Template(names={"room": "room", "match": "match"}),
    ("GET", "/"): Template(),
    ("GET", "/demo"): Template(),
    ("POST", "/demo/token"): Template(lambda pick: {"user": pick("user"), "role": "viewer", "room": "r1", "name": "N"}),
    ("POST", "/demo/coins"): Template(lambda pick: {"user": pick("user"), "coins": 1_000}),
}
# Files, which stand behind one route.
FILES = ("GET", "/demo/{file}")
REQUESTS_AND_FILES = {**REQUESTS, FILES: Template(names={"file": "file"})}

FIXED_POOLS: dict[str, tuple[str, ...]] = {
    "rules": ("eu", "uk", "cn", "default"),
    "region": ("US", "DE", "us", "JP", "GB", "CN", "CN"),
    "provider": ("sandbox",) * 9 + ("stripe",),
    "event kind": ("paid", "declined", "expired", "refunded", "disputed"),
    "decision": ("pay", "decline", "dispute"),
    "correction decision": ("approve", "approve", "reject", "applied"),
    "odd decision": ("refund", "dismiss", "x"),
    "user": ("ann", "bob", "cid", "auth0|x@y"),
    "frozen user": ("cid", "auth0|x@y"),
    "gift": ("rose", "balloon", "universe", "odd-1", "odd-2"),
    "package": ("coins-100", "coins-550", "pack-1", "pack-2"),
    "promotion": ("promo-1", "promo-2"),
    "file": ("viewer.html", "creator.html", "index.html", "viewer", "livegift.js", ""),
    "number": tuple("123456789"),
    "key": ("key-1", "key-2", "key-3"),
    "batch": ("batch-1", "batch-2", "batch-3"),
    "correction": tuple(f"cor-{n}" for n in range(40)),
    "room": ("r1", "r2", "r3", *(f"f{n}" for n in range(30))),
}


def learned(answer: object) -> list[tuple[str, str]]:
    """(pool, id) pairs that an answer tells: what exists now, and can be asked for."""
    if not isinstance(answer, dict):
        return []
    found = [answer, *(item for item in answer.get("items", ()) if isinstance(item, dict))]
    pairs: list[tuple[str, str]] = []
    for item in found:
        name = str(item.get("id", ""))
        for prefix, pool in (("ord-", "order"), ("pay-", "payout"), ("match-", "match"), ("cor-", "made correction")):
            if name.startswith(prefix):
                pairs.append((pool, name))
        if str(item.get("checkout_url") or "").startswith("http"):
            ref = str(item["checkout_url"]).rpartition("/")[2]
            pairs += [("checkout", ref), ("payment", f"{name}|{ref}|{item['amount']}|{item['currency']}")]
        if "event_id" in item:
            pairs.append(("event", str(item["event_id"])))
        if item.get("status") == "sent" and name.startswith("pay-"):
            pairs.append(("sent payout", name))
    return pairs
