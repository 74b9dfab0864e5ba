"""What a web process answers: each route is one object that says who may ask it, and at what cost.

From these objects come the application's routes (`guard.py`) and the table of access that is kept under review.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from livegift.runtime.access import Rate, Rule

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. HEAD counts as GET.

    The rest says what the handler takes and answers: `body` is the model of its JSON (None: no body, or another type);
    `errors` are the codes of its own, beside those that any route of its rule and its body may answer.
    """

    method: Method
    path: str
    rule: Rule
    rate: Rate
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    body: type | None = None
    response: object | None = None
    status: int = 200
    errors: tuple[str, ...] = ()
    is_compressed: bool = False


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
        """The path of any of them."""
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
