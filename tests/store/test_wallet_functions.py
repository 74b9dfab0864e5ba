"""The Redis Functions do what the pure reference says, on a real Redis, for any history."""

from typing import Any

import orjson
import pytest
import redis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from livegift.contract.journal import GiftSent, LimitsChanged, StreakEnded, WalletChanged
from livegift.domain.allowances import MINUTE_MS
from livegift.domain.combos import StreakKey
from livegift.domain.spending import Accepted, Change, GiftSend, Partition, Refused, SetLimits
from livegift.store.link import Command
from livegift.store.wallets import parse_limits_reply, parse_outcome
from tests.domain.operations import USERS, Gifts, Operation, Outcome, Pass, Sweep, apply, operations
from tests.store.live import NEVER_MS, Live, time_ms

pytestmark = pytest.mark.timeout(400)  # a failure is made smaller for up to five minutes
SHORT_MS = 1
# Explaining a failure would take longer than finding it.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
thorough = settings(max_examples=40, deadline=None, phases=PHASES)


def command_of(live: Live, operation: Operation) -> Command:
    if isinstance(operation, Gifts):
        return live.gifts_command(operation.sends, operation.timeout_ms)
    if isinstance(operation, Change):
        return live.change_command(operation)
    if isinstance(operation, SetLimits):
        return live.limits_command(operation)
    assert isinstance(operation, Sweep)
    return live.sweep_command(operation.room)


def answers_of(operation: Operation, reply: Any) -> list[object]:
    if isinstance(operation, Sweep):
        return []
    if isinstance(operation, SetLimits):
        return [parse_limits_reply(reply)]
    return [parse_outcome(item) for item in (reply if isinstance(reply, list) else [reply])]


class Pair:
    """The partition in Redis and the model of it, which is told the time that Redis has used."""

    def __init__(self, client: redis.Redis, number: int, epoch: int) -> None:
        self.live = Live(client, number=number, epoch=epoch)
        self.model = Partition(number, epoch)
        self.accepted: dict[str, tuple[GiftSend | Change, Accepted]] = {}
        self._last = "0-0"

    def do(self, operation: Operation) -> None:
        if isinstance(operation, Pass):
            self.live.pass_ms(operation.ms)
            return
        live = self.live
        before, reply, read, after = live.run_all(
            ("TIME",), command_of(live, operation), live.rows_command(self._last), ("TIME",)
        )
        before_ms, rows, answers = time_ms(before), live.parse_rows(read), answers_of(operation, reply)
        times = {row.entry.ts_ms for row in rows if row.entry is not None}
        assert len(times) <= 1, "one call has one time"
        assert all(before_ms <= ts_ms <= time_ms(after) for ts_ms in times)
        # Without an entry nothing has depended on the time; what was over before the call would have left one.
        self.model, expected = apply(self.model, operation, min(times, default=before_ms))
        assert [timeless(answer) for answer in answers] == [timeless(answer) for answer in expected]
        self._note(operation, expected)
        if rows:
            self._last = str(rows[-1].position)
        assert [row.position for row in rows] == [e.position for e in self.model.journal[-len(rows) :] if rows]

    def _note(self, operation: Operation, outcomes: list[Outcome]) -> None:
        items = operation.sends if isinstance(operation, Gifts) else [operation]
        for item, outcome in zip(items, outcomes, strict=False):
            if isinstance(item, GiftSend | Change) and isinstance(outcome, Accepted) and not outcome.duplicate:
                self.accepted[outcome.event_id] = (item, outcome)

    def check(self) -> None:
        live, model = self.live, self.model
        assert live.journal() == list(model.journal)
        for user in USERS:
            wallet = model.wallet(user)
            assert live.wallet(user) == (wallet.balance, wallet.seq, wallet.frozen)
            there = live.balance(user)
            assert there.limits == wallet.limits
            # Of a minute that is over nothing counts, so nothing of it is compared.
            assert there.usage[:3] == wallet.usage[:3]
        assert live.streaks() == {lua_key(key) for key in model.streaks}
        gifts = [entry for entry in model.journal if entry.kind == "gift"]
        assert live.meta("epoch", "n", "gifts", "coins") == [
            str(model.epoch),
            str(model.n),
            str(len(gifts)),
            str(sum(entry.coins for entry in gifts)),
        ]
        self._check_entries()

    def _check_entries(self) -> None:
        """Every field of every entry is what was sent."""
        sent: dict[str, GiftSend] = {}
        for row in self.live.rows():
            entry = row.entry
            if isinstance(entry, StreakEnded):
                first = sent[entry.combo_id]
                assert (entry.user, entry.room, entry.to, entry.gift_id) == key_of(first)
                assert entry.anonymous == first.anonymous
                assert_shows(entry, first)
                continue
            if isinstance(entry, LimitsChanged):
                continue  # `check` compares what came of it
            item, answer = self.accepted[f"{self.model.number}-{row.position}"]
            if isinstance(entry, WalletChanged):
                assert isinstance(item, Change)
                assert (entry.user, entry.ref, entry.delta, entry.reason) == (
                    item.user,
                    item.ref,
                    item.delta,
                    item.reason,
                )
                continue
            assert isinstance(entry, GiftSent)
            assert isinstance(item, GiftSend)
            sent.setdefault(answer.combo_id, item)
            assert (entry.user, entry.room, entry.to, entry.gift_id) == key_of(item)
            assert (entry.ref, entry.count, entry.coins) == (item.ref, item.count, item.price * item.count)
            assert entry.diamonds == item.diamond_count * item.count
            assert (entry.repeat_end, entry.anonymous) == (not item.streakable, item.anonymous)
            assert_shows(entry, item)
            assert bytes(entry.message_json) == b'"hello"'


