"""Routes of payouts: requested by creators, decided by operators, sent to and settled with the bank in batches."""

from secrets import token_hex

from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.bounds import PAYOUT_RESULT_BYTES_MAX
from livegift.contract.errors import RequestError
from livegift.contract.http import WhyRequest
from livegift.contract.values import UserId, digest, is_id, is_user_id
from livegift.domain.catalogue import USD_MICROS_PER_DIAMOND
from livegift.features.payouts import queries as stored
from livegift.features.payouts.bank import ManualBank
from livegift.features.payouts.bodies import (
    AccountRequest,
    AccountView,
    BatchRequest,
    BatchView,
    HoldView,
    PayoutPage,
    PayoutRequest,
    PayoutsQuery,
    PayoutView,
    SettledBatch,
)
from livegift.features.payouts.errors import PAYOUT_NOT_POSSIBLE
from livegift.features.payouts.queries import PayoutTerms, StoredPayout
from livegift.features.payouts.rules import PaymentInstruction, compact_iban, is_iban, masked
from livegift.features.payouts.settings import PayoutSettings
from livegift.http.context import answer, body_of, identity_of, key_of, query_of, raw_body_of, resources_of
from livegift.http.routing import Content, Route
from livegift.runtime.access import EARNINGS, OPERATE, Rate
from livegift.runtime.bounds import PAYOUT_BATCH_MAX
from livegift.runtime.settings import Settings

BANK = ManualBank()


def _terms(settings: Settings) -> PayoutTerms:
    day_max = settings.of(PayoutSettings).payout_diamonds_day_max
    return PayoutTerms(settings.payout_diamonds_min, day_max, USD_MICROS_PER_DIAMOND, settings.hold_h)


def _view(found: StoredPayout) -> PayoutView:
    payout = found.payout
    return PayoutView(
        id=payout.id,
        status=payout.status,
        creator=payout.creator,
        diamonds=payout.diamonds,
        amount=payout.amount,
        currency=found.currency,
        holder=found.holder,
        iban=masked(found.iban),
        batch_id=found.batch_id,
        why=found.why,
        requested_ms=int(found.requested_at.timestamp() * 1000),
        ended_ms=int(found.ended_at.timestamp() * 1000) if found.ended_at else None,
    )


async def _list(request: Request, creator: str | None) -> Response:
    query = query_of(request, PayoutsQuery)
    found = await stored.list_payouts(
        resources_of(request).database, creator, query.status, query.cursor or "", query.limit + 1
    )
    next_cursor = found[query.limit - 1].payout.id if len(found) > query.limit else None
    return answer(request, PayoutPage([_view(item) for item in found[: query.limit]], next_cursor))


def _id_of(request: Request, name: str = "payout") -> str:
    given = str(request.path_params[name])
    if not (is_user_id(given) if name == "user" else is_id(given)):
        raise RequestError("not_found")
    return given


async def list_own(request: Request) -> Response:
    """`GET /v1/payouts`: a creator's own, in pages."""
    identity = identity_of(request)
    return await _list(request, identity.user)


async def request_payout(request: Request) -> Response:
    """`POST /v1/payouts`: request one (201); the same Idempotency-Key again returns the same payout."""
    identity = identity_of(request)
    body = await body_of(request, PayoutRequest)
    key = key_of(request)
    # Keys are each creator's own, ids are everybody's.
    payout_id = f"pay-{token_hex(12)}" if key is None else f"pay-{digest(identity.user, key)}"
    resources = resources_of(request)
    found = await stored.request_payout(
        resources.database, payout_id, identity.user, body.diamonds, _terms(resources.settings)
    )
    return answer(request, _view(found), headers={"Location": f"/v1/payouts/{payout_id}"})


async def read_payout(request: Request) -> Response:
    """`GET /v1/payouts/{payout}`: one of the creator's own; not found for others."""
    identity = identity_of(request)
    found = await stored.read_payout(resources_of(request).database, _id_of(request))
    if found is None or found.payout.creator != identity.user:
        raise RequestError("not_found", "You have no such payout.")
    return answer(request, _view(found))


