"""The three processes of the Procfile, from settings to a clean end."""

import asyncio
import os
import platform
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import structlog
import uvicorn
import uvloop

from livegift import logs, metrics
from livegift.aggregator import Aggregator
from livegift.api.app import create_app
from livegift.ledger import schema
from livegift.ledger.engine import Database
from livegift.limits import DRAIN_TIMEOUT_S
from livegift.relay import Relay
from livegift.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.leases import Leases
from livegift.store.outbox import Outbox
from livegift.store.wallets import Wallets
from livegift.worker import Worker

log = structlog.get_logger()

LISTEN_BACKLOG = 2048
WS_PING_INTERVAL_S = 20.0


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket that processes can share. Raises OSError when the port is taken."""
    sock = socket.create_server((host, port), backlog=LISTEN_BACKLOG)
    sock.set_inheritable(True)
    return sock


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


def worker_name() -> str:
    """Unique among all processes of all machines."""
    return f"{platform.node()}-{os.getpid()}-{token_hex(4)}"


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Store]:
    store = await Store.connect(settings.redis_url)
    try:
        await functions.check(store)
        yield store
    finally:
        await store.aclose()


async def _until_stopped(worker: Worker) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("worker.started", role=worker.role)
    await worker.run(stop)
    log.info("worker.stopped", role=worker.role)


def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT."""

    async def main() -> None:
        async with _connected(settings) as store:
            outbox = Outbox(store, settings.partitions)
            await _until_stopped(Relay(store, outbox, Leases(store, outbox.roots, "relay", worker_name())))

    logs.configure(settings.log_format, "relay")
    metrics.serve(settings.metrics_port, settings.host)
    uvloop.run(main())


def run_aggregator(settings: Settings) -> None:
    """Book until SIGTERM or SIGINT."""

    async def main() -> None:
        async with _connected(settings) as store:
            database = Database(settings.database_url)
            try:
                await schema.check(database, settings.partitions)
                outbox = Outbox(store, settings.partitions)
                wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
                leases = Leases(store, outbox.roots, "aggregator", worker_name())
                aggregator = Aggregator(
                    outbox,
                    wallets,
                    leases,
                    database,
                    durability=settings.durability,
                    outbox_keep_s=settings.outbox_keep_s,
                )
                await _until_stopped(aggregator)
            finally:
                await database.aclose()

    logs.configure(settings.log_format, "aggregator")
    metrics.serve(settings.metrics_port, settings.host)
    uvloop.run(main())