def assert_shows(entry: GiftSent | StreakEnded, sent: GiftSend) -> None:
    """The entry shows DISPLAY, under the ids of what was sent."""
    sender = {"name": "Anonymous"} if sent.anonymous else {"id": sent.user, "name": "Ann A."}
    assert orjson.loads(bytes(entry.user_json)) == sender
    kind = {"id": sent.gift_id, "name": "Rose", "coins": 1, "diamond_count": 1, "tier": 1, "icon": "R"}
    assert orjson.loads(bytes(entry.details_json)) == {
        "to_user": {"id": sent.to, "name": "Dan D."},
        "gift": {**kind, "streakable": sent.streakable},
    }


def is_nothing(outcome: Outcome) -> bool:
    """Whether nothing was changed by it."""
    return isinstance(outcome, Refused) or (isinstance(outcome, Accepted) and outcome.duplicate)


def timeless(answer: object) -> object:
    """How long to wait depends on the millisecond."""
    if isinstance(answer, Refused) and answer.retry_after_ms is not None:
        assert 0 < answer.retry_after_ms <= MINUTE_MS
        return structs.replace(answer, retry_after_ms=0)
    return answer


def key_of(send: GiftSend) -> tuple[str, str, str, str]:
    return send.user, send.room, send.to, send.gift_id


def lua_key(key: StreakKey) -> str:
    to, user = (text.replace("|", "!") for text in (key.to, key.user))
    return "|".join((key.room, key.gift_id, to, str(int(key.anonymous)), user))


@thorough
@given(
    operations([NEVER_MS], [Sweep(), Sweep("r1"), Sweep("r1:x"), Sweep("r2"), Sweep("r")]),
    st.integers(0, 1023),
    st.integers(1, 10**6),
)
def test_redis_does_what_the_reference_says(
    client: redis.Redis, history: list[Operation], number: int, epoch: int
) -> None:
    pair = Pair(client, number, epoch)
    for operation in history:
        pair.do(operation)
    pair.check()


@thorough
@given(operations([SHORT_MS, NEVER_MS], [Sweep(), Sweep("r1"), Pass(2 * SHORT_MS)]))
def test_streaks_end_in_redis_as_the_reference_says(client: redis.Redis, history: list[Operation]) -> None:
    pair = Pair(client, 7, 1)
    for operation in history:
        pair.do(operation)
    pair.check()
    pair.do(Pass(2 * SHORT_MS))
    pair.do(Sweep())
    pair.check()


def test_a_streak_ends_in_time_when_the_timeout_is_made_shorter(client: redis.Redis) -> None:
    pair = Pair(client, 7, 1)
    pair.do(Change("ann", "coins", "aa", 10, "grant"))
    for ref, timeout_ms in (("a", NEVER_MS), ("b", SHORT_MS)):
        send = GiftSend("ann", ref, "aa", "r1", "dan", "rose", price=1, count=1, diamond_count=1, streakable=True)
        pair.do(Gifts((send,), timeout_ms))
    pair.do(Pass(2 * SHORT_MS))
    pair.do(Sweep())
    assert [entry.kind for entry in pair.live.journal()] == ["change", "gift", "gift", "streak_end"]
    pair.check()


@settings(thorough, max_examples=25)
@given(operations([NEVER_MS]), st.data())
def test_what_is_refused_leaves_every_key_as_it_was(
    client: redis.Redis, history: list[Operation], data: st.DataObject
) -> None:
    pair = Pair(client, 7, 1)
    for operation in history:
        pair.do(operation)
    before, now_ms = pair.live.dump(), pair.live.now_ms()
    for operation in data.draw(operations([NEVER_MS])):
        _, outcomes = apply(pair.model, operation, now_ms)
        items = operation.sends if isinstance(operation, Gifts) else [operation]
        refused = [i for i, o in zip(items, outcomes, strict=True) if is_nothing(o)]
        # Looked at one by one: an earlier one of the same call must not change the next one's answer.
        for item in refused:
            alone: Operation = Gifts((item,), NEVER_MS) if isinstance(item, GiftSend) else item
            _, (outcome,) = apply(pair.model, alone, now_ms)
            if is_nothing(outcome):
                (answer,) = answers_of(alone, pair.live.run(*command_of(pair.live, alone)))
                assert timeless(answer) == timeless(outcome)
    assert pair.live.dump() == before
