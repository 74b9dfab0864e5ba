"""The hub of one web process: everything that its connections share, started and stopped together."""

import asyncio
from secrets import token_hex

import structlog
from starlette.websockets import WebSocket

from livegift.contract.errors import StoreUnavailableError
from livegift.contract.event_kinds import EventKinds
from livegift.hub import endpoint
from livegift.hub.commands import Commands
from livegift.hub.conflation import Conflation
from livegift.hub.debit_batcher import DebitBatcher
from livegift.hub.rates import Admission
from livegift.hub.rooms import RoomFeeds
from livegift.hub.services import Services
from livegift.hub.sessions import Sessions
from livegift.hub.subscriber import Subscriber
from livegift.hub.timer_wheel import TimerWheel
from livegift.resources.resources import Resources
from livegift.runtime.bounds import (
    GIFT_DEADLINE_S,
    ROOM_HEADS_POLL_S,
    ROOM_LINGER_S,
    ROOM_PULSE_S,
    TIMER_WHEEL_TICK_S,
    USER_RATE_FACTOR,
)

log = structlog.get_logger()


class Hub:
    """The hub, created once per process, before it serves."""

    def __init__(
        self, resources: Resources, timer_wheel: TimerWheel, commands: Commands, event_kinds: EventKinds
    ) -> None:
        """Create the hub, which turns the timer wheel.

        Close `resources` after it. `event_kinds` define the conflation and the parts of snapshots.
        """
        settings, store = resources.settings, resources.store
        self._subscriber = Subscriber(store, self._restored)
        self._debit_batcher = DebitBatcher(store, settings.partitions, settings.combo_timeout_ms, settings.ref_ttl_s)
        self._feeds = RoomFeeds(
            resources.rooms,
            self._subscriber,
            resources.directory,
            flush_s=settings.room_flush_ms / 1000,
            conflation=lambda: Conflation(settings.room_events_max, settings.always_shown_coins, event_kinds),
            parts=tuple(event_kinds.parts),
            process=token_hex(6),
        )
        self._services = Services(
            resources=resources,
            commands=commands,
            debit_batcher=self._debit_batcher,
            feeds=self._feeds,
            sessions=Sessions(
                store, self._subscriber, resources.wallets, USER_RATE_FACTOR * settings.commands_per_s_max
            ),
            timer_wheel=timer_wheel,
            admission=Admission(
                connections_max=settings.connections_max,
                per_address_max=settings.connections_per_address_max,
                per_s_max=settings.connects_per_s_max,
                address_per_s_max=settings.requests_per_s_max,
            ),
            connections=set(),
            limits=Services.limits_of(settings),
        )
        self._timer_wheel = timer_wheel
        self._tasks: list[asyncio.Task[None]] = []

    def _restored(self, channel: str) -> None:
        self._feeds.restored(channel)
        self._services.sessions.restored(channel)

    def start(self) -> None:
        """Start polling the rooms."""
        self._tasks = [
            asyncio.create_task(self._timer_wheel.run(), name="timer wheel"),
            asyncio.create_task(self._every(ROOM_HEADS_POLL_S, "heads"), name="heads"),
            asyncio.create_task(self._every(ROOM_PULSE_S, "pulse"), name="pulse"),
        ]

    async def _every(self, period_s: float, what: str) -> None:
        while True:
            await asyncio.sleep(period_s)
            try:
                if what == "heads":
                    await self._feeds.poll_heads()
                else:
                    await self._feeds.pulse()
                    self._feeds.close_idle(ROOM_LINGER_S)
            except StoreUnavailableError as error:
                log.warning("hub.poll_failed", what=what, error=str(error))
            except Exception:  # the next poll may succeed; without polls viewers would miss events
                log.exception("hub.poll_crashed", what=what)

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection, from accept to close."""
        await endpoint.serve(websocket, self._services)

    async def drain(self, window_s: float) -> None:
        """Refuse new connections; tell the others when to come back, spread over the window, and wait for that."""
        connections = self._services.connections
        self._services.admission.is_draining = True
        log.info("hub.draining", connections=len(connections), window_s=window_s)
        for connection in list(connections):
            connection.drain(window_s)
        deadline = asyncio.get_running_loop().time() + window_s + GIFT_DEADLINE_S
        while connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(TIMER_WHEEL_TICK_S)

    async def aclose(self) -> None:
        """Stop. Waiting gifts are answered first."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._debit_batcher.aclose()
        self._feeds.close()
        await self._services.sessions.aclose()
        await self._subscriber.aclose()
