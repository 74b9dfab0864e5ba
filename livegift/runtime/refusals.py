"""What was refused or closed because of a limit: always counted, but logged rarely, so that no flood fills the log."""

import time

import structlog

from livegift.runtime import metrics
from livegift.runtime.bounds import REFUSAL_LOG_PERIOD_S

log = structlog.get_logger()

_logged: dict[tuple[str, str], float] = {}  # when, by event and reason: names of this program, so there are few
_not_logged: dict[tuple[str, str], int] = {}


def note(event: str, reason: str, **fields: object) -> None:
    """Count it, and log it with `fields` unless the same was logged within REFUSAL_LOG_PERIOD_S.

    `not_logged` says how often it has happened since that line.
    """
    metrics.REFUSALS.labels(event, reason).inc()
    key, now = (event, reason), time.monotonic()
    if key in _logged and now - _logged[key] < REFUSAL_LOG_PERIOD_S:
        _not_logged[key] = _not_logged.get(key, 0) + 1
        return
    _logged[key] = now
    log.warning(event, reason=reason, not_logged=_not_logged.pop(key, 0), **fields)
