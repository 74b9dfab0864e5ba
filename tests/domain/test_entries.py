"""Entries of several gifts: readers get a row for each, wherever their cursor is, and one bad gift costs one row."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.events import ANONYMOUS_JSON
from livegift.contract.journal import GiftSent, SentGift, SentGifts, StreakEnded, StreakOver
from livegift.domain.entries import Row, Stored, decode, rows_of
from livegift.domain.partitions import START, Position

PARTITION = 7
SHOWN = msgspec.Raw(b'["Ann","Dan","Rose",1,1,1,"R"]')
Item = tuple[bytes, list[bytes]]


def sent(number: int, **fields: object) -> SentGift:
    plain = {"combo": "", "later_days": 0, "message": msgspec.Raw(b"0"), "shown": SHOWN, "anonymous": 0, "count": 2}
    ids = {"user": f"u{number}", "ref": f"r{number}", "room": "r", "to": "dan", "gift_id": "rose"}
    numbers = {"wallet_seq": number, "balance": 90, "repeat_count": 2, "coins": 10, "diamonds": 4}
    return SentGift(**{**ids, **numbers, **plain, "payload_hash": "ab", **fields})  # type: ignore[arg-type]


def item(last: int, count: int, *, epoch: int = 1, **fields: object) -> Item:
    """An entry of `count` gifts, whose wallets' seqs are their positions."""
    gifts = [sent(n, **fields) for n in range(last - count + 1, last + 1)]
    return b"%d-%d" % (epoch, last), [b"%d" % count, msgspec.json.encode(SentGifts(1_000, 20261130, gifts))]


def ns(rows: list[Row]) -> list[int]:
    assert all(isinstance(row.entry, GiftSent) and row.entry.wallet_seq == row.position.n for row in rows)
    return [row.position.n for row in rows]


@given(st.lists(st.integers(1, 32), min_size=1, max_size=6), st.data())
def test_a_reader_gets_each_gift_once_wherever_its_cursor_is(sizes: list[int], data: st.DataObject) -> None:
    stream, last = [], 0
    for size in sizes:
        last += size
        stream.append(item(last, size))
    cursor = data.draw(st.integers(0, last))
    # Redis gives what has a higher id: the entry that a cursor is inside of comes whole.
    found = [each for each in stream if int(each[0].partition(b"-")[2]) > cursor]
    assert ns(rows_of(PARTITION, found, Position(1, cursor))) == list(range(cursor + 1, last + 1))


def test_a_gift_has_all_that_the_hub_and_the_function_have_written() -> None:
    (row,) = rows_of(PARTITION, [item(5, 1, combo="1-3", later_days=1, message=msgspec.Raw(b'"hi"'))], START)
    gift = row.entry
    assert isinstance(gift, GiftSent)
    assert (gift.user, gift.ref, gift.room, gift.to, gift.gift_id) == ("u5", "r5", "r", "dan", "rose")
    assert (gift.count, gift.coins, gift.diamonds, gift.wallet_seq, gift.balance) == (2, 10, 4, 5, 90)
    assert (gift.combo_id, gift.repeat_count, gift.repeat_end) == ("7-1-3", 2, False)
    assert (gift.day, gift.ts_ms, gift.payload_hash, bytes(gift.message_json)) == (20261131, 1_000, "ab", b'"hi"')
    assert bytes(gift.user_json) == b'{"id":"u5","name":"Ann"}'
    assert msgspec.json.decode(gift.details_json) == {
        "to_user": {"id": "dan", "name": "Dan"},
        "gift": {
            "id": "rose", "name": "Rose", "coins": 1, "diamond_count": 1, "streakable": True, "tier": 1, "icon": "R",
        },
    }  # fmt: skip


@pytest.mark.parametrize(("combo", "streakable"), [("", False), ("=", True)])
def test_a_gift_is_its_own_streak(combo: str, *, streakable: bool) -> None:
    (row,) = rows_of(PARTITION, [item(5, 1, combo=combo)], START)
    assert isinstance(row.entry, GiftSent)
    assert (row.entry.combo_id, row.entry.repeat_end) == ("7-1-5", not streakable)
    assert bytes(row.entry.message_json) == b"null"


@pytest.mark.parametrize("shown", [SHOWN, msgspec.Raw(b'[null,"Dan","Rose",1,1,1,"R"]')])
def test_nothing_shows_who_is_anonymous(shown: msgspec.Raw) -> None:
    (row,) = rows_of(PARTITION, [item(5, 1, anonymous=1, shown=shown)], START)
    assert isinstance(row.entry, GiftSent)
    assert (row.entry.anonymous, bytes(row.entry.user_json)) == (True, ANONYMOUS_JSON)


def test_a_sender_with_a_picture_is_shown_with_it() -> None:
    shown = msgspec.Raw(b'[["Ann","https://a.example/a.png"],"Dan","Rose",1,1,1,"R"]')
    (row,) = rows_of(PARTITION, [item(5, 1, shown=shown)], START)
    assert isinstance(row.entry, GiftSent)
    assert bytes(row.entry.user_json) == b'{"id":"u5","name":"Ann","avatar_url":"https://a.example/a.png"}'


