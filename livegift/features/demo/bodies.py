"""What the demo's routes take and answer; only `livegift dev` has them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from livegift.contract.http import Name
from livegift.contract.wire import Id, UserId


class TokenRequest(Struct, frozen=True):
    """Whose token is wanted; with `room` it is good for that room alone."""

    user: UserId
    role: Literal["viewer", "creator"] = "viewer"
    room: Id | None = None
    name: Name | None = None


class TokenView(Struct, frozen=True):
    """A token."""

    token: str


class CoinsRequest(Struct, frozen=True):
    """How many coins a user wants."""

    user: UserId
    coins: Annotated[int, Meta(ge=1, le=100_000)] = 1000


class CoinsView(Struct, frozen=True):
    """The coins that were granted."""

    coins: int
