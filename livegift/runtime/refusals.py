"""Refusals because of a limit: always counted, but logged rarely, so that a flood does not fill the log."""

import time

import structlog

from livegift.runtime import metrics
from livegift.runtime.bounds import REFUSAL_LOG_PERIOD_S

log = structlog.get_logger()

_logged: dict[tuple[str, str], float] = {}  # time by event and reason; these are our own names, so there are few
_not_logged: dict[tuple[str, str], int] = {}


def note(event: str, reason: str, **fields: object) -> None:
    """Count a refusal, and log it with `fields` unless the same was logged within REFUSAL_LOG_PERIOD_S.

    `not_logged` in the next line says how many were left out since.
    """
    metrics.REFUSALS.labels(event, reason).inc()
    key, now = (event, reason), time.monotonic()
    if key in _logged and now - _logged[key] < REFUSAL_LOG_PERIOD_S:
        _not_logged[key] = _not_logged.get(key, 0) + 1
        return
    _logged[key] = now
    log.warning(event, reason=reason, not_logged=_not_logged.pop(key, 0), **fields)
