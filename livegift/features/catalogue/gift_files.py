"""Files of gifts for `livegift gifts load`."""

from collections import Counter
from typing import Annotated

from msgspec import Meta, Struct

from livegift.contract.bounds import CATALOGUE_GIFTS_MAX, NAME_LENGTH_MAX, TEXT_PATTERN
from livegift.contract.errors import RequestError
from livegift.contract.http import Price
from livegift.contract.values import GiftKind, Id
from livegift.domain.catalogue import DEFAULT_ICON, DIAMONDS_PER_COIN, STREAKABLE_COINS_MAX, tier_of
from livegift.domain.texts import visible
from livegift.features.catalogue.bodies import Diamonds, Icon, Tier
from livegift.http.bodies import parse_body


class CatalogueGift(Struct, frozen=True):
    """One gift of a file for `livegift gifts load`; missing fields have defaults, unknown ones are ignored.

    A gift without a name is called after its id; it earns its price in diamonds; it makes streaks below
    STREAKABLE_COINS_MAX; its tier follows its price.
    """

    id: Id
    coins: Price
    name: Annotated[str, Meta(max_length=NAME_LENGTH_MAX, pattern=TEXT_PATTERN)] | None = None
    icon: Icon | None = None
    diamond_count: Diamonds | None = None
    streakable: bool | None = None
    tier: Tier | None = None

    def to_kind(self) -> GiftKind:
        """Return the gift with its defaults."""
        streakable = self.coins < STREAKABLE_COINS_MAX if self.streakable is None else self.streakable
        return GiftKind(
            self.id,
            visible(self.name or "", NAME_LENGTH_MAX) or f"Gift {self.id}"[:NAME_LENGTH_MAX],
            self.coins,
            self.coins * DIAMONDS_PER_COIN if self.diamond_count is None else self.diamond_count,
            streakable=streakable,
            tier=self.tier or tier_of(self.coins),
            icon=self.icon or DEFAULT_ICON,
        )


def parse_catalogue(data: bytes) -> list[GiftKind]:
    """Return the gifts of a file: a JSON list of `CatalogueGift`, or an object with that list as `gifts`.

    Raises RequestError('invalid') that names the gift and the field.
    """
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_list = text.startswith(b"[")
    rows = parse_body(text, list[CatalogueGift]) if is_list else parse_body(text, _CatalogueFile).gifts
    if not 0 < len(rows) <= CATALOGUE_GIFTS_MAX:
        raise RequestError("invalid", f"expected 1 to {CATALOGUE_GIFTS_MAX} gifts, got {len(rows)}")
    twice = [gift_id for gift_id, times in Counter(row.id for row in rows).items() if times > 1]
    if twice:
        raise RequestError("invalid", f"expected each gift once, got {', '.join(twice[:5])} several times")
    return [row.to_kind() for row in rows]


class _CatalogueFile(Struct, frozen=True):
    gifts: list[CatalogueGift]
