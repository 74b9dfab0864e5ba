"""What templates write is exactly what the Structs say."""

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from livegift.contract.bounds import AMOUNT_MAX, TIME_MS_MAX
from livegift.contract.encoding import encode
from livegift.contract.events import (
    ANONYMOUS_JSON,
    ANONYMOUS_SENDER,
    GiftEvent,
    details_json,
    gift_event,
    gift_head,
    merged_gift,
    shown,
    shown_json,
    shown_ms,
    streak_end_event,
    user_json,
)
from livegift.contract.journal import GiftSent, StreakEnded
from livegift.contract.messages import GiftAccepted, Omitted, RoomEvents, gift_accepted, room_events
from livegift.contract.values import GiftKind
from livegift.recovery.partitions import details_of
from tests.contract.structs import as_struct

# No surrogates: JSON that came with halves of characters is mended before it is read.
AWKWARD = ('"', "\\", '","message":', "é\u2028")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(AWKWARD)
ids = st.text("aZ09._:-", min_size=1, max_size=9)
amounts = st.integers(0, AMOUNT_MAX // 10)  # the sum of a merged streak is an amount too
counts = st.integers(0, 9_999)
kinds = st.builds(GiftKind, ids, texts, amounts, amounts, streakable=st.booleans(), tier=st.integers(1, 3), icon=texts)
users = st.builds(user_json, ids, texts, st.none() | texts) | st.just(ANONYMOUS_JSON)
details = st.builds(details_json, ids, texts, kinds)
raws = {"user_json": users.map(Raw), "details_json": details.map(Raw)}
messages = (st.none() | texts).map(encode).map(Raw)
common = {"ts_ms": st.integers(0, TIME_MS_MAX), "repeat_count": counts, "anonymous": st.booleans(), **raws}
unused = dict.fromkeys(("user", "ref", "room", "to", "gift_id", "combo_id"), st.just(""))
gifts = st.builds(
    GiftSent,
    **unused,
    **common,
    wallet_seq=st.just(1),
    balance=st.just(1),
    count=counts,
    coins=amounts,
    diamonds=amounts,
    repeat_end=st.booleans(),
    message_json=messages,
)
ends = st.builds(StreakEnded, **{name: unused[name] for name in unused if name != "ref"}, **common)


def numbered(body: bytes, seq: int = 7) -> bytes:
    """As a room does it."""
    return b'{"seq":%d,' % seq + body


@given(gifts, ids, ids)
def test_a_gift(gift: GiftSent, event_id: str, combo_id: str) -> None:
    event = as_struct(numbered(gift_event(event_id, combo_id, gift)), GiftEvent)
    assert (event.seq, event.id, event.combo_id) == (7, event_id, combo_id)
    assert event.ts_ms == shown_ms(gift.ts_ms, anonymous=gift.anonymous)
    for name in ("count", "repeat_count", "repeat_end", "coins", "diamonds", "anonymous"):
        assert getattr(event, name) == getattr(gift, name)
    message = orjson.loads(bytes(gift.message_json))
    assert event.message == (msgspec.UNSET if message is None else message)
    assert orjson.loads(encode(event.user)) == orjson.loads(bytes(gift.user_json))
    assert orjson.loads(encode({"to_user": event.to_user, "gift": event.gift})) == orjson.loads(
        bytes(gift.details_json)
    )


@given(ends, ids, ids)
def test_the_end_of_a_streak(end: StreakEnded, event_id: str, combo_id: str) -> None:
    event = as_struct(numbered(streak_end_event(event_id, combo_id, end)), GiftEvent)
    assert (event.id, event.combo_id, event.repeat_count) == (event_id, combo_id, end.repeat_count)
    assert (event.count, event.coins, event.diamonds, event.repeat_end) == (0, 0, 0, True)


def test_the_end_of_a_streak_that_was_opened_again_without_its_gift() -> None:
    text = shown(ANONYMOUS_SENDER, details_of("cat", "gone", {})).encode()
    details = shown_json(text, "ann", "cat", "gone", 1, 1)[1]
    end = StreakEnded(
        "ann", "r", "cat", "gone", "c", 3, anonymous=True, ts_ms=1, user_json=Raw(ANONYMOUS_JSON), details_json=details
    )
    assert as_struct(numbered(streak_end_event("e", "c", end)), GiftEvent).gift.id == "gone"


@given(st.lists(gifts, min_size=2, max_size=3), ids)
def test_merged_gifts(sends: list[GiftSent], combo_id: str) -> None:
    events = [numbered(gift_event(f"e{i}", combo_id, gift), i) for i, gift in enumerate(sends)]
    heads = [head for event in events if (head := gift_head(event)) is not None]
    assert len(heads) == len(sends)
    merged = as_struct(merged_gift(events[-1], heads), GiftEvent)
    last = as_struct(events[-1], GiftEvent)
    sums = {name: sum(getattr(gift, name) for gift in sends) for name in ("count", "coins", "diamonds")}
    assert merged == msgspec.structs.replace(last, **sums, merged=len(sends))


@given(gifts, st.builds(Omitted, counts, amounts) | st.none(), st.booleans(), ids)
def test_a_frame_of_events(gift: GiftSent, omitted: Omitted | None, with_top: bool, room: str) -> None:  # noqa: FBT001
    totals = encode({"gifts": 3, "coins": gift.coins, "diamonds": gift.diamonds, "gifters": 1})
    top = b'[{"user":%b,"coins":%d,"rank":1}]' % (bytes(gift.user_json), gift.coins) if with_top else None
    events = [numbered(gift_event("e", "c", gift), seq) for seq in (4, 5)]
    frame = as_struct(room_events(room, 2, 4, 5, totals, top, events, omitted), RoomEvents)
    assert (frame.room, frame.epoch, frame.first_seq, frame.seq) == (room, 2, 4, 5)
    assert frame.omitted == (msgspec.UNSET if omitted is None else omitted)
    assert (frame.top is msgspec.UNSET) is not with_top
    assert [as_struct(bytes(event), GiftEvent).seq for event in frame.events] == [4, 5]


@given(ids, st.sampled_from(["accepted", "duplicate"]), ids, amounts, amounts, counts, ids, counts)
def test_an_accepted_gift(
    ref: str, status: str, event_id: str, coins: int, balance: int, seq: int, combo_id: str, repeat_count: int
) -> None:
    written = gift_accepted(
        ref=ref, status=status, gift_event_id=event_id, coins=coins, balance=balance, wallet_seq=seq, combo_id=combo_id,
        repeat_count=repeat_count,
    )  # fmt: skip
    result = as_struct(written, GiftAccepted)
    assert (result.ref, result.status, result.gift_event_id, result.coins) == (ref, status, event_id, coins)
    assert (result.balance, result.wallet_seq, result.combo.id) == (balance, seq, combo_id)
    assert result.combo.repeat_count == repeat_count
