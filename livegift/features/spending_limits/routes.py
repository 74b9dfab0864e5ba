"""Routes of spending limits, freezes and the regions' rules."""

import time

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import RequestError
from livegift.contract.http import WhyRequest
from livegift.contract.values import UserId, is_user_id
from livegift.domain.allowances import Caps, Kind, Policy, SpendingLimits, Usage, exceeded, in_force, usage_at
from livegift.domain.regions import REGIONS, Region, region_of, windows
from livegift.domain.spending import Refused, SetLimits
from livegift.features.spending_limits.bodies import (
    EffectiveView,
    FreezeView,
    LimitsRequest,
    LimitsView,
    LimitView,
    RegionPage,
    RegionView,
    ResetsView,
    UsedView,
    caps_view,
)
from livegift.features.spending_limits.settings import SpendingLimitSettings
from livegift.http.context import answer, body_of, identity_of, resources_of
from livegift.http.routing import Route
from livegift.ledger.audit_trail import note_before
from livegift.resources.resources import Resources
from livegift.runtime.access import OPERATE, PUBLIC, WALLET, Rate
from livegift.runtime.bounds import LIMITS_ATTEMPTS_MAX
from livegift.runtime.identity import Identity
from livegift.store.wallets import Balance

KINDS: tuple[Kind, ...] = ("per_gift", "day", "month")


def _effective(own: Caps, policy: Policy, used: Usage, kind: Kind) -> LimitView | None:
    """Return the limit in force, found by asking for a gift larger than any limit: the refusal names it."""
    limit = exceeded(
        Caps(**{kind: getattr(own, kind)}),
        policy._replace(caps=Caps(**{kind: getattr(policy.caps, kind)})),
        used,
        2**60,
    )
    return LimitView(limit.allowed, limit.whose) if limit else None


def _view(found: Balance, identity: Identity, now_ms: int) -> LimitsView:
    region = region_of(identity.region)
    here = windows(region, now_ms, identity.age)
    own, used = in_force(found.limits, now_ms), usage_at(found.usage, here.policy, now_ms)
    waits = found.limits.pending_ms > now_ms
    return LimitsView(
        region=region.id,
        version=found.limits.version,
        own=caps_view(own),
        operator=caps_view(here.policy.caps),
        effective=EffectiveView(*(_effective(own, here.policy, used, kind) for kind in KINDS)),
        pending=caps_view(found.limits.pending) if waits else None,
        effective_ms=found.limits.pending_ms if waits else None,
        used=UsedView(used.day_coins, used.month_coins),
        resets_ms=ResetsView(here.day_ends_ms, here.month_ends_ms),
        frozen=found.frozen,
    )


async def _set(resources: Resources, asked: SetLimits) -> None:
    """Change limits at the current version; after a concurrent change, look at the new version and try again."""
    wallets = resources.wallets
    for _ in range(LIMITS_ATTEMPTS_MAX):
        known = await wallets.read(asked.user)
        said = await wallets.set_limits(structs.replace(asked, version=known.limits.version))
        if not isinstance(said, Refused):
            return
        if said.code != "conflict":
            raise RequestError("conflict", "The wallet is below zero: it stays frozen until that is settled.")
    raise RequestError("conflict", "Somebody else changes this wallet's limits at the same time: try again.")


async def read_limits(request: Request) -> Response:
    """`GET /v1/wallet/limits`: own, the operator's, those in force, pending ones, and usage."""
    identity = identity_of(request)
    found = await resources_of(request).wallets.read(identity.user)
    return answer(request, _view(found, identity, int(time.time() * 1000)))


async def put_limits(request: Request) -> Response:
    """`PUT /v1/wallet/limits`: replace all three. Lower limits take effect at once, higher ones wait."""
    identity = identity_of(request)
    body = await body_of(request, LimitsRequest)
    resources = resources_of(request)
    wanted = Caps(body.per_gift, body.day, body.month)
    delay_ms = resources.settings.of(SpendingLimitSettings).limit_raise_delay_s * 1000
    known = await resources.wallets.read(identity.user)
    if not _is_there(known.limits, wanted):
        await _set(
            resources,
            SetLimits(identity.user, 0, wanted, delay_ms, by=identity.user),
        )
        known = await resources.wallets.read(identity.user)
    return answer(request, _view(known, identity, int(time.time() * 1000)))


