"""Routes of receipts, histories and spending to date."""

from datetime import UTC, datetime

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError
from livegift.contract.events import shown_ms
from livegift.contract.http import NumberPageQuery
from livegift.domain.catalogue import USD_MICROS_PER_DIAMOND
from livegift.features.receipts import queries as stored
from livegift.features.receipts.bodies import PaidOut, PaidPart, ReceiptView, SpendView, WalletChange, WalletHistory
from livegift.features.receipts.queries import BookedGift
from livegift.features.receipts.rules import parts_of
from livegift.http.context import answer, gift_event_of, identity_of, public_ref, query_of, resources_of
from livegift.http.routing import Route
from livegift.runtime.access import OWN_GIFT, WALLET, Rate, require_room
from livegift.runtime.identity import Identity

SEQ_MAX = 2**53


def _may_see(identity: Identity, gift: BookedGift) -> bool:
    return identity.role == "admin" or identity.user in (gift.sender, gift.receiver)


async def receipt(request: Request) -> Response:
    """`GET /v1/gifts/{gift_event_id}/receipt`, for sender, receiver and operators.

    Only the sender and operators see money; only the receiver and operators see payouts.
    """
    identity = identity_of(request)
    event_id, place = gift_event_of(request)
    resources = resources_of(request)
    async with resources.database.snapshot() as connection:
        gift = await stored.booked_gift(connection, place)
        if gift is None or not _may_see(identity, gift):
            raise RequestError("not_found", f"You have no gift {event_id} that is booked.")
        require_room(identity, gift.room)
        payout = await stored.payout_of(connection, gift.receiver, gift.earned_before + gift.diamonds)
    # Several aggregators book different partitions, so a batch and its moment narrow down who sent a gift.
    knows_sender = identity.role == "admin" or identity.user == gift.sender or not gift.anonymous
    is_operator = identity.role == "admin"
    body = ReceiptView(
        gift_event_id=event_id,
        room=gift.room,
        gift_id=gift.gift_id,
        count=gift.count,
        sent_ms=shown_ms(gift.ts_ms, anonymous=not knows_sender),
        booked_ms=int(gift.booked_at.timestamp() * 1000) if knows_sender else int(gift.booked_at.timestamp()) * 1000,
        batch_id=gift.batch_id if knows_sender else None,
        revoked=gift.is_revoked,
        coins=gift.coins,
        diamonds=gift.diamonds,
        diamonds_usd_micros=gift.diamonds * USD_MICROS_PER_DIAMOND,
        available_after_h=resources.settings.hold_h,
        receiver=gift.receiver,
        paid_with=_paid_with(gift) if is_operator or identity.user == gift.sender else UNSET,
        payout=_paid_out(payout) if is_operator or identity.user == gift.receiver else UNSET,
        sender=gift.sender if knows_sender else UNSET,
    )
    return answer(request, body)


def _paid_with(gift: BookedGift) -> list[PaidPart]:
    parts = parts_of(gift.lots, gift.spent_before, gift.coins)
    return [
        PaidPart(part.coins, part.reason, part.ref, part.amount_micros, part.currency)
        if part.currency
        else PaidPart(part.coins, part.reason, part.ref)
        for part in parts
    ]


def _paid_out(payout: tuple[str, str, datetime | None] | None) -> PaidOut | None:
    if payout is None:
        return None
    payout_id, status, ended_at = payout
    return PaidOut(payout_id, status, int(ended_at.timestamp() * 1000) if ended_at else None)


async def wallet_history(request: Request) -> Response:
    """`GET /v1/wallet/history`: every change of the wallet, newest first."""
    identity = identity_of(request)
    query = query_of(request, NumberPageQuery)
    before = int(query.cursor) if query.cursor else SEQ_MAX
    async with resources_of(request).database.snapshot() as connection:
        found = await stored.wallet_history(connection, identity.user, before, query.limit + 1)
    next_cursor = str(found[query.limit - 1]["wallet_seq"]) if len(found) > query.limit else None
    ids = resources_of(request).event_ids
    for item in found:
        item["ref"] = public_ref(ids, str(item["ref"]))
        if "gift_event_id" in item:
            item["gift_event_id"] = ids.of(str(item["gift_event_id"]))
    return answer(request, WalletHistory([WalletChange(**item) for item in found[: query.limit]], next_cursor))


async def wallet_spend(request: Request) -> Response:
    """`GET /v1/wallet/spend`: coins for gifts and money for coins, today, this month, this year (UTC) and in total."""
    identity = identity_of(request)
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"day_ms": day, "month_ms": day.replace(day=1), "year_ms": day.replace(month=1, day=1)}
    since_ms = {name: int(at.timestamp() * 1000) for name, at in begins.items()}
    async with resources_of(request).database.snapshot() as connection:
        return answer(request, await stored.spend_of(connection, identity.user, since_ms))


ROUTES = (
    Route(
        "GET",
        "/v1/gifts/{gift_event_id}/receipt",
        OWN_GIFT,
        Rate.PLAIN,
        receipt,
        "Read the receipt of a gift",
        answer=ReceiptView,
        errors=("not_found",),
    ),
    Route(
        "GET",
        "/v1/wallet/history",
        WALLET,
        Rate.QUERY,
        wallet_history,
        "List the changes of the wallet",
        query=NumberPageQuery,
        answer=WalletHistory,
    ),
    Route(
        "GET",
        "/v1/wallet/spend",
        WALLET,
        Rate.PLAIN,
        wallet_spend,
        "Sum up what was spent by day, month and year",
        answer=SpendView,
    ),
)
