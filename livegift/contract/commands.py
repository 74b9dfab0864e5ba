"""The commands that clients send over a WebSocket. Features add their own; `parsing.parse_command` decodes them all."""

from functools import partial
from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from livegift.contract.bounds import GIFT_COUNT_MAX, MESSAGE_LENGTH_MAX, TOKEN_LENGTH_MAX
from livegift.contract.values import Coins, CommandId, Epoch, Id, Ref, Seq, UserId

SUBPROTOCOL = "livegift.v1"


class Identified(Struct, frozen=True, kw_only=True):
    """The base of all commands: an `id` chosen by the client, which its answer or error returns unchanged.

    It only matches answers to commands; it is not part of a gift's payload.
    """

    id: CommandId | None = None


class Hello(Identified, tag="hello", tag_field="type", frozen=True):
    """The first command of a connection."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class RoomJoin(Identified, tag="room.join", tag_field="type", frozen=True):
    """Watch a room, from `since` on when that is given."""

    room: Id
    since: Seq | None = None
    since_epoch: Epoch | None = None


class RoomLeave(Identified, tag="room.leave", tag_field="type", frozen=True):
    """Stop watching a room."""

    room: Id


class GiftSendCommand(Identified, tag="gift.send", tag_field="type", frozen=True):
    """Send a gift."""

    ref: Ref
    room: Id
    gift_id: Id
    count: Annotated[int, Meta(ge=1, le=GIFT_COUNT_MAX)] = 1
    to: UserId | None = None
    price: Coins | None = None
    message: Annotated[str, Meta(max_length=MESSAGE_LENGTH_MAX)] | None = None
    anonymous: bool = False


class Ping(Identified, tag="ping", tag_field="type", frozen=True):
    """A sign of life; `t` is returned unchanged."""

    t: Raw = field(default_factory=partial(Raw, b"null"))  # a plain default would have to be in the schema


def type_of(kind: type[Struct]) -> str:
    """Return the `type` of a command's, a message's or an event's JSON."""
    return str(kind.__struct_config__.tag)
