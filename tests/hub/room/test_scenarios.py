"""What happens to a room's viewers in the order in which it is least convenient."""

import pytest

from livegift.hub.room import pacing
from livegift.hub.room.effects import ForgetDetails, ReadLog
from livegift.hub.room.sequence import LogReading
from tests.hub.room.model import ModelViewer, event, header, message
from tests.hub.room.rig import FLUSH_S, Rig, Task

PENDING_MAX = 5


def following(seq: int = 0) -> tuple[Rig, ModelViewer]:
    """A room at `seq` with one viewer, whose first frame may go at once."""
    rig, viewer = Rig(), ModelViewer()
    if seq:
        rig.room.publish(seq)
    rig.join(viewer)
    rig.settle_down()
    assert viewer.seq == seq
    return rig, viewer


def kinds(viewer: ModelViewer) -> list[str]:
    return [frame["type"].removeprefix("room.") for frame in viewer.frames]


def task(rig: Rig, name: str) -> Task:
    (found,) = [one for one in rig.tasks if getattr(one, "__name__", "") == name]
    return found


def lose_for_good(rig: Rig) -> None:
    """Lose events that the log does not have any more, and have that noticed: a reading is on its way."""
    rig.room.publish(2)
    rig.room.trimmed_to = rig.room.seq
    rig.deliver(rig.room.publish(1))
    rig.step(task(rig, "read_log"))


def test_what_comes_while_the_first_snapshot_is_read_follows_it_without_another_read() -> None:
    rig, viewer = Rig(), ModelViewer()
    rig.join(viewer)
    rig.deliver(rig.room.publish(2))
    rig.step(task(rig, "serve_joins"))
    rig.step(task(rig, "serve_joins"))  # read, and the answer is on its way
    rig.deliver(rig.room.publish(1))
    rig.settle_down()
    assert (kinds(viewer), viewer.seq, rig.reads) == (["snapshot", "events"], 3, 1)


def test_who_has_just_what_was_sent_gets_the_same_frames_as_all() -> None:
    rig, _ = following(7)
    assert not rig.audience._fresh


def test_a_join_does_not_leave_others_waiting_and_begins_after_what_they_got() -> None:
    rig, viewer = following()
    rig.deliver(rig.room.publish(1))
    rig.deliver(rig.room.publish(1))
    assert viewer.seq == 1, "the next frame waits"
    late = ModelViewer()
    rig.join(late)
    rig.step(task(rig, "serve_joins"))
    assert viewer.seq == 2
    rig.settle_down()
    assert kinds(late) == ["snapshot"]
    assert not rig.audience._fresh


def test_a_gap_comes_after_what_was_pending_and_before_the_snapshot_that_frames_wait_for() -> None:
    rig, viewer = following()
    rig.deliver(rig.room.publish(1))
    rig.deliver(rig.room.publish(1))
    lose_for_good(rig)
    rig.step(task(rig, "read_log"))
    assert kinds(viewer) == ["snapshot", "events", "events", "gap"]
    assert (viewer.frames[-1]["from_seq"], viewer.frames[-1]["to_seq"]) == (3, 5)
    rig.deliver(rig.room.publish(1))
    rig.pass_time(2 * FLUSH_S)
    assert kinds(viewer)[-1] == "gap"
    rig.step(task(rig, "make_snapshot"))
    assert kinds(viewer)[-2:] == ["snapshot", "events"], "at once"
    assert viewer.seq == rig.room.seq


def test_only_the_newest_of_two_snapshots_is_written() -> None:
    rig, viewer = following()
    for _ in range(2):
        lose_for_good(rig)
        rig.step(task(rig, "read_log"))
    rig.settle_down()
    assert kinds(viewer) == ["snapshot", "gap", "gap", "snapshot"]
    assert (viewer.seq, rig.reads) == (6, 3), "and the log is read for each hole"


def test_a_room_of_another_epoch_answers_the_join_that_found_it_and_everybody_else() -> None:
    rig, viewer = following(3)
    rig.room.restart(1)
    late = ModelViewer()
    late.seq, late.epoch = 2, 1
    rig.join(late)
    rig.settle_down()
    assert rig.reads == 2, "one for each join"
    assert kinds(viewer) == ["snapshot", "snapshot"], "no gap between numbers of two epochs"
    assert (viewer.epoch, viewer.seq, late.epoch, late.seq) == (2, 1, 2, 1)
    assert kinds(late)[:2] == ["snapshot", "gap"], "it had numbers of another epoch"


def test_a_log_that_was_read_before_a_restart_tells_nothing() -> None:
    rig, viewer = following()
    lose_for_good(rig)
    rig.room.restart(0)
    rig.join(ModelViewer())
    serving = task(rig, "serve_joins")
    while serving in rig.tasks:
        rig.step(serving)
    rig.settle_down()
    assert kinds(viewer) == ["snapshot", "snapshot"]
    assert (viewer.epoch, viewer.seq) == (2, 0)


def test_a_snapshot_that_was_read_before_a_restart_is_read_again() -> None:
    rig, viewer = following()
    late = ModelViewer()
    rig.join(late)
    for _ in range(2):
        rig.step(task(rig, "serve_joins"))  # read, and the answer is on its way
    lose_for_good(rig)
    rig.step(task(rig, "read_log"))
    rig.step(task(rig, "make_snapshot"))
    rig.deliver(rig.room.publish(1))
    rig.settle_down()
    assert (kinds(late), late.seq, late.answered) == (["snapshot"], 4, ["join 2"])
    assert viewer.seq == 4


def test_what_is_held_has_a_limit_and_the_rest_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "ROOM_PENDING_EVENTS_MAX", PENDING_MAX)
    rig, viewer = following()
    lose_for_good(rig)
    rig.step(task(rig, "read_log"))
    for _ in range(3 * PENDING_MAX):
        rig.deliver(rig.room.publish(1))
    assert len(rig.machine._pacing._events) == PENDING_MAX
    rig.settle_down()
    assert viewer.seq == 3 + PENDING_MAX
    rig.deliver(rig.room.publish(1))
    rig.settle_down()
    assert viewer.seq == rig.room.seq


def test_a_snapshot_of_an_earlier_epoch_does_not_take_the_room_back() -> None:
    rig, viewer = following(2)
    late = ModelViewer()
    rig.join(late)
    for _ in range(2):
        rig.step(task(rig, "serve_joins"))  # read, and the answer is on its way
    rig.room.restart(0)
    rig.deliver(rig.room.publish(1))
    for _ in range(2):
        rig.step(task(rig, "read_log"))
    rig.settle_down()
    assert kinds(viewer) == ["snapshot", "snapshot"]
    assert (viewer.epoch, viewer.seq, late.epoch, late.seq) == (2, 1, 2, 1)


def test_an_event_about_the_room_outdates_what_the_ledger_has_said_of_it() -> None:
    rig, _ = following()
    assert not any(isinstance(one, ForgetDetails) for one in rig.machine.on_message(message(1, 1, 1), rig.now_s))
    found = rig.machine.on_message(message(1, 2, 2, "room"), rig.now_s)
    assert isinstance(found[0], ForgetDetails)
    asked = ReadLog(2, 1, 0)
    log = LogReading(header(1, 3), is_complete=True, events=[event(1, 3, "room")])
    assert isinstance(rig.machine.on_log(asked, log, rig.now_s)[0], ForgetDetails)
