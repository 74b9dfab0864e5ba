"""Structured logs: a stable event name and fields, one JSON object a line on stderr."""

import logging
import sys
import time

import structlog

from livegift.runtime.bounds import REFUSAL_LOG_PERIOD_S


def _without_clients_tracebacks(record: logging.LogRecord) -> bool:
    """Log invalid UTF-8, a client's mistake, as one line without a traceback."""
    if "Invalid UTF-8" in record.getMessage():
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


class Rarely(logging.Filter):
    """Let each warning of a library pass once in REFUSAL_LOG_PERIOD_S, for clients cause them.

    Warnings are told apart by their place in the library's code, so that clients can't make them many. Errors pass.
    """

    def __init__(self) -> None:
        """Create a filter that has let nothing pass yet."""
        super().__init__()
        self._passed: dict[tuple[str, int], float] = {}
        self._not_logged: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` passes; its `not_logged` says how many were left out since the last that did."""
        if record.levelno > logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), time.monotonic()
        if place in self._passed and now - self._passed[place] < REFUSAL_LOG_PERIOD_S:
            self._not_logged[place] = self._not_logged.get(place, 0) + 1
            return False
        self._passed[place] = now
        record.not_logged = self._not_logged.pop(place, 0)
        return True


def configure(log_format: str, process: str, level: str = "info") -> None:
    """Log our own and the libraries' lines of `level` and above in the same way.

    `log_format` is 'json' or 'console', `level` one of 'debug', 'info', 'warning', 'error'. The libraries' debug lines
    are never logged: some show what they send, secrets included.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(least),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=["not_logged"])],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, logging.INFO))
    logging.getLogger("livegift").setLevel(least)
    # At INFO, uvicorn logs the path of each WebSocket with its query string: a `?token=` would end up in the log.
    logging.getLogger("uvicorn").setLevel(max(least, logging.WARNING))
    logging.getLogger("uvicorn.error").filters[:] = [_without_clients_tracebacks, Rarely()]
    logging.getLogger("alembic").setLevel(max(least, logging.WARNING))
    structlog.contextvars.bind_contextvars(process=process)
