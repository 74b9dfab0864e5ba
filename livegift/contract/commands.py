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

    id: Annotated[CommandId, Meta(description="any name: the answer, or its error, has the same")] | None = None


class Hello(Identified, tag="hello", tag_field="type", frozen=True):
    """The first command of a connection."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX, description="a JWT of the host product")]


class RoomJoin(Identified, tag="room.join", tag_field="type", frozen=True):
    """Watch a room, from `since` on when that is given."""

    room: Id
    since: Annotated[Seq, Meta(description="the last `seq` that the client has; null: no earlier events")] | None = None
    since_epoch: Annotated[Epoch, Meta(description="the epoch of `since`; null: the present one")] | None = None


class RoomLeave(Identified, tag="room.leave", tag_field="type", frozen=True):
    """Stop watching a room."""

    room: Id


class GiftSendCommand(Identified, tag="gift.send", tag_field="type", frozen=True):
    """Send a gift."""

    ref: Ref
    room: Id
    gift_id: Annotated[Id, Meta(description="the id of a gift in the catalogue")]
    count: Annotated[int, Meta(ge=1, le=GIFT_COUNT_MAX, description="pieces")] = 1
    to: Annotated[UserId, Meta(description="the receiver; null for the room's creator")] | None = None
    price: (
        Annotated[
            Coins,
            Meta(description="coins for one piece, as the client shows it: another price is refused; null accepts any"),
        ]
        | None
    ) = None
    message: Annotated[str, Meta(max_length=MESSAGE_LENGTH_MAX, description="shown to all viewers")] | None = None
    anonymous: Annotated[bool, Meta(description="nobody in the room, not even its creator, learns who sent it")] = False


class Ping(Identified, tag="ping", tag_field="type", frozen=True):
    """A sign of life; `t` is returned unchanged."""

    t: Raw = field(default_factory=partial(Raw, b"null"))  # a plain default would have to be in the schema


def type_of(kind: type[Struct]) -> str:
    """Return the `type` of a command's, a message's or an event's JSON."""
    return str(kind.__struct_config__.tag)