def _is_there(limits: SpendingLimits, wanted: Caps) -> bool:
    """Return whether `wanted` was already requested last: repeating the request must not restart the wait."""
    return limits.version > 0 and wanted == (limits.pending if limits.pending_ms else limits.own)


async def freeze(request: Request) -> Response:
    """`PUT /v1/admin/users/{user}/freeze`: let nothing be spent from the wallet, with `why`, which the user sees."""
    return await _freeze(request, (await body_of(request, WhyRequest)).why, frozen=True)


async def thaw(request: Request) -> Response:
    """`DELETE /v1/admin/users/{user}/freeze`: let the wallet be used again."""
    return await _freeze(request, "", frozen=False)


async def _freeze(request: Request, why: str, *, frozen: bool) -> Response:
    operator, user = identity_of(request), str(request.path_params["user"])
    if not is_user_id(user):
        raise RequestError("not_found")
    resources = resources_of(request)
    act = "wallet.freeze" if frozen else "wallet.thaw"
    await note_before(resources.database, operator.user, act, f"user:{user}", {"why": why} if why else None)
    await _set(resources, SetLimits(user, 0, None, 0, frozen, why, operator.user))
    return answer(request, FreezeView(user, frozen))


# --- Regions ----------------------------------------------------------------------------------------------------------


def _region(region: Region) -> RegionView:
    return RegionView(
        id=region.id,
        time_zone=region.time_zone,
        age_min=region.age_min,
        age_adult=region.age_adult,
        caps=caps_view(region.caps),
        minor_caps=caps_view(region.minor_caps),
        cooling_off_h=region.cooling_off_h,
        withdrawal_notice=region.withdrawal_notice,
        shows_ranks=region.shows_ranks,
        undo_window_s=region.undo_window_s,
        guardian_hold=region.guardian_hold,
    )


async def regions(request: Request) -> Response:
    """`GET /v1/regions`: the rules of all regions."""
    return answer(request, RegionPage([_region(region) for region in REGIONS.values()], None))


async def one_region(request: Request) -> Response:
    """`GET /v1/regions/{region}`: the rules of a region, by its id."""
    found = REGIONS.get(str(request.path_params["region"]))
    if found is None:
        raise RequestError("not_found", f"Expected one of {', '.join(REGIONS)}.")
    return answer(request, _region(found))


ROUTES = (
    Route(
        "GET",
        "/v1/wallet/limits",
        WALLET,
        Rate.PLAIN,
        read_limits,
        "Read the spending limits and what is used of them",
        answer=LimitsView,
    ),
    Route(
        "PUT",
        "/v1/wallet/limits",
        WALLET,
        Rate.COSTLY,
        put_limits,
        "Replace own spending limits",
        body=LimitsRequest,
        answer=LimitsView,
        errors=("conflict",),
    ),
    Route(
        "PUT",
        "/v1/admin/users/{user}/freeze",
        OPERATE,
        Rate.QUERY,
        freeze,
        "Freeze a user's wallet",
        parts={"user": UserId},
        body=WhyRequest,
        answer=FreezeView,
        errors=("not_found", "conflict"),
    ),
    Route(
        "DELETE",
        "/v1/admin/users/{user}/freeze",
        OPERATE,
        Rate.QUERY,
        thaw,
        "Thaw a user's wallet",
        parts={"user": UserId},
        answer=FreezeView,
        errors=("not_found", "conflict"),
    ),
    Route("GET", "/v1/regions", PUBLIC, Rate.PLAIN, regions, "List the regions and their rules", answer=RegionPage),
    Route(
        "GET",
        "/v1/regions/{region}",
        PUBLIC,
        Rate.PLAIN,
        one_region,
        "Read a region's rules",
        answer=RegionView,
        errors=("not_found",),
    ),
)