@given(st.integers(0, 3), st.sampled_from([b'"two"', b"null", b"[]", b"{}"]))
def test_one_gift_that_nobody_can_read_costs_one_row(bad: int, junk: bytes) -> None:
    raw_id, (head, raw) = item(9, 4)
    parts = msgspec.json.decode(raw, type=tuple[int, int, list[msgspec.Raw]])
    parts[2][bad] = msgspec.Raw(junk)
    rows = rows_of(PARTITION, [(raw_id, [head, msgspec.json.encode(parts)])], Position(1, 6))
    wrong = [row for row in rows if row.entry is None]
    assert [row.position.n for row in rows] == [7, 8, 9]
    assert [row.position.n for row in wrong] == [n for n in (7, 8, 9) if n == 6 + bad]
    assert all(row.raw == b"[1000,20261130,[%b]]" % junk for row in wrong)
    for row in rows:
        if row.entry is not None:
            assert decode(row.raw, PARTITION, row.position) == row.entry, "what is kept of it can be read again"


@pytest.mark.parametrize(
    "raw",
    [b"", b"not json", b"[1,2]", b'["gift"]', b"[1,0,[]]", b"[1,0,[[],[]]]", b"\xff", b'["gift","\xff"]', b'["\xff"]'],
)
def test_an_entry_that_nobody_can_read_leaves_no_hole(raw: bytes) -> None:
    rows = rows_of(PARTITION, [(b"3-9", [b"4", raw])], Position(3, 6))
    assert [row.position for row in rows] == [Position(3, n) for n in (7, 8, 9)]
    assert [row.entry for row in rows] == [None] * 3


def test_bytes_that_are_not_a_text_cost_one_row() -> None:
    raw_id, (head, raw) = item(9, 4)
    rows = rows_of(PARTITION, [(raw_id, [head, raw.replace(b'"u8"', b'"\xff"')])], START)
    assert [row.position.n for row in rows if row.entry is None] == [8]
    rows = rows_of(PARTITION, [(raw_id, [head, raw.replace(b'"Ann"', b'"\xff"')])], START)
    assert ns(rows) == [6, 7, 8, 9]
    gift = rows[0].entry
    assert isinstance(gift, GiftSent)
    assert bytes(gift.user_json) == b'{"id":"u6","name":"u6"}', "it is shown by its ids"


@given(st.integers(1, 32), st.data())
def test_a_part_of_an_entry_keeps_its_positions_under_another_id(count: int, data: st.DataObject) -> None:
    raw_id, fields = item(40, count, epoch=3)
    whole = Stored.parse(raw_id, fields)
    assert (whole.first, whole.last) == (Position(3, 41 - count), Position(3, 40))
    n = data.draw(st.integers(whole.first.n, 39) if count > 1 else st.just(40))
    part = whole.up_to(n)
    # After a repair it is an entry of a later epoch.
    rows = rows_of(PARTITION, [(b"8-%d" % n, [part.head.encode(), part.raw])], START)
    assert [row.position for row in rows] == [Position(3, at) for at in range(whole.first.n, n + 1)]
    assert ns(rows) == [row.position.n for row in rows]
    assert Stored.parse(b"8-%d" % n, [part.head.encode(), part.raw]) == part


def test_a_part_of_an_entry_that_nobody_can_read_is_not_read_either() -> None:
    part = Stored.parse(b"3-9", [b"4", b"not json"]).up_to(7)
    assert [(row.position, row.entry) for row in part.rows(PARTITION)] == [(Position(3, n), None) for n in (6, 7)]


def test_the_end_of_a_streak_shows_its_first_gift() -> None:
    over = StreakOver("ann", "r", "dan", "rose", "7-1-3", 4, False, 1, SHOWN)
    entry = decode(msgspec.json.encode(over), PARTITION, Position(1, 5))
    assert isinstance(entry, StreakEnded)
    assert (entry.combo_id, entry.repeat_count, bytes(entry.user_json)) == ("7-1-3", 4, b'{"id":"ann","name":"Ann"}')
    older = msgspec.structs.replace(over, shown=msgspec.Raw(b'[{"name":"Old"},{"gift":{}}]'))
    entry = decode(msgspec.json.encode(older), PARTITION, Position(1, 5))
    assert isinstance(entry, StreakEnded)
    assert (bytes(entry.user_json), bytes(entry.details_json)) == (b'{"name":"Old"}', b'{"gift":{}}')
    lost = msgspec.structs.replace(over, shown=msgspec.Raw(b"null"))
    entry = decode(msgspec.json.encode(lost), PARTITION, Position(1, 5))
    assert isinstance(entry, StreakEnded)
    assert msgspec.json.decode(entry.details_json)["gift"]["id"] == "rose"


@pytest.mark.parametrize("head", [b"0", b"00", b"2 x", b"999999999999", b"-1", b"2 3 4", b"\xff", b""])
def test_a_head_that_no_version_writes_costs_its_entry_and_stops_no_reader(head: bytes) -> None:
    raw_id, (_, raw) = item(2, 2)
    assert rows_of(PARTITION, [(raw_id, [head, raw])], START) == [Row(Position(1, 2), None, raw)]
