"""Routes of the demo pages. Only `livegift dev` mounts them: they give tokens and coins to anybody."""

from importlib.resources import files
from pathlib import Path
from secrets import token_hex

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livegift.contract.errors import ConfigError, RequestError
from livegift.features.demo.bodies import CoinsRequest, CoinsView, TokenRequest, TokenView
from livegift.features.grants.public import grant_coins
from livegift.http.context import answer, body_of, resources_of
from livegift.http.routing import Files, Route
from livegift.runtime.access import PUBLIC, Rate

# No inline script or style, nothing but pictures from elsewhere; other pages can't frame these.
SECURITY_HEADERS = [
    (
        b"content-security-policy",
        # Gifts' pictures are the catalogue's, wherever they are kept.
        b"default-src 'self'; img-src 'self' https:; connect-src 'self' ws: wss:; frame-ancestors 'self'",
    ),
    (b"cache-control", b"no-cache"),
]
PAGES = ("viewer", "creator")


def pages_folder() -> Path:
    """Return the folder of the static pages: beside the package in a checkout, inside it in an installed wheel."""
    installed = Path(str(files("livegift"))) / "client_demo"
    for folder in (installed, installed.parent.parent / "client_demo"):
        if (folder / "index.html").is_file():
            return folder
    raise ConfigError(f"the demo pages are missing, expected them in {installed}: install livegift again")


class SecureHeaders:
    """Middleware that adds SECURITY_HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`, which serves the pages."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        # Pages are small and sent whole (RFC 9110, 14.2): Starlette refuses an odd Range in words of its own.
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await self._app({**scope, "headers": headers}, receive, send_with_headers)


async def token(request: Request) -> Response:
    """`POST /demo/token`: a token for anyone."""
    body = await body_of(request, TokenRequest)
    rooms = [body.room] if body.room else None
    signed = resources_of(request).tokens.sign(body.user, body.role, name=body.name, rooms=rooms, age_verified=True)
    return answer(request, TokenView(signed))


async def coins(request: Request) -> Response:
    """`POST /demo/coins`: free test coins for anyone."""
    body = await body_of(request, CoinsRequest)
    resources = resources_of(request)
    if not await grant_coins(resources.database, resources.wallets, f"demo-{token_hex(12)}", body.user, body.coins):
        raise RequestError("unavailable")
    return answer(request, CoinsView(body.coins))


class Pages(StaticFiles):
    """Static files in which `/viewer` is `/viewer.html`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or the page of that name."""
        return await super().get_response(f"{path}.html" if path in PAGES else path, scope)


async def root(_: Request) -> Response:
    """`GET /`: redirect to the pages."""
    return RedirectResponse("/demo/")


ROUTES = (
    Route("GET", "/", PUBLIC, Rate.PLAIN, root, "Go to the demo pages", status=307),
    Route("GET", "/demo", PUBLIC, Rate.PLAIN, root, "Go to the demo pages", status=307),
    Route(
        "POST",
        "/demo/token",
        PUBLIC,
        Rate.COSTLY,
        token,
        "Sign a token for anyone",
        body=TokenRequest,
        answer=TokenView,
    ),
    Route(
        "POST",
        "/demo/coins",
        PUBLIC,
        Rate.COSTLY,
        coins,
        "Grant coins to anyone",
        body=CoinsRequest,
        answer=CoinsView,
    ),
    Files("/demo", PUBLIC, Rate.PLAIN, lambda: SecureHeaders(Pages(directory=pages_folder(), html=True))),
)
