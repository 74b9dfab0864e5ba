"""`livegift web`: the WebSocket hub and the HTTP API, on a listening socket that processes can share."""

import socket

import structlog
import uvicorn

from livegift import logs, metrics
from livegift.api.app import create_app
from livegift.limits import DRAIN_TIMEOUT_S
from livegift.net import LISTEN_BACKLOG
from livegift.settings import Settings

log = structlog.get_logger()

WS_PING_INTERVAL_S = 20.0


def run_web(settings: Settings, sock: socket.socket, *, with_demo: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure(settings.log_format, "web")
    metrics.serve(settings.metrics_port, settings.host)
    config = uvicorn.Config(
        create_app(settings, with_demo=with_demo),
        loop="uvloop",
        http="h11",
        ws="websockets-sansio",
        ws_max_size=settings.frame_bytes_max,
        # Per connection it would cost 40 KB and a compression for each viewer.
        ws_per_message_deflate=False,
        ws_ping_interval=WS_PING_INTERVAL_S,
        ws_ping_timeout=WS_PING_INTERVAL_S,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(DRAIN_TIMEOUT_S),
        limit_concurrency=None,
        backlog=LISTEN_BACKLOG,
    )
    log.info("web.listening", address=sock.getsockname()[:2])
    uvicorn.Server(config).run(sockets=[sock])
