"""A small HTTP server for metrics that can't be exhausted: few requests at a time, each with a deadline."""

import socket
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread, Timer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from livegift.runtime.bounds import METRICS_REQUEST_S, METRICS_REQUESTS_MAX


class _Handler(WSGIRequestHandler):
    timeout = METRICS_REQUEST_S  # of each read; the timer limits all of them

    def handle(self) -> None:
        timer = Timer(METRICS_REQUEST_S, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            with suppress(OSError):  # the client has left, or was too slow
                super().handle()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Don't log requests for metrics."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = METRICS_REQUESTS_MAX

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = BoundedSemaphore(METRICS_REQUESTS_MAX)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_: Any) -> None:
        """Ignore a failed request: it has cost its connection and nothing else."""


def start(port: int, host: str) -> int:
    """Serve this process's metrics on a thread of their own; returns the port. Raises OSError when it is taken."""
    server = _Server((host, port))
    server.set_app(make_wsgi_app())
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.server_port
