"""The routes of a web process: each is one object with its access rule and its cost.

From these objects come the application's routes (`guard.py`) and the reviewed table of access.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from livegift.contract.errors import ErrorKind, kind_of
from livegift.runtime.access import Rate, Rule

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
# Errors of any route: wrong tokens, and pages of other origins; too many requests; a store that is away; a fault.
ANY_CODES = ("forbidden", "rate_limited", "unavailable", "internal")


@dataclass(frozen=True, slots=True)
class Content:
    """A body or a response that is not one of our JSON types, such as a form, a file or a page."""

    media_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. HEAD counts as GET.

    The rest declares what the handler takes and answers. Requests are read as these types (`context.body_of`,
    `query_of`) and answers written from them (`context.answer`); the OpenAPI document is made from them.

    `body`: None takes no body. `query`: what it reads of the query. `parts`: parts of the path that are not ids.
    `takes_key`: a request with the same Idempotency-Key again is the same request.
    `answer` is the JSON of `status`, and of those of `also` (a tuple: one of these); `content` is answered instead of
    it, or where that is asked for.
    `errors` are those of its own, beside those that any route of its rule, body and query may answer: codes of the
    table, and what a feature has declared in its `errors.py`.
    `optional` says who is recognised by a token that a public route does not need.
    """

    method: Method
    path: str
    rule: Rule
    rate: Rate
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    body: type[Struct] | Content | None = None
    query: type[Struct] | None = None
    parts: Mapping[str, object] = field(default_factory=dict)
    takes_key: bool = False
    answer: type[Struct] | tuple[type[Struct], ...] | None = None
    content: Content | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    errors: tuple[str | ErrorKind, ...] = ()
    optional: Rule | None = None
    is_cacheable: bool = False
    is_compressed: bool = False

    @property
    def answers(self) -> tuple[type[Struct], ...]:
        """Return the types of its JSON responses; none for a route that answers only something else."""
        return self.answer if isinstance(self.answer, tuple) else () if self.answer is None else (self.answer,)

    @property
    def error_kinds(self) -> tuple[ErrorKind, ...]:
        """Return all errors that it may answer: its own, then those of its kind and of every route."""
        found = [*self.errors]
        if self.body is not None:
            found += ["invalid", "too_large"]
        elif self.query is not None or self.takes_key:
            found.append("invalid")
        if not self.rule.is_public:
            found += ["unauthenticated", "token_expired"]
        return tuple(dict.fromkeys(map(kind_of, (*found, *ANY_CODES))))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Files:
    """Static files under `folder`; `app` is called when an application is made."""

    folder: str
    rule: Rule
    rate: Rate
    app: Callable[[], ASGIApp]
    method: ClassVar[str] = "GET"

    @property
    def path(self) -> str:
        """Return the path pattern of the files."""
        return f"{self.folder}/{{file}}"


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket, whose commands have rules of their own."""

    path: str
    rule: Rule
    rate: Rate
    handler: Callable[[WebSocket], Awaitable[None]]
    method: ClassVar[str] = "WS"


Entry = Route | Files | Socket
