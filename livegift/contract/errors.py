"""The error table: the codes of the core, and of several features. Those of one feature are in its `errors.py`.

A code is stable, its sentence is plain, and `retryable` is a promise: the same request can be sent again unchanged.
"""

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A row of the table. `http_status` is the status of the HTTP response (RFC 9110)."""

    code: str
    sentence: str
    http_status: int
    retryable: bool = False


# Below this WebSocket close code, clients just reconnect; from it on, they check the code first.
STOP_CODES_MIN = 4400


class Close(IntEnum):
    """WebSocket close codes."""

    TOO_BIG = 1009
    RESTARTING = 1012
    BAD_FRAME = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TOO_FAST = 4429


CLOSE_SENTENCES = {
    Close.TOO_BIG: "A frame was larger than allowed, or came in too many pieces.",
    Close.RESTARTING: "This process is stopping, or can't serve the connection at the moment: connect again.",
    Close.BAD_FRAME: "A frame was not a JSON object: this is a fault of the client.",
    Close.UNAUTHENTICATED: "No valid token came in time, or the token has expired: connect with a new one.",
    Close.FORBIDDEN: "The token does not allow this: connecting again does not help.",
    Close.TOO_SLOW: "The client did not read what was sent to it: connect again when it can.",
    Close.TOO_FAST: "The client went on sending although it was told to slow down: wait before connecting again.",
}
assert set(CLOSE_SENTENCES) == set(Close), "each has a sentence"  # noqa: S101 - a constant of the program


_TABLE = (
    # Refusals of gifts: certainly nothing was charged.
    ErrorKind("insufficient_coins", "The balance is too low for this gift.", 402),
    ErrorKind("limit_exceeded", "A spending limit of this account would be exceeded.", 403),
    ErrorKind("rate_limited", "Too many requests in a short time: wait a moment and try again.", 429, retryable=True),
    ErrorKind("age_restricted", "Only viewers whose age has been verified can send gifts.", 403),
    ErrorKind("wallet_frozen", "This wallet is frozen: contact the operator.", 403),
    ErrorKind("room_not_found", "There is no such room.", 404),
    ErrorKind("room_ended", "This room has ended.", 409),
    ErrorKind("gift_not_found", "There is no such gift in the catalogue.", 404),
    ErrorKind("receiver_not_found", "The receiver is not a creator in this room.", 404),
    ErrorKind("price_changed", "The price of this gift has changed: load the catalogue again.", 409),
    ErrorKind("ref_conflict", "This ref was used before with different content: use a new ref.", 409),
    ErrorKind("invalid", "The request is not valid.", 400),
    ErrorKind("unavailable", "The service is busy or restarting: try again with the same ref.", 503, retryable=True),
    # All others.
    ErrorKind("unauthenticated", "A valid token is required.", 401),
    ErrorKind("token_expired", "The token has expired: get a new one and say hello again.", 401, retryable=True),
    ErrorKind("too_late", "This is not possible, or no longer possible.", 409),
    ErrorKind("forbidden", "This token does not allow that.", 403),
    ErrorKind("second_person_required", "Another person, who does not benefit from it, has to approve this.", 403),
    ErrorKind("not_found", "There is nothing at this address.", 404),
    ErrorKind("method_not_allowed", "This address does not support that method.", 405),
    ErrorKind("conflict", "It already exists, with different content.", 409),
    ErrorKind("too_large", "The request is too large.", 413),
    ErrorKind("too_many_rooms", "This connection has already joined the maximum number of rooms.", 409),
    ErrorKind("internal", "Something went wrong on our side; it has been logged.", 500, retryable=True),
)

ERRORS = {kind.code: kind for kind in _TABLE}
assert len(ERRORS) == len(_TABLE), "codes are unique"  # noqa: S101 - a constant of the program


def kind_of(error: str | ErrorKind) -> ErrorKind:
    """Return the row of a code of this table; a feature's own row as it is."""
    return error if isinstance(error, ErrorKind) else ERRORS[error]


class LivegiftError(Exception):
    """The base of all errors that this project raises on purpose."""


class RequestError(LivegiftError):
    """A request that is answered with an error code. `detail` is shown to the client, so it names no internals."""

    def __init__(self, error: str | ErrorKind, detail: str | None = None) -> None:
        """Refuse with a code of `ERRORS`, or with a feature's own error; `detail` is said instead of its sentence."""
        self.kind = kind_of(error)
        self.detail = detail or self.kind.sentence
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def code(self) -> str:
        """Return the stable code."""
        return self.kind.code


class RateLimitedError(RequestError):
    """A rate was exceeded; the same request passes later."""

    def __init__(self, retry_after_ms: int) -> None:
        """Refuse until `retry_after_ms` later, when the request passes if nothing else is sent meanwhile."""
        self.retry_after_ms = retry_after_ms
        super().__init__("rate_limited")


class ConfigError(LivegiftError):
    """The settings or the state of a store do not allow a start. The message says what to change."""


class StoreUnavailableError(LivegiftError):
    """Redis did not answer in time. Whether a write happened is unknown unless `executed` is False."""

    def __init__(self, message: str, *, executed: bool | None = None) -> None:
        """Take `executed`: False when the command certainly did not reach the server, None when it is unknown."""
        self.executed = executed
        super().__init__(message)


class PartitionStoppedError(LivegiftError):
    """A partition's journal does not fit the ledger. It stays stopped until a person has looked at it."""

    def __init__(self, partition: int, reason: str) -> None:
        """Name the partition and, in `reason`, what was expected and what came."""
        self.partition = partition
        self.reason = reason
        super().__init__(f"partition {partition}: {reason}")
