"""The requests and responses of the routes of limits, freezes and regions."""

from msgspec import Struct

from livegift.contract.http import CapsView, Page
from livegift.contract.values import Coins, Id, TimeMs, UserId
from livegift.domain.allowances import Caps, Whose


class LimitsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits in coins, which replace all three. A missing or null one means no limit."""

    per_gift: Coins | None = None
    day: Coins | None = None
    month: Coins | None = None


class LimitView(Struct, frozen=True):
    """A limit in force, and whose it is."""

    allowed: Coins
    whose: Whose


class EffectiveView(Struct, frozen=True):
    """The limits in force; null means no limit."""

    per_gift: LimitView | None
    day: LimitView | None
    month: LimitView | None


class UsedView(Struct, frozen=True):
    """Coins spent in this day and month."""

    day: Coins
    month: Coins


class ResetsView(Struct, frozen=True):
    """The ends of this day and month."""

    day: TimeMs
    month: TimeMs


class LimitsView(Struct, frozen=True):
    """A wallet's limits: its own, the operator's, those in force, and what replaces its own at `effective_ms`."""

    region: Id
    version: int
    own: CapsView
    operator: CapsView
    effective: EffectiveView
    pending: CapsView | None
    effective_ms: TimeMs | None
    used: UsedView
    resets_ms: ResetsView
    frozen: bool


class FreezeView(Struct, frozen=True):
    """A user's wallet: frozen or not."""

    user: UserId
    frozen: bool


class RegionView(Struct, frozen=True):
    """A region's rules."""

    id: Id
    time_zone: str
    age_min: int
    age_adult: int
    caps: CapsView
    minor_caps: CapsView
    cooling_off_h: int
    withdrawal_notice: str
    shows_ranks: bool
    undo_window_s: int
    guardian_hold: bool


class RegionPage(Page[RegionView], frozen=True):
    """All regions, on one page."""


def caps_view(caps: Caps) -> CapsView:
    """Return the caps as responses show them."""
    return CapsView(caps.per_gift, caps.day, caps.month)
