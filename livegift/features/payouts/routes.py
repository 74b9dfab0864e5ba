"""Payouts: asked for by creators, decided by operators, sent to and settled with the bank in batches."""

from secrets import token_hex
from typing import get_args

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift.contract import wire
from livegift.contract.errors import RequestError
from livegift.domain.catalogue import USD_MICROS_PER_DIAMOND
from livegift.features.payouts import queries as stored
from livegift.features.payouts.bank import ManualBank
from livegift.features.payouts.queries import StoredPayout, Terms
from livegift.features.payouts.rules import Order, Status, masked
from livegift.http import bodies
from livegift.http.context import (
    body_of,
    identity_of,
    json_response,
    page_of,
    raw_body_of,
    resources_of,
)
from livegift.runtime.bounds import PAYOUT_BATCH_MAX, PAYOUT_RESULT_BYTES_MAX
from livegift.runtime.settings import Settings

BANK = ManualBank()


def _terms(settings: Settings) -> Terms:
    return Terms(
        settings.payout_diamonds_min, settings.payout_diamonds_day_max, USD_MICROS_PER_DIAMOND, settings.hold_h
    )


def _public(found: StoredPayout) -> dict[str, object]:
    payout = found.payout
    return {
        "id": payout.id,
        "status": payout.status,
        "creator": payout.creator,
        "diamonds": payout.diamonds,
        "amount": payout.amount,
        "currency": found.currency,
        "holder": found.holder,
        "iban": masked(found.iban),
        "batch_id": found.batch_id,
        "why": found.why,
        "requested_ms": int(found.requested_at.timestamp() * 1000),
        "ended_ms": int(found.ended_at.timestamp() * 1000) if found.ended_at else None,
    }


async def _list(request: Request, creator: str | None) -> Response:
    cursor, limit = page_of(request)
    status = request.query_params.get("status")
    if status is not None and status not in get_args(Status):
        raise RequestError("invalid", f"status: expected one of {', '.join(get_args(Status))}")
    found = await stored.list_payouts(resources_of(request).database, creator, status, cursor, limit + 1)
    next_cursor = found[limit - 1].payout.id if len(found) > limit else None
    return json_response({"items": [_public(item) for item in found[:limit]], "next_cursor": next_cursor})


def _id_of(request: Request, name: str = "payout") -> str:
    given = str(request.path_params[name])
    if not (wire.is_user_id(given) if name == "user" else wire.is_id(given)):
        raise RequestError("not_found")
    return given


class Payouts(HTTPEndpoint):
    """`/v1/payouts`: a creator's own."""

    async def get(self, request: Request) -> Response:
        """All of them, in pages."""
        identity = identity_of(request)
        return await _list(request, identity.user)

    async def post(self, request: Request) -> Response:
        """Ask for one: 201. The same Idempotency-Key again is the same payout."""
        identity = identity_of(request)
        body = await body_of(request, bodies.PayoutBody)
        key = request.headers.get("idempotency-key")
        if key is not None and not wire.is_id(key):
            raise RequestError("invalid", "Idempotency-Key: expected 1 to 64 of A-Z a-z 0-9 . _ : -")
        # Keys are each creator's own, ids are everybody's.
        payout_id = f"pay-{token_hex(12)}" if key is None else f"pay-{wire.digest(identity.user, key)}"
        resources = resources_of(request)
        found = await stored.request_payout(
            resources.database, payout_id, identity.user, body.diamonds, _terms(resources.settings)
        )
        return json_response(_public(found), 201, {"Location": f"/v1/payouts/{payout_id}"})


class OnePayout(HTTPEndpoint):
    """`/v1/payouts/{payout}`: to others it is not there."""

    async def get(self, request: Request) -> Response:
        """One's own."""
        identity = identity_of(request)
        found = await stored.read_payout(resources_of(request).database, _id_of(request))
        if found is None or found.payout.creator != identity.user:
            raise RequestError("not_found", "You have no such payout.")
        return json_response(_public(found))

    async def delete(self, request: Request) -> Response:
        """Cancel it while nobody has decided."""
        identity = identity_of(request)
        found = await stored.move_payout(
            resources_of(request).database, _id_of(request), "cancel", identity.user, creator=identity.user
        )
        return json_response(_public(found))


