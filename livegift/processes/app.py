"""The composition root of a web process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import Self

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from livegift import composition
from livegift.contract.event_kinds import CORE_EVENTS, EventKinds
from livegift.contract.messages import MESSAGES, Message
from livegift.http import asyncapi, health, openapi, websocket
from livegift.http.guard import guarded
from livegift.http.origins import OriginMiddleware, OriginPolicy, refuse_websocket
from livegift.http.problems import HANDLERS
from livegift.http.rates import RequestRates
from livegift.http.routing import Entry
from livegift.hub import core_commands
from livegift.hub.commands import Commands
from livegift.hub.hub import Hub
from livegift.hub.timer_wheel import TimerWheel
from livegift.resources.resources import Resources
from livegift.runtime.access import Rate
from livegift.runtime.bounds import TIMER_WHEEL_TICK_S
from livegift.runtime.settings import Settings


def sections(*, with_demo: bool) -> dict[str, tuple[Entry, ...]]:
    """Return the routes that the OpenAPI document describes, by feature."""
    features = composition.features() + (composition.dev_features() if with_demo else ())
    return {
        "description": asyncapi.described(commands(), messages(), event_kinds()),
        "health": health.ROUTES,
        **{feature.name: feature.routes for feature in features if feature.routes},
    }


def entries(*, with_demo: bool) -> list[Entry]:
    """Return the routes of a web process."""
    described = sections(with_demo=with_demo)
    return [*websocket.ROUTES, *openapi.described(described), *chain(*described.values())]


def commands() -> Commands:
    """Return the WebSocket commands of a web process."""
    offered = (command for feature in composition.features() for command in feature.commands)
    return Commands([*core_commands.COMMANDS, *offered])


def messages() -> tuple[type[Message], ...]:
    """Return what it says over WebSockets."""
    return (*MESSAGES, *(message for feature in composition.features() for message in feature.messages))


def event_kinds() -> EventKinds:
    """Return what happens in its rooms."""
    features = composition.features()
    offered = (kind for feature in features for kind in feature.events)
    return EventKinds([*CORE_EVENTS, *offered], (part for feature in features for part in feature.room))


class _Application(Starlette):
    """The application.

    WebSockets bypass the middleware: each layer would keep state for every connection, for hours.
    """

    def with_origins(self, policy: OriginPolicy) -> Self:
        """Return this application, serving only what `policy` lets in."""
        self.origin_policy, self.origin_middleware = policy, OriginMiddleware(super().__call__, policy)
        self.router.redirect_slashes = False  # the redirect would be built from the Host header
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == websocket.PATH:
            scope["app"] = self
            refused = self.origin_policy.refusal(scope)
            if refused is None:
                await websocket.serve(WebSocket(scope, receive, send))
            else:
                await refuse_websocket(WebSocket(scope, receive, send), refused)
        else:
            await self.origin_middleware(scope, receive, send)


def create_app(
    settings: Settings, *, with_demo: bool = False, timer_wheel: TimerWheel | None = None, is_private: bool = False
) -> Starlette:
    """Create the ASGI application. It connects to the stores at start-up and refuses to start on another version.

    `timer_wheel` is shared with the server's protocol class, if there is one. With `is_private`, only requests from
    this machine are answered.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Resources.open(settings) as resources:
            for feature in composition.features():
                for prepare in feature.on_start:
                    prepare(resources)
            hub = Hub(resources, timer_wheel or TimerWheel(TIMER_WHEEL_TICK_S), commands(), event_kinds())
            hub.start()
            app.state.resources, app.state.hub = resources, hub
            try:
                yield
            finally:
                await hub.aclose()

    composition.errors()  # no two features have one code
    rates = RequestRates(settings)
    app = _Application(
        routes=guarded(entries(with_demo=with_demo), rates), lifespan=lifespan, exception_handlers=HANDLERS
    )
    app.router.default = rates.counting(app.router.default, Rate.PLAIN)  # unknown paths
    return app.with_origins(OriginPolicy.of(settings, is_private=is_private))
