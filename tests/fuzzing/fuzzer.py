"""Sends changed requests of all roles to all routes, and judges every answer."""

import gzip
import hashlib
import hmac
import http.client
import json
import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from livegift.composition import errors
from tests.access_table import ROUTES
from tests.conftest import COMMON
from tests.declared import undeclared
from tests.fuzzing import mutations
from tests.fuzzing.generated import valid_body
from tests.fuzzing.roles import Asker, rule_of
from tests.fuzzing.routes import FIXED_POOLS, REQUESTS_AND_FILES, Template, learned

POOL_MAX = 60
GENERATED_SHARE = 0.15  # of the bodies, from what the route declares alone
ODD_METHODS = ("HEAD", "OPTIONS", "TRACE", "BREW", "GET", "POST", "PUT", "PATCH", "DELETE")
JSON = "application/problem+json"
UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request. `is_as_meant`: its path names what is meant, so the table of rights says who may ask."""

    route: tuple[str, str]
    asker: Asker
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    is_as_meant: bool
    room: str | None

    def __str__(self) -> str:
        shown = None if self.body is None else self.body[:600]
        headers = {name: value[:200] for name, value in self.headers.items() if name != "Authorization"}
        return f"{self.method} {self.target[:400]} as {self.asker.name}, {headers}, {shown!r}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes


@dataclass
class Tally:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    by_route: dict[tuple[str, str], Counter[int]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, request: Request, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        self.by_route.setdefault(request.route, Counter())[answer.status] += 1

    @property
    def requests(self) -> int:
        return self.statuses.total()


class Fuzzer:
    """One stream of requests, the same for the same seed as far as the answers are the same."""

    def __init__(self, address: str, seed: str, askers: Sequence[Asker], private: Sequence[str], tally: Tally) -> None:
        self._address = address
        self._rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._askers = askers
        self._private = private
        self._tally = tally
        self._routes = [
            route
            for route, template in REQUESTS_AND_FILES.items()
            for _ in range(template.weight * (4 if template.body or template.query else 2 if template.names else 1))
        ]
        self.pools: dict[str, list[str]] = {name: list(values) for name, values in FIXED_POOLS.items()}
        self._connection = http.client.HTTPConnection(address, timeout=60)

    def run(self, requests: int) -> None:
        """So many, one after the other."""
        for _ in range(requests):
            request = self._next()
            try:
                answer = self._send(request)
            except (OSError, http.client.HTTPException) as error:
                self._tally.faults.append(f"no answer ({error!r}) to {request}")
                continue
            self._tally.add(request, answer)
            wrong = self.wrong(request, answer) or self.undeclared(request, answer)
            if wrong is not None:
                said = f"{answer.status} {answer.content[:300]!r}"
                self._tally.faults.append(f"{wrong}: {request} -> {said}")

    def close(self) -> None:
        self._connection.close()

    # --- Requests -----------------------------------------------------------------------------------------------------

    def _pick(self, pool: str) -> str:
        return self._rng.choice(self.pools.get(pool) or ["none"])

    def _pick_payment(self, pool: str) -> str:
        return "ord-0|sbx-0|199|USD" if pool == "payment" and not self.pools.get(pool) else self._pick(pool)

    def _next(self) -> Request:
        rng, route = self._rng, self._rng.choice(self._routes)
        method, path, template = *route, REQUESTS_AND_FILES[route]
        method = "GET" if method == "WS" else method
        rule = rule_of(*route)
        assert rule is not None
        asker = rng.choice(self._askers)
        if rng.random() < 0.75:  # more often somebody who is let in, to get further
            asker = rng.choice([other for other in self._askers if other.refusal(rule, "r2") is None])
        is_as_meant, room = True, None
        for name in re.findall(r"{(\w+)}", path):
            part, is_meant = mutations.path_part(rng, self.pools.get(template.names[name], ()))
            is_as_meant &= is_meant and bool(part)
            room = part if name == "room" else room
            path = path.replace(f"{{{name}}}", part)
        if rng.random() < 0.02:
            method, is_as_meant = rng.choice(ODD_METHODS), False
        if rng.random() < 0.01:
            path, is_as_meant = path + rng.choice(("/", "//", "/x", "%2F", ";x")), False
        query = mutations.query(rng, dict(template.query))
        body = self._body(route, template) if rng.random() < 0.98 else None
        headers = self._headers(route, template, asker, body)
        # Another token, or the page of another origin, which is refused whoever asks.
        is_as_meant &= headers.get("Authorization") == asker.headers.get("Authorization") and "Origin" not in headers
        target = f"{path}?{query}" if query else path
        return Request(route, asker, method, target, headers, body, is_as_meant, room)

    def _body(self, route: tuple[str, str], template: Template) -> bytes | None:
        if template.body is None:
            return b'{"a":1}' if self._rng.random() < 0.1 else None
        declared = getattr(ROUTES[route], "body", None)
        if isinstance(declared, type) and self._rng.random() < GENERATED_SHARE:
            return json.dumps(valid_body(self._rng, declared)).encode()
        valid = template.body(self._pick_payment)
        if isinstance(valid, str):
            return mutations.text_body(self._rng, valid)
        return mutations.json_body(self._rng, valid)

    def _headers(self, route: tuple[str, str], template: Template, asker: Asker, body: bytes | None) -> dict[str, str]:
        rng = self._rng
        usual = {} if body is None else {"Content-Type": "application/json"}
        if getattr(ROUTES[route], "takes_key", False) and rng.random() < 0.6:
            usual["Idempotency-Key"] = f"{self._pick('key')}-{rng.randrange(200)}"
        if template.is_websocket and rng.random() < 0.7:
            return {**usual, **asker.headers, **UPGRADE}
        found = {**asker.headers, **mutations.headers(rng, usual)}
        if template.is_signed and rng.random() < 0.85:
            now_s = int(time.time())
            signed = hmac.new(str(COMMON["sandbox_secrets"]).encode(), b"%d." % now_s + (body or b""), hashlib.sha256)
            found["Livegift-Signature"] = f"t={now_s},v1={signed.hexdigest()}"
        return found

    def _send(self, request: Request) -> Answer:
        try:
            return self._exchange(request)
        except (ConnectionError, http.client.HTTPException):
            self.close()  # one that was idle may have been closed: once more on a new one
            return self._exchange(request)

    def _exchange(self, request: Request) -> Answer:
        connection = self._connection
        connection.request(request.method, request.target, request.body, dict(request.headers))
        response = connection.getresponse()
        if response.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.close()
            return Answer(response.status, response.headers, b"")
        content = response.read()
        if response.headers["content-encoding"] == "gzip":
            content = gzip.decompress(content)
        if response.will_close:
            self.close()
        return Answer(response.status, response.headers, content)

    # --- Answers ------------------------------------------------------------------------------------------------------

    def wrong(self, request: Request, answer: Answer) -> str | None:
        """What an answer should not be; None where it is as it should be."""
        if answer.status >= 500:
            return "a fault of the server's"
        method = "WS" if request.route[0] == "WS" else request.method
        rule = rule_of(method, request.route[1])
        expected = None if rule is None else request.asker.refusal(rule, request.room)
        if expected is not None and (answer.status < 400 or (request.is_as_meant and answer.status != expected)):
            return f"expected {expected} by the table of rights"
        if request.asker.role != "admin":
            sent = f"{request.target} {request.body!r}"
            text = answer.content.decode("latin-1")
            shown = [secret for secret in self._private if secret in text and secret not in sent]
            if shown:
                return f"shows {shown}, which is private"
        if "Upgrade" in request.headers:
            return None  # a handshake that the library for WebSockets refuses, in its own words
        return self._not_a_problem(request, answer) if answer.status >= 400 else self._learn(answer)

    def undeclared(self, request: Request, answer: Answer) -> str | None:
        """What the route does not declare, where it is certain that this very route has answered."""
        if not request.is_as_meant or "Upgrade" in request.headers:
            return None
        return undeclared(
            request.method, request.target, answer.status, answer.headers["content-type"] or "", answer.content
        )

    def _not_a_problem(self, request: Request, answer: Answer) -> str | None:
        if answer.headers["content-type"] != JSON:
            return f"expected {JSON}, got {answer.headers['content-type']}"
        if request.method == "HEAD":
            return None
        problem = json.loads(answer.content)
        self._tally.codes[problem["code"]] += 1
        kind = errors().get(problem["code"])
        if kind is None or kind.http_status != answer.status or problem["status"] != answer.status:
            return "expected a code of the table, with its status"
        return None

    def _learn(self, answer: Answer) -> str | None:
        if answer.headers["content-type"] == "application/json" and answer.content:
            for pool, name in learned(json.loads(answer.content)):
                known = self.pools.setdefault(pool, [])
                if name not in known:
                    known.append(name)
                    del known[:-POOL_MAX]
        return None
