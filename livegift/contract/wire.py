"""Commands and events: models <-> bytes. The only place that knows the JSON."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct

from livegift.contract.bounds import (
    ANONYMOUS_TIME_MS,
    AVATAR_URL_LENGTH_MAX,
    COMMAND_ID_LENGTH_MAX,
    COMMAND_ID_NUMBER_MAX,
    GIFT_COUNT_MAX,
    ID_PATTERN,
    MESSAGE_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PATTERNS,
    REF_PATTERN,
    TEXT_PATTERN,
    TITLE_LENGTH_MAX,
    TOKEN_LENGTH_MAX,
    USER_ID_PATTERN,
)
from livegift.contract.errors import ERRORS, RequestError
from livegift.contract.journal import GiftSent, StreakEnded
from livegift.domain.catalogue import GiftKind
from livegift.domain.spending import Accepted
from livegift.runtime.event_ids import EventIds

Id = Annotated[str, Meta(pattern=ID_PATTERN)]
UserId = Annotated[str, Meta(pattern=USER_ID_PATTERN)]
Ref = Annotated[str, Meta(pattern=REF_PATTERN, description="the client's idempotency key")]
CommandId = (
    Annotated[str, Meta(max_length=COMMAND_ID_LENGTH_MAX)]
    | Annotated[int, Meta(ge=-COMMAND_ID_NUMBER_MAX, le=COMMAND_ID_NUMBER_MAX)]
)
Title = Annotated[str, Meta(min_length=1, max_length=TITLE_LENGTH_MAX, pattern=TEXT_PATTERN)]
Coins = Annotated[int, Meta(ge=0, le=10**13)]
TimeMs = Annotated[int, Meta(ge=0, le=10**13, description="milliseconds since the epoch")]

SUBPROTOCOL = "livegift.v1"
_ID = re.compile(ID_PATTERN)
_USER_ID = re.compile(USER_ID_PATTERN)
_TEXT = re.compile(TEXT_PATTERN)
T = TypeVar("T")


# --- What clients send ------------------------------------------------------------------------------------------------


class Identified(Struct, frozen=True, kw_only=True):
    """What every command may carry: an `id` chosen by the client, which its answer or error returns unchanged.

    It only matches answers to commands; it is not part of a gift's payload.
    """

    id: CommandId | None = None


class Hello(Identified, tag="hello", tag_field="type", frozen=True):
    """The first command of a connection."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class RoomJoin(Identified, tag="room.join", tag_field="type", frozen=True):
    """Watch a room, from `since` on when that is given."""

    room: Id
    since: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    since_epoch: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class RoomLeave(Identified, tag="room.leave", tag_field="type", frozen=True):
    """Watch it no more."""

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
    """A sign of life; `t` comes back as it is."""

    t: msgspec.Raw = msgspec.Raw(b"null")


def type_of(kind: type[Struct]) -> str:
    """The `type` of a command's frames."""
    return str(kind.__struct_config__.tag)


class BadFrameError(Exception):
    """Not a JSON object: the connection is closed (4400)."""


class BadCommandError(RequestError):
    """A JSON object that is not a valid command. `ref` and `id` are set when they could be read."""

    def __init__(self, detail: str, kind: str, ref: str | None, command_id: CommandId | None) -> None:
        """`kind` is the command's type as far as it could be read."""
        super().__init__("invalid", detail)
        self.kind_of_command = kind
        self.ref = ref
        self.id = command_id


