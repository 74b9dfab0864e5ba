"""The settings of corrections."""

from typing import Annotated

from msgspec import Meta

from livegift.runtime.settings import OwnSettings


class CorrectionSettings(OwnSettings, frozen=True, kw_only=True):
    """The settings of when senders may undo a gift."""

    undo_coins_min: Annotated[
        int, Meta(ge=1, description="gifts from this value on can be undone, where the region has a window for it")
    ] = 1_000
