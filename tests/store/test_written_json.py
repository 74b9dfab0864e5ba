"""The JSON that Redis writes itself is what the Structs say."""

from dataclasses import replace
from typing import Any

import msgspec
import redis

from livegift.contract.bounds import TOP_GIFTERS
from livegift.contract.channels import parse_published, parse_snapshot
from livegift.contract.events import GiftEvent, GiftRevokedEvent, details_json, gift_event, user_json
from livegift.contract.journal import GiftSent
from livegift.contract.messages import Ranked, Totals
from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.domain.partitions import Position
from livegift.store import keys
from livegift.store.functions.rooms import room_snapshot
from livegift.store.outbox import Incarnation
from livegift.store.rooms import Publication, publish, revoked_gift
from tests.contract.structs import as_struct

ROSE = DEFAULT_GIFTS[0]
DETAILS = msgspec.Raw(details_json("bob", "Bob", ROSE))


def sent(n: int, *, anonymous: bool, streak: str) -> Publication:
    """As a relay makes it."""
    shown = user_json("ann", "Ann", "https://pictures.example/ann")
    gift = GiftSent(
        "ann", n, 0, "", "r", "bob", "rose", 1, 1, 1, streak, 1, False, anonymous, 1_234, msgspec.Raw(shown), DETAILS,
        msgspec.Raw(b"null"),
    )  # fmt: skip
    body = gift_event(f"e{n}", streak, gift)
    return Publication(0, Position(1, n), "gift", 1, 1, "ann", anonymous, shown, streak, body, 1_234, Incarnation(1, 0))


def test_a_room(client: redis.Redis) -> None:
    def run(*command: Any) -> Any:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]

    heard = client.pubsub()
    heard.ssubscribe(keys.room_channel("written"))
    assert heard.get_sharded_message(timeout=10) is not None
    gifts = [sent(1, anonymous=False, streak="c1"), sent(2, anonymous=True, streak="c2")]
    revoked = sent(3, anonymous=False, streak="c3")
    taken_back = revoked_gift("e3", "c3", 1)
    undone = replace(revoked, position=Position(1, 4), kind="revoke", user_json=b"", body=taken_back)
    run(*publish("written", [*gifts, revoked, undone]))
    message = heard.get_sharded_message(timeout=10)
    header, events = parse_published(message["data"])
    assert (header.first_seq, header.seq) == (1, 4)
    found = [as_struct(event, GiftEvent | GiftRevokedEvent) for event in events]
    assert [event.seq for event in found] == [1, 2, 3, 4]
    assert found[3] == GiftRevokedEvent(
        id="e3-revoked", ts_ms=1_234, seq=4, gift_event_id="e3", combo_id="c3", count=1, coins=1, diamonds=1
    )
    header, *_ = run(*room_snapshot(keys.room_root("written"), TOP_GIFTERS, "", "", 10))
    snapshot = parse_snapshot(header)
    assert as_struct(bytes(snapshot.totals), Totals) == Totals(gifts=2, coins=2, diamonds=2, gifters=1)
    (first,) = as_struct(bytes(snapshot.top), list[Ranked])
    assert (first.user.id, first.coins, first.rank) == ("ann", 1, 1)
    combos = as_struct(bytes(snapshot.combos), list[GiftEvent])
    assert {combo.combo_id for combo in combos} == {"c1", "c2"}
