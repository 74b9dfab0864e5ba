"""`livegift web`: the WebSocket hub and the HTTP API, on a listening socket that processes can share."""

import socket

import msgspec
import structlog
import uvicorn

from livegift.domain.regions import require_time_zones
from livegift.http import websocket
from livegift.http.entrance import entrance_class
from livegift.http.sockets import connections_max, sockets_max
from livegift.hub.hub import Hub
from livegift.hub.protocol import protocol_class
from livegift.hub.timer_wheel import TimerWheel
from livegift.processes.app import create_app
from livegift.runtime import logs, metrics
from livegift.runtime.bounds import DRAIN_TIMEOUT_S, HTTP_KEEP_ALIVE_S, PING_PERIOD_S, TIMER_WHEEL_TICK_S
from livegift.runtime.garbage import freeze_loaded_objects
from livegift.runtime.net import LISTEN_BACKLOG, is_loopback
from livegift.runtime.settings import Settings

log = structlog.get_logger()


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets the hub say goodbye first: uvicorn's own closes all sockets before that."""

    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        """Spread the disconnection of viewers over `drain_s` seconds."""
        super().__init__(config)
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, let the hub say goodbye, then close what is left."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        hub: Hub = self.config.app.state.hub  # type: ignore[union-attr]
        await hub.drain(self._drain_s)
        await super().shutdown()


def run_web(settings: Settings, sock: socket.socket, *, with_demo: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure(settings.log_format, "web", settings.log_level)
    require_time_zones()
    metrics.serve(settings.metrics_port, settings.metrics_host)
    timer_wheel = TimerWheel(TIMER_WHEEL_TICK_S)
    sockets = sockets_max()
    settings = msgspec.structs.replace(settings, connections_max=connections_max(settings.connections_max, sockets))
    direct = protocol_class(timer_wheel, settings.commands_per_s_max) if settings.fast_path else None
    config = uvicorn.Config(
        create_app(
            settings,
            with_demo=with_demo,
            timer_wheel=timer_wheel,
            is_private=with_demo and is_loopback(sock.getsockname()[0]),
        ),
        loop="uvloop",
        http=entrance_class(timer_wheel, sockets, websocket.PATH, direct),
        timeout_keep_alive=int(HTTP_KEEP_ALIVE_S),
        ws=direct or "websockets-sansio",
        ws_max_size=settings.frame_bytes_max,
        # uvicorn's compression costs 40 KB and one compression for each viewer; the protocol class has its own.
        ws_per_message_deflate=False,
        ws_ping_interval=PING_PERIOD_S,
        ws_ping_timeout=PING_PERIOD_S,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=int(DRAIN_TIMEOUT_S),
        limit_concurrency=None,
        backlog=LISTEN_BACKLOG,
    )
    freeze_loaded_objects()
    log.info("web.listening", address=sock.getsockname()[:2])
    DrainingServer(config, settings.drain_s).run(sockets=[sock])