# --- Operators --------------------------------------------------------------------------------------------------------


async def list_all(request: Request) -> Response:
    """`GET /v1/admin/payouts?status=requested`."""
    return await _list(request, None)


async def approve(request: Request) -> Response:
    """`POST /v1/admin/payouts/{payout}/approve`."""
    operator = identity_of(request)
    found = await stored.move_payout(resources_of(request).database, _id_of(request), "approve", operator.user)
    return json_response(_public(found))


async def reject(request: Request) -> Response:
    """`POST /v1/admin/payouts/{payout}/reject`, with `why`: the diamonds go back."""
    operator = identity_of(request)
    body = await body_of(request, bodies.WhyBody)
    database = resources_of(request).database
    found = await stored.move_payout(database, _id_of(request), "reject", operator.user, why=body.why)
    return json_response(_public(found))


async def make_batch(request: Request) -> Response:
    """`POST /v1/admin/payout-batches`: what is approved becomes a batch; the same id again is the same batch."""
    operator = identity_of(request)
    body = await body_of(request, bodies.BatchBody)
    batch_id = body.id or f"batch-{token_hex(8)}"
    found = await stored.make_batch(resources_of(request).database, batch_id, operator.user, PAYOUT_BATCH_MAX)
    amount = sum(item.payout.amount for item in found)
    return json_response({"id": batch_id, "payouts": len(found), "amount": amount}, 201)


def instructions(found: list[StoredPayout]) -> bytes:
    """A batch as the bank takes it."""
    return BANK.instructions(
        Order(item.payout.id, item.holder, item.iban, item.payout.amount, item.currency) for item in found
    )


async def read_batch(request: Request) -> Response:
    """`GET /v1/admin/payout-batches/{batch}`: the file for the bank."""
    found = await stored.read_batch(resources_of(request).database, _id_of(request, "batch"))
    headers = {
        "Content-Disposition": f'attachment; filename="{_id_of(request, "batch")}.csv"',
        "Cache-Control": "no-store",
    }
    return Response(instructions(found), 200, headers, media_type="text/csv")


async def settle_batch(request: Request) -> Response:
    """`POST /v1/admin/payout-batches/{batch}/result`: the bank's file; all of it is applied, or nothing."""
    operator = identity_of(request)
    lines = BANK.results(await raw_body_of(request, PAYOUT_RESULT_BYTES_MAX))
    batch_id = _id_of(request, "batch")
    open_ones = await stored.settle_batch(resources_of(request).database, batch_id, lines, operator.user)
    return json_response({"id": batch_id, "settled": len(lines), "open": open_ones})


class SenderHold(HTTPEndpoint):
    """`/v1/admin/sender-holds/{user}`: what this sender's gifts have earned can't be paid out for now."""

    async def put(self, request: Request) -> Response:
        """Hold, with `why`."""
        operator = identity_of(request)
        body = await body_of(request, bodies.WhyBody)
        await stored.hold_sender(resources_of(request).database, _id_of(request, "user"), body.why, operator.user)
        return json_response({"user": _id_of(request, "user"), "held": True})

    async def delete(self, request: Request) -> Response:
        """Let go."""
        operator = identity_of(request)
        await stored.hold_sender(resources_of(request).database, _id_of(request, "user"), None, operator.user)
        return json_response({"user": _id_of(request, "user"), "held": False})


ADMIN_ROUTES = [
    Route("/v1/admin/payouts", list_all),
    Route("/v1/admin/payouts/{payout}/approve", approve, methods=["POST"]),
    Route("/v1/admin/payouts/{payout}/reject", reject, methods=["POST"]),
    Route("/v1/admin/payout-batches", make_batch, methods=["POST"]),
    Route("/v1/admin/payout-batches/{batch}", read_batch),
    Route("/v1/admin/payout-batches/{batch}/result", settle_batch, methods=["POST"]),
    Route("/v1/admin/sender-holds/{user}", SenderHold),
]