async def cancel_payout(request: Request) -> Response:
    """`DELETE /v1/payouts/{payout}`: cancel it before it is decided."""
    identity = identity_of(request)
    found = await stored.move_payout(
        resources_of(request).database, _id_of(request), "cancel", identity.user, creator=identity.user
    )
    return answer(request, _view(found))


async def read_account(request: Request) -> Response:
    """`GET /v1/creator/payout-account`: the bank account, of which only the ends are ever shown."""
    identity = identity_of(request)
    found = await stored.read_account(resources_of(request).database, identity.user)
    if found is None:
        raise RequestError("not_found", "No account is known yet: PUT one.")
    return answer(request, AccountView(found.holder, masked(found.iban)))


async def put_account(request: Request) -> Response:
    """`PUT /v1/creator/payout-account`: set the bank account; payouts that were requested keep theirs."""
    identity = identity_of(request)
    body = await body_of(request, AccountRequest)
    iban = compact_iban(body.iban)
    if not is_iban(iban):
        raise RequestError("invalid", "iban: not a complete IBAN, or its check digits do not fit")
    await stored.write_account(resources_of(request).database, identity.user, stored.BankAccount(body.holder, iban))
    return answer(request, AccountView(body.holder, masked(iban)))


# --- Operators --------------------------------------------------------------------------------------------------------


async def list_all(request: Request) -> Response:
    """`GET /v1/admin/payouts?status=requested`: payouts, of one status or of all."""
    return await _list(request, None)


async def approve(request: Request) -> Response:
    """`POST /v1/admin/payouts/{payout}/approve`: approve a payout."""
    operator = identity_of(request)
    found = await stored.move_payout(resources_of(request).database, _id_of(request), "approve", operator.user)
    return answer(request, _view(found))


async def reject(request: Request) -> Response:
    """`POST /v1/admin/payouts/{payout}/reject`, with `why`: reject it; the diamonds go back."""
    operator = identity_of(request)
    body = await body_of(request, WhyRequest)
    database = resources_of(request).database
    found = await stored.move_payout(database, _id_of(request), "reject", operator.user, why=body.why)
    return answer(request, _view(found))


async def make_batch(request: Request) -> Response:
    """`POST /v1/admin/payout-batches`: put approved payouts into a batch; the same id again is the same batch."""
    operator = identity_of(request)
    body = await body_of(request, BatchRequest)
    batch_id = body.id or f"batch-{token_hex(8)}"
    found = await stored.make_batch(resources_of(request).database, batch_id, operator.user, PAYOUT_BATCH_MAX)
    amount = sum(item.payout.amount for item in found)
    return answer(request, BatchView(batch_id, len(found), amount))


