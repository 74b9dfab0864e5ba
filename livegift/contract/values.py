"""The values in messages: ids, amounts, times, and a gift of the catalogue."""

import re
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from livegift.contract.bounds import (
    COMMAND_ID_LENGTH_MAX,
    COMMAND_ID_NUMBER_MAX,
    ID_PATTERN,
    REF_PATTERN,
    TEXT_PATTERN,
    TITLE_LENGTH_MAX,
    USER_ID_PATTERN,
)

Id = Annotated[str, Meta(pattern=ID_PATTERN)]
UserId = Annotated[str, Meta(pattern=USER_ID_PATTERN)]
Ref = Annotated[str, Meta(pattern=REF_PATTERN, description="the client's idempotency key: one for each gift")]
CommandId = (
    Annotated[str, Meta(max_length=COMMAND_ID_LENGTH_MAX)]
    | Annotated[int, Meta(ge=-COMMAND_ID_NUMBER_MAX, le=COMMAND_ID_NUMBER_MAX)]
)
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_LENGTH_MAX, pattern=TEXT_PATTERN)]
Coins = Annotated[int, Meta(ge=0, le=10**13)]
TimeMs = Annotated[int, Meta(ge=0, le=10**13, description="milliseconds since 1970")]
Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[int, Meta(ge=0, le=2**53, description="number of an event in its room, from 1 on")]
Epoch = Annotated[
    int,
    Meta(ge=0, le=2**53, description="`seq` counts in it: in another epoch the numbers start again"),
]

_ID = re.compile(ID_PATTERN)
_USER_ID = re.compile(USER_ID_PATTERN)
_TEXT = re.compile(TEXT_PATTERN)


class GiftKind(Struct, frozen=True):
    """A gift of the catalogue. `coins` is the price and `diamond_count` what the creator earns, for one piece."""

    id: Id
    name: Annotated[str, Meta(description="as people see it")]
    coins: Annotated[int, Meta(description="the price of one piece")]
    diamond_count: Annotated[int, Meta(description="what the creator earns for one piece")]
    streakable: Annotated[bool, Meta(description="whether sends that follow each other make a streak")]
    tier: Annotated[int, Meta(description="how prominently to show it, from 1 to 3")]
    icon: Annotated[str, Meta(description="an emoji, or the https address of a picture")]


def digest(*parts: str) -> str:
    """Return 24 hex digits that stand for these ids together."""
    return blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def is_id(text: str) -> bool:
    """Return whether `text` may be an id: 1 to 64 letters, digits, dots, underscores, colons and hyphens."""
    return _ID.match(text) is not None


def is_user_id(text: str) -> bool:
    """Return whether `text` may be a user's id: the host product gives them, so more is taken than in other ids."""
    return _USER_ID.match(text) is not None


def is_text(text: str) -> bool:
    """Return whether `text` has no control characters: of those the ledger can't keep NUL, and not even look for it."""
    return _TEXT.match(text) is not None
