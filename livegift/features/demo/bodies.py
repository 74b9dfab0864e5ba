"""The requests and responses of the demo's routes, which only `livegift dev` has."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from livegift.contract.http import Name
from livegift.contract.values import Id, UserId


class TokenRequest(Struct, frozen=True):
    """The user of a token; with `room` it is valid for that room only."""

    user: UserId
    role: Literal["viewer", "creator"] = "viewer"
    room: Id | None = None
    name: Name | None = None


class TokenView(Struct, frozen=True):
    """A token."""

    token: str


class CoinsRequest(Struct, frozen=True):
    """Free test coins for a user."""

    user: UserId
    coins: Annotated[int, Meta(ge=1, le=100_000)] = 1000


class CoinsView(Struct, frozen=True):
    """The coins that were granted."""

    coins: int
