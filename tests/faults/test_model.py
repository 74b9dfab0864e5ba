"""Tests of the model and the plans: fast, without servers."""

from tests.faults import files
from tests.faults.generator import Send, make_plan
from tests.faults.kinds import REGISTRY
from tests.faults.model import UNKNOWN, Answer, Event, LedgerGift, Loss, Model, Payload

HEART = Payload("r1", "heart")
FIRST = Event(0, 1, 5)


def row(event: Event = FIRST, ts_ms: int = 1_000) -> LedgerGift:
    return LedgerGift("u1", "k1", "r1", "creator-r1", "heart", 1, 5, 5, event, ts_ms)


def model(*answers: Answer, sent_ms: int = 2_000) -> Model:
    made = Model()
    for answer in answers:
        made.answered(made.begin("u1", "k1", HEART, sent_ms), answer)
    return made


ACCEPTED = Answer("accepted", FIRST, 5)


def test_an_accepted_gift_that_is_booked_is_right() -> None:
    assert model(ACCEPTED, Answer("duplicate", FIRST, 5)).compare([row()]).violations == []


def test_an_accepted_gift_must_not_be_gone() -> None:
    assert "the ledger has nothing" in model(ACCEPTED).compare([]).violations[0]


def test_unless_redis_has_lost_it() -> None:
    made = model(ACCEPTED)
    made.losses.append(Loss("test", {0: (1, 4)}))
    verdict = made.compare([])
    assert (verdict.violations, verdict.lost) == ([], {FIRST})


def test_a_loss_before_or_elsewhere_is_no_excuse() -> None:
    for bounds in ({0: (1, 5)}, {1: (1, 0)}, {0: (0, 0)}):
        made = model(ACCEPTED)
        made.losses.append(Loss("test", bounds))
        assert made.compare([]).violations


def test_an_accepted_gift_is_never_rejected_afterwards() -> None:
    made = model(ACCEPTED, Answer("rejected", code="room_ended"))
    assert "was rejected afterwards" in made.compare([row()]).violations[0]


def test_a_rejection_before_it_was_accepted_is_fine() -> None:
    made = model(Answer("rejected", code="insufficient_coins"), ACCEPTED, sent_ms=900)
    assert made.compare([row()]).violations == []


def test_a_conflict_needs_another_payload() -> None:
    made = model(ACCEPTED, Answer("rejected", code="ref_conflict"), sent_ms=900)
    assert "only one payload" in made.compare([row()]).violations[0]


def test_two_gifts_of_a_ref_and_gifts_of_nobody_are_wrong() -> None:
    assert model(ACCEPTED).compare([row(), row(Event(0, 1, 6))]).violations
    assert Model().compare([row()]).violations
    assert model(UNKNOWN).compare([row()]).violations


def test_what_is_unknown_is_asked_for() -> None:
    assert [ref.ref for ref in model(UNKNOWN).unsettled()] == ["k1"]
    assert model(ACCEPTED).unsettled() == []


def test_a_seed_makes_one_plan() -> None:
    first, second, other = (make_plan(seed, 500, 20, tuple(REGISTRY)) for seed in (1, 1, 2))
    assert first == second != other
    operations = [operation for segment in first[1] for operation in segment.operations]
    assert len(operations) == 500
    assert sum(len(operation.webs) > 1 for operation in operations if isinstance(operation, Send)) > 10


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def test_a_cut_file_ends_with_its_last_whole_transaction() -> None:
    before = command(b"SET", b"a", b"1")
    block = command(b"MULTI") + command(b"SET", b"b", b"*3\r\n") + command(b"EXEC")
    data = before + block
    for cut in range(len(before), len(data)):
        assert files.whole_end(data[:cut]) == len(before)
    assert files.whole_end(data) == len(data)
