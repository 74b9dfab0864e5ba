"""Checks before any route: Origin and Host, and the headers for browsers."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from livegift.http.problems import problem
from livegift.runtime.bounds import PREFLIGHT_AGE_MAX_S
from livegift.runtime.net import is_loopback
from livegift.runtime.settings import Settings, secrets_of

# Responses are data, not pages: nothing in them is run, framed or sniffed as another type. Pages set their own.
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID")
RESPONSE_HEADERS = ("ETag", "Location", "Retry-After", "WWW-Authenticate")


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The rules by which requests are let in.

    With `is_private` (`livegift dev`), only those from this machine under its own names: a page from elsewhere can send
    requests here too, even under a name of its own that it points here (DNS rebinding).
    """

    origins: frozenset[str] = field(default_factory=frozenset)
    public_url: str = ""
    is_private: bool = False

    @classmethod
    def of(cls, settings: Settings, *, is_private: bool) -> "OriginPolicy":
        """Create the rules from the settings."""
        return cls(frozenset(secrets_of(settings.allowed_origins)), settings.public_url, is_private)

    def refusal(self, scope: Scope) -> str | None:
        """Return why a request or a WebSocket is refused, or None."""
        host, origin = _host_and_origin(scope)
        if self.is_private and not self._is_ours(f"http://{host}"):
            return "The Host header names neither this machine nor LIVEGIFT_PUBLIC_URL."
        if origin is None or origin in self.origins:
            return None  # not a browser, or a page that the operator has listed
        if self.is_private:
            is_let_in = self._is_ours(origin)
        else:
            # Over HTTP the browser itself keeps other pages out, unless CORS lets them in.
            is_let_in = scope["type"] == "http" or not self.origins or origin == _origin(self.public_url)
        return (
            None if is_let_in else "Pages of this origin are not let in: LIVEGIFT_ALLOWED_ORIGINS names those that are."
        )

    def _is_ours(self, url: str) -> bool:
        name = _name(url)
        return name is not None and (is_loopback(name) or name == _name(self.public_url))


def _host_and_origin(scope: Scope) -> tuple[str, str | None]:
    """Return the first of each header: every WebSocket is asked for them, so they are looked up in one go."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in (b"host", b"origin"):
            found.setdefault(name, value)
    origin = found.get(b"origin")
    return found.get(b"host", b"").decode("latin-1"), None if origin is None else origin.decode("latin-1")


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class OriginMiddleware:
    """An application that serves what its policy lets in, with the headers for browsers."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        """Serve, by `app`, the requests that the policy lets in."""
        self._policy = policy
        self._app = app
        if policy.origins:
            self._app = CORSMiddleware(
                app,
                allow_origins=sorted(policy.origins),
                allow_methods=METHODS,
                allow_headers=REQUEST_HEADERS,
                expose_headers=RESPONSE_HEADERS,
                max_age=PREFLIGHT_AGE_MAX_S,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if "authorization" in Headers(scope=scope):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        refused = self._policy.refusal(scope)
        app = self._app if refused is None else problem("forbidden", refused)
        await app(scope, receive, send_with_headers)


async def refuse_websocket(websocket: WebSocket, detail: str) -> None:
    """Refuse a handshake with 403."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        response: Response = problem("forbidden", detail)
        await websocket.send_denial_response(response)
    else:
        await websocket.close()
