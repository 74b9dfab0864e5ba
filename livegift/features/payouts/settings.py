"""The settings of payouts."""

from typing import Annotated

from msgspec import Meta

from livegift.runtime.settings import OwnSettings


class PayoutSettings(OwnSettings, frozen=True, kw_only=True):
    """The most that can be requested. The least is a setting of the core, as the rates show it."""

    payout_diamonds_day_max: Annotated[
        int, Meta(ge=1, description="diamonds of a creator's payouts per day (UTC) at most")
    ] = 2_000_000
