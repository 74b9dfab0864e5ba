"""The settings of spending limits."""

from typing import Annotated

from msgspec import Meta

from livegift.runtime.settings import OwnSettings


class SpendingLimitSettings(OwnSettings, frozen=True, kw_only=True):
    """The settings of when a higher limit takes effect."""

    limit_raise_delay_s: Annotated[int, Meta(ge=0, description="how long a raised spending limit waits")] = 86_400