def parse_command(text: str | bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """One frame's command, of those that `decoder` knows. Raises BadFrameError or BadCommandError (names the field)."""
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError as error:
        problem = error
    except RecursionError:
        raise BadFrameError("expected a JSON object that is not nested so deep") from None
    whole = without_halves(text)
    if whole is not None:
        return parse_command(whole, decoder)
    try:
        loose = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrameError("expected a JSON object") from None
    if not isinstance(loose, dict):
        raise BadFrameError("expected a JSON object")
    kind, ref = loose.get("type"), loose.get("ref")
    legible = ref if isinstance(ref, str) and _ID.match(ref) else None
    raise BadCommandError(
        explain(problem), kind if isinstance(kind, str) else "", legible, _legible_id(loose.get("id"))
    ) from None


def _legible_id(found: object) -> CommandId | None:
    try:
        command_id: CommandId = msgspec.convert(found, CommandId)
    except msgspec.ValidationError:
        return None
    return command_id


# A character beyond 16 bits that was cut in two, as `text.slice(0, 200)` of JavaScript does: half of a pair of escapes.
# An escape is read from its backslash on, so that the second half of an escaped backslash begins none.
_HALVES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def without_halves(text: str | bytes) -> bytes | None:
    """Return JSON with U+FFFD for each half of a character in it, None where there are none.

    JSON can carry halves (RFC 8259, 8.2), but they can't be stored or shown. U+FFFD is what the web puts in their place
    (https://infra.spec.whatwg.org/#javascript-string-convert); no id can contain it, so no id becomes another one.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    whole = _HALVES.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)
    return whole if whole != data else None


def explain(problem: msgspec.MsgspecError) -> str:
    """A msgspec message such as "Expected `int` >= 1 - at `$.count`", with the field first and a pattern in words."""
    what, _, where = str(problem).partition(" - at `$")
    field = where.strip("`.")
    pattern = what.partition("matching regex ")[2]
    if pattern:
        wanted = next((words for known, words in PATTERNS.items() if repr(known) == pattern), "other characters")
        what = f"expected {wanted}"
    return f"{field}: {what}" if field else what


def digest(*parts: str) -> str:
    """24 hex digits that stand for these ids together."""
    return blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def is_id(text: str) -> bool:
    """Whether `text` may be an id: 1 to 64 letters, digits, dots, underscores, colons and hyphens."""
    return _ID.match(text) is not None


def is_user_id(text: str) -> bool:
    """Whether `text` may be a user's id: the host product gives them, so more is taken than in other ids."""
    return _USER_ID.match(text) is not None


def is_text(text: str) -> bool:
    """Whether `text` has no control characters: of those the ledger can't keep NUL, and not even look for it."""
    return _TEXT.match(text) is not None


# --- Events -----------------------------------------------------------------------------------------------------------


def user_json(user: str, name: str, avatar_url: str | None) -> bytes:
    """The sender as events show it."""
    shown = {"id": user, "name": name[:NAME_LENGTH_MAX]}
    if avatar_url and len(avatar_url) <= AVATAR_URL_LENGTH_MAX:
        shown["avatar_url"] = avatar_url
    # It stays for as long as the connection does: orjson would leave its buffer of kilobytes around it.
    return msgspec.json.encode(shown)


ANONYMOUS_JSON = b'{"name":"Anonymous"}'


def details_json(to: str, to_name: str, gift: GiftKind) -> bytes:
    """Receiver and gift as events show them."""
    return orjson.dumps({"to_user": {"id": to, "name": to_name}, "gift": gift_public(gift, with_icon=True)})


def gift_public(gift: GiftKind, *, with_icon: bool) -> dict[str, object]:
    """A gift as the catalogue and events show it."""
    shown: dict[str, object] = {
        "id": gift.id,
        "name": gift.name,
        "coins": gift.coins,
        "diamond_count": gift.diamond_count,
        "streakable": gift.streakable,
        "tier": gift.tier,
    }
    if with_icon:
        shown["icon"] = gift.icon
    return shown


def shown_ms(ts_ms: int, *, anonymous: bool) -> int:
    """The time at which a gift was sent, as others see it. Gifts of one partition often share a millisecond."""
    return ts_ms - ts_ms % ANONYMOUS_TIME_MS if anonymous else ts_ms


def gift_event(event_id: str, combo_id: str, gift: GiftSent) -> bytes:
    """The event of a gift, without its opening brace and `seq`, which the room adds. Both ids as clients see them."""
    message = bytes(gift.message_json)
    ts_ms = shown_ms(gift.ts_ms, anonymous=gift.anonymous)
    text = b"" if message == b"null" else b',"message":' + message
    head = (
        f'"type":"gift","id":"{event_id}","ts_ms":{ts_ms},"count":{gift.count},"combo_id":"{combo_id}",'
        f'"repeat_count":{gift.repeat_count},"repeat_end":{_json_bool(gift.repeat_end)},"coins":{gift.coins},'
        f'"diamonds":{gift.diamonds},"anonymous":{_json_bool(gift.anonymous)},"user":'
    )
    return b"%b%b,%b%b}" % (head.encode(), gift.user_json, bytes(gift.details_json)[1:-1], text)


@dataclass(frozen=True, slots=True)
class GiftHead:
    """What an event of a gift says before the sender's own words begin."""

    count: int
    combo_id: bytes
    coins: int
    diamonds: int
    is_wordless: bool


# As `gift_event` writes it, with the room's `seq` before it. Nothing in it can come from a user.
_GIFT_HEAD = re.compile(
    rb'(\{"seq":\d+,"type":"gift","id":"[^"]+","ts_ms":\d+,"count":)(\d+)(,"combo_id":"([^"]+)","repeat_count":\d+,'
    rb'"repeat_end":(?:true|false),"coins":)(\d+)(,"diamonds":)(\d+),'
)


def gift_head(event: bytes) -> GiftHead | None:
    """The head of a room's event; None if it is no gift."""
    found = _GIFT_HEAD.match(event)
    if found is None:
        return None
    # Within a JSON string the quotes would be escaped.
    return GiftHead(int(found[2]), found[4], int(found[5]), int(found[7]), b',"message":' not in event)


def merged_gift(last: bytes, heads: Sequence[GiftHead]) -> bytes:
    """The event that stands for the sends of one streak, `last` being the event of the last of them."""
    found = _GIFT_HEAD.match(last)
    assert found is not None  # noqa: S101 - the caller has its head
    count, coins, diamonds = (sum(map(attrgetter(name), heads)) for name in ("count", "coins", "diamonds"))
    sums = (found[1], count, found[3], coins, found[6], diamonds, len(heads))
    return b'%b%d%b%d%b%d,"merged":%d,' % sums + last[found.end() :]


def streak_end_event(event_id: str, combo_id: str, end: StreakEnded) -> bytes:
    """The last event of a streak: `repeat_end` and nothing more to count."""
    ts_ms = shown_ms(end.ts_ms, anonymous=end.anonymous)
    head = (
        f'"type":"gift","id":"{event_id}","ts_ms":{ts_ms},"count":0,"combo_id":"{combo_id}",'
        f'"repeat_count":{end.repeat_count},"repeat_end":true,"coins":0,"diamonds":0,'
        f'"anonymous":{_json_bool(end.anonymous)},"user":'
    )
    return b"%b%b,%b}" % (head.encode(), end.user_json, bytes(end.details_json)[1:-1])


def room_event(event_id: str, ts_ms: int, status: str, title: str) -> bytes:
    """The event of a room that was opened or ended, without its opening brace and `seq`."""
    shown = {"type": "room", "id": event_id, "ts_ms": ts_ms, "status": status, "title": title}
    return orjson.dumps(shown)[1:]


def match_event(event_id: str, ts_ms: int, shown: bytes) -> bytes:
    """The event of a sponsor match that has changed, without its opening brace and `seq`; `shown` is its JSON."""
    return b'"type":"match","id":"%b","ts_ms":%d,%b' % (event_id.encode(), ts_ms, shown[1:])


def _json_bool(value: bool) -> str:  # noqa: FBT001 - its one argument is its meaning
    return "true" if value else "false"


# --- Frames -----------------------------------------------------------------------------------------------------------


class RoomHeader(Struct, frozen=True):
    """The first line of what a room's channel carries; the events follow, one a line."""

    epoch: int
    first_seq: int
    seq: int
    totals: msgspec.Raw
    top: msgspec.Raw


class SnapshotHeader(Struct, frozen=True):
    """A snapshot without its events."""

    epoch: int
    seq: int
    totals: msgspec.Raw
    top: msgspec.Raw
    combos: msgspec.Raw
    matches: msgspec.Raw = msgspec.Raw(b"[]")


ROOM_HEADER = msgspec.json.Decoder(RoomHeader)
SNAPSHOT_HEADER = msgspec.json.Decoder(SnapshotHeader)


class Omitted(NamedTuple):
    """Gifts (sends, as in the totals) that a frame does not show, and their coins."""

    gifts: int
    coins: int


def room_events_frame(
    room: str,
    epoch: int,
    first_seq: int,
    seq: int,
    totals: bytes,
    top: bytes | None,
    events: Iterable[bytes],
    omitted: Omitted | None = None,
) -> bytes:
    """One frame for first_seq..seq: the events of all of them, or of all but those `omitted` and merged."""
    head = f'{{"type":"room.events","room":"{room}","epoch":{epoch},"first_seq":{first_seq},"seq":{seq},"totals":'
    ranks = b"" if top is None else b',"top":' + top
    left_out = b"" if omitted is None else b',"omitted":{"count":%d,"coins":%d}' % omitted
    return b'%b%b%b%b,"events":[%b]}' % (head.encode(), totals, ranks, left_out, b",".join(events))


def room_pulse_frame(room: str, viewers: int, top: bytes | None) -> bytes:
    """Latest values, which have no `seq`; `top` is None when viewers know it."""
    ranks = {} if top is None else {"top": orjson.Fragment(top)}
    return frame("room.pulse", room=room, viewers=viewers, likes=0, **ranks)


def room_snapshot_frame(
    room: "dict[str, object]", header: SnapshotHeader, viewers: int, events: Iterable[bytes], *, complete: bool
) -> bytes:
    """`room` has what the ledger knows: id, creator, status, title."""
    head = orjson.dumps({"type": "room.snapshot", **room, "viewers": viewers, "complete": complete, "goals": []})[:-1]
    return b'%b,"epoch":%d,"seq":%d,"totals":%b,"top":%b,"combos":%b,"matches":%b,"events":[%b]}' % (
        head,
        header.epoch,
        header.seq,
        header.totals,
        header.top,
        header.combos,
        header.matches,
        b",".join(events),
    )


def dumps(value: object) -> bytes:
    """Any JSON."""
    return orjson.dumps(value)


def frame(kind: str, **fields: object) -> bytes:
    """Any other frame."""
    return orjson.dumps({"type": kind, **fields})


def answering(command_id: CommandId | None, answer: bytes) -> bytes:
    """The answer to a command with this `id`; the frame as it is when the command had none."""
    return answer if command_id is None else b'%b,"id":%b}' % (answer[:-1], orjson.dumps(command_id))


def accepted_frame(ref: str, outcome: Accepted, ids: EventIds) -> bytes:
    """The answer to an accepted gift. All its texts are ids, which need no escaping."""
    event_id = ids.of(outcome.event_id)
    combo_id = event_id if outcome.combo_id == outcome.event_id else ids.of_streak(outcome.combo_id)
    status = "duplicate" if outcome.duplicate else "accepted"
    return (
        f'{{"type":"gift.result","ref":"{ref}","status":"{status}","gift_event_id":"{event_id}",'
        f'"coins":{outcome.coins},"balance":{outcome.balance},"wallet_seq":{outcome.wallet_seq},'
        f'"combo":{{"id":"{combo_id}","repeat_count":{outcome.repeat_count}}}}}'
    ).encode()


def pong_frame(t: bytes, server_ms: int) -> bytes:
    """The answer to a ping; `t` goes back as the bytes that came."""
    return b'{"type":"pong","t":%b,"server_ms":%d}' % (t, server_ms)


def error_frame(code: str, message: str | None = None, **fields: object) -> bytes:
    """An `error` frame with the table's sentence unless there is more to say."""
    known = ERRORS[code]
    return frame("error", code=code, message=message or known.sentence, retryable=known.retryable, **fields)


def wallet_seq_of(message: bytes) -> tuple[int, int] | None:
    """(seq, balance) of a `wallet` message from a user's channel, None for any other message."""
    if not message.startswith(b'{"type":"wallet"'):
        return None
    fields = orjson.loads(message)
    return fields["seq"], fields["balance"]