def instructions(found: list[StoredPayout]) -> bytes:
    """Return the bank's file for a batch."""
    return BANK.instructions(
        PaymentInstruction(item.payout.id, item.holder, item.iban, item.payout.amount, item.currency) for item in found
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
    """`POST /v1/admin/payout-batches/{batch}/result`: apply the bank's file, all of it or nothing."""
    operator = identity_of(request)
    lines = BANK.results(await raw_body_of(request, PAYOUT_RESULT_BYTES_MAX))
    batch_id = _id_of(request, "batch")
    open_ones = await stored.settle_batch(resources_of(request).database, batch_id, lines, operator.user)
    return answer(request, SettledBatch(batch_id, len(lines), open_ones))


async def hold_sender(request: Request) -> Response:
    """`PUT /v1/admin/sender-holds/{user}`, with `why`: hold diamonds from the user's gifts back from payouts."""
    operator = identity_of(request)
    body = await body_of(request, WhyRequest)
    await stored.hold_sender(resources_of(request).database, _id_of(request, "user"), body.why, operator.user)
    return answer(request, HoldView(_id_of(request, "user"), held=True))


async def release_sender(request: Request) -> Response:
    """`DELETE /v1/admin/sender-holds/{user}`: let them be paid out again."""
    operator = identity_of(request)
    await stored.hold_sender(resources_of(request).database, _id_of(request, "user"), None, operator.user)
    return answer(request, HoldView(_id_of(request, "user"), held=False))


ROUTES = (
    Route(
        "GET",
        "/v1/payouts",
        EARNINGS,
        Rate.PLAIN,
        list_own,
        "List own payouts",
        query=PayoutsQuery,
        answer=PayoutPage,
    ),
    Route(
        "POST",
        "/v1/payouts",
        EARNINGS,
        Rate.COSTLY,
        request_payout,
        "Request a payout",
        body=PayoutRequest,
        takes_key=True,
        answer=PayoutView,
        status=201,
        errors=(PAYOUT_NOT_POSSIBLE, "conflict"),
    ),
    Route(
        "GET",
        "/v1/payouts/{payout}",
        EARNINGS,
        Rate.PLAIN,
        read_payout,
        "Read an own payout",
        answer=PayoutView,
        errors=("not_found",),
    ),
    Route(
        "DELETE",
        "/v1/payouts/{payout}",
        EARNINGS,
        Rate.COSTLY,
        cancel_payout,
        "Cancel an own payout",
        answer=PayoutView,
        errors=("not_found", "conflict"),
    ),
    Route(
        "GET",
        "/v1/creator/payout-account",
        EARNINGS,
        Rate.PLAIN,
        read_account,
        "Read the bank account for payouts",
        answer=AccountView,
        errors=("not_found",),
    ),
    Route(
        "PUT",
        "/v1/creator/payout-account",
        EARNINGS,
        Rate.COSTLY,
        put_account,
        "Replace the bank account for payouts",
        body=AccountRequest,
        answer=AccountView,
    ),
    Route(
        "GET",
        "/v1/admin/payouts",
        OPERATE,
        Rate.QUERY,
        list_all,
        "List payouts",
        query=PayoutsQuery,
        answer=PayoutPage,
    ),
    Route(
        "POST",
        "/v1/admin/payouts/{payout}/approve",
        OPERATE,
        Rate.COSTLY,
        approve,
        "Approve a payout",
        answer=PayoutView,
        errors=("not_found", "conflict", "second_person_required"),
    ),
    Route(
        "POST",
        "/v1/admin/payouts/{payout}/reject",
        OPERATE,
        Rate.COSTLY,
        reject,
        "Reject a payout",
        body=WhyRequest,
        answer=PayoutView,
        errors=("not_found", "conflict"),
    ),
    Route(
        "POST",
        "/v1/admin/payout-batches",
        OPERATE,
        Rate.COSTLY,
        make_batch,
        "Make a batch of the approved payouts",
        body=BatchRequest,
        answer=BatchView,
        status=201,
    ),
    Route(
        "GET",
        "/v1/admin/payout-batches/{batch}",
        OPERATE,
        Rate.QUERY,
        read_batch,
        "Read a batch as the bank's file",
        content=Content("text/csv", "The payouts of the batch, a line each"),
        errors=("not_found",),
    ),
    Route(
        "POST",
        "/v1/admin/payout-batches/{batch}/result",
        OPERATE,
        Rate.COSTLY,
        settle_batch,
        "Apply the bank's result of a batch",
        body=Content(
            "text/csv", "A head `payout,status,why`, then a line for each payout: `paid`, or `failed` and why"
        ),
        answer=SettledBatch,
        errors=("not_found", "conflict", "invalid", "too_large"),
    ),
    Route(
        "PUT",
        "/v1/admin/sender-holds/{user}",
        OPERATE,
        Rate.QUERY,
        hold_sender,
        "Hold back what a sender's gifts have earned",
        body=WhyRequest,
        parts={"user": UserId},
        answer=HoldView,
        errors=("not_found",),
    ),
    Route(
        "DELETE",
        "/v1/admin/sender-holds/{user}",
        OPERATE,
        Rate.QUERY,
        release_sender,
        "Release what a sender's gifts have earned",
        parts={"user": UserId},
        answer=HoldView,
        errors=("not_found",),
    ),
)
