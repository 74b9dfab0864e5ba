"""Answers to what payment providers refuse for good."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.requests import Request

from livegift.contract.errors import RequestError
from livegift.features.orders.errors import BAD_SIGNATURE, PAYMENT_REFUSED
from livegift.payments.provider import BadSignatureError, ProviderRefusedError

log = structlog.get_logger()


@contextmanager
def answering_refusals(request: Request) -> Iterator[None]:
    """Log a provider's final refusal, or a webhook with a wrong signature, and raise RequestError with its code."""
    try:
        yield
    except ProviderRefusedError as error:
        log.error("api.payment_refused", path=request.url.path, error=str(error))
        raise RequestError(PAYMENT_REFUSED, str(error)) from None
    except BadSignatureError as error:
        log.warning("api.bad_signature", path=request.url.path, error=str(error))
        raise RequestError(BAD_SIGNATURE, str(error)) from None
