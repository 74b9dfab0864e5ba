"""What operators choose about payouts."""

from typing import Annotated

from msgspec import Meta

from livegift.runtime.settings import OwnSettings


class PayoutSettings(OwnSettings, frozen=True, kw_only=True):
    """How much can be asked for; the least is among the core's settings, as the rates tell of it."""

    payout_diamonds_day_max: Annotated[
        int, Meta(ge=1, description="diamonds of a creator's payouts per day (UTC) at most")
    ] = 2_000_000
