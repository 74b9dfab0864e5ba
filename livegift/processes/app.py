"""The composition root of a web process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from livegift.features.catalogue import admin_routes as offers
from livegift.features.catalogue import routes as catalogue
from livegift.features.corrections import routes as admin
from livegift.features.corrections import undo_routes as undo
from livegift.features.demo import routes as demo
from livegift.features.earnings import routes as creators
from livegift.features.orders import odd_payment_routes as odd_payments
from livegift.features.orders import payment_routes as payments
from livegift.features.orders import routes as orders
from livegift.features.orders.service import providers_of
from livegift.features.payouts import routes as payouts
from livegift.features.receipts import routes as receipts
from livegift.features.rooms import routes as rooms
from livegift.features.spending_limits import routes as limits
from livegift.features.sponsors import routes as sponsors
from livegift.features.wallets import routes as wallets
from livegift.http import health
from livegift.http.entrance import Door, Entrance, refuse_websocket
from livegift.http.guard import guarded
from livegift.http.problems import HANDLERS
from livegift.http.rates import RequestRates
from livegift.hub.hub import Hub
from livegift.hub.timer_wheel import TimerWheel
from livegift.resources.resources import Resources
from livegift.runtime.access import Rate
from livegift.runtime.bounds import TIMER_WHEEL_TICK_S
from livegift.runtime.settings import Settings

WEBSOCKET_PATH = "/v1/ws"


async def _websocket(websocket: WebSocket) -> None:
    hub: Hub = websocket.app.state.hub
    await hub.serve(websocket)


class _Application(Starlette):
    """Viewers go to the hub without what requests pass through: each layer would wait with them, for hours."""

    def behind(self, door: Door) -> Self:
        """The same application, serving only what `door` lets in."""
        self.door, self.entrance = door, Entrance(super().__call__, door)
        self.router.redirect_slashes = False  # it would answer with an address made from the Host header
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == WEBSOCKET_PATH:
            scope["app"] = self
            refused = self.door.refusal(scope)
            if refused is None:
                await _websocket(WebSocket(scope, receive, send))
            else:
                await refuse_websocket(WebSocket(scope, receive, send), refused)
        else:
            await self.entrance(scope, receive, send)


def create_app(
    settings: Settings, *, with_demo: bool = False, timer_wheel: TimerWheel | None = None, is_private: bool = False
) -> Starlette:
    """The ASGI application. It connects to the stores when it starts and refuses to start on another version.

    `timer_wheel` is shared with the server's protocol class, where there is one. With `is_private` only requests that
    this machine makes to itself are answered.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Resources.open(settings) as resources:
            providers_of(resources)  # made now, so that no request waits for one that loads
            hub = Hub(resources, timer_wheel or TimerWheel(TIMER_WHEEL_TICK_S))
            hub.start()
            app.state.resources, app.state.hub = resources, hub
            try:
                yield
            finally:
                await hub.aclose()

    routes: list[BaseRoute] = [
        WebSocketRoute(WEBSOCKET_PATH, _websocket),
        *catalogue.ROUTES,
        *wallets.ROUTES,
        *orders.ROUTES,
        *odd_payments.ROUTES,
        *offers.ROUTES,
        *payments.ROUTES,
        *rooms.ROUTES,
        *creators.ROUTES,
        *receipts.ROUTES,
        *limits.ROUTES,
        *payouts.ADMIN_ROUTES,
        *admin.ROUTES,
        *sponsors.ROUTES,
        *undo.ROUTES,
        *health.ROUTES,
    ]
    if with_demo:
        routes += demo.routes()
    rates = RequestRates(settings)
    app = _Application(routes=guarded(routes, rates), lifespan=lifespan, exception_handlers=HANDLERS)
    app.router.default = rates.counting(app.router.default, Rate.PLAIN)  # unknown paths
    return app.behind(Door.of(settings, is_private=is_private))
