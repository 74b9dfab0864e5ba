"""Errors over HTTP: RFC 9457 `application/problem+json` with a `code`."""

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from livegift.contract.errors import ErrorKind, RateLimitedError, RequestError, StoreUnavailableError, kind_of
from livegift.contract.http import Problem
from livegift.ledger.engine import LedgerUnavailableError
from livegift.payments.provider import ProviderError

PROBLEM = "application/problem+json"
log = structlog.get_logger()


def problem(error: str | ErrorKind, detail: str | None = None, retry_after_ms: int | UnsetType = UNSET) -> Response:
    """Return the response for a code of the table, or for a feature's own error."""
    kind = kind_of(error)
    body = Problem(
        type=f"urn:livegift:error:{kind.code}",
        title=kind.sentence,
        status=kind.http_status,
        code=kind.code,
        detail=detail or kind.sentence,
        retryable=kind.retryable,
        retry_after_ms=retry_after_ms,
    )
    headers = {"WWW-Authenticate": "Bearer"} if kind.http_status == 401 else None  # noqa: PLR2004 - RFC 9110, 11.6.1
    return Response(msgspec.json.encode(body), kind.http_status, headers, media_type=PROBLEM)


async def on_request_error(_: Request, error: Exception) -> Response:
    """Respond to a deliberate refusal."""
    assert isinstance(error, RequestError)  # noqa: S101 - registered for it alone
    return problem(error.kind, error.detail)


async def on_rate_limited(_: Request, error: Exception) -> Response:
    """Respond to an exceeded rate, with the time to try again, in whole seconds too (RFC 9110, 10.2.3)."""
    assert isinstance(error, RateLimitedError)  # noqa: S101 - registered for it alone
    response = problem(error.kind, error.detail, retry_after_ms=error.retry_after_ms)
    response.headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    return response


async def on_unavailable(request: Request, error: Exception) -> Response:
    """Respond when a store is away."""
    log.warning("api.unavailable", path=request.url.path, error=str(error))
    return problem("unavailable")


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Respond to what Starlette itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    response = problem(codes.get(error.status_code, "invalid"))
    response.headers.update(error.headers or {})  # such as Allow: RFC 9110, 15.5.6
    return response


async def on_disconnect(_: Request, __: Exception) -> Response:
    """Handle a client that left, or was too slow, before the body was complete: nobody reads this response."""
    return problem("invalid", "The request's body did not come to its end.")


async def on_exception(request: Request, error: Exception) -> Response:
    """Respond to an internal error: the log has its traceback, the response does not."""
    log.error("api.failed", path=request.url.path, exc_info=error)
    return problem("internal")


HANDLERS = {
    RateLimitedError: on_rate_limited,
    RequestError: on_request_error,
    StoreUnavailableError: on_unavailable,
    ProviderError: on_unavailable,
    LedgerUnavailableError: on_unavailable,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
    Exception: on_exception,
}
