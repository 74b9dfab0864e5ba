"""A room's machine as a whole: whatever is lost, late, doubled or out of order, every viewer can follow the room."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from livegift.hub.room import pacing, sequence
from tests.hub.room.model import ModelViewer
from tests.hub.room.rig import Rig

EVENTS_MAX, PENDING_MAX, EARLY_MAX = 4, 9, 3
indices = st.integers(0, 99)


class Following(RuleBasedStateMachine):
    """Publications, loss, restarts and viewers in any order; each task's steps come between."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig()
        self.channel: list[bytes] = []  # published, and not yet delivered or lost
        self.head = (1, 0)
        self.viewers = [ModelViewer() for _ in range(3)]

    # --- The room -----------------------------------------------------------------------------------------------------

    @rule(events=st.integers(1, EVENTS_MAX))
    def publish(self, events: int) -> None:
        self.channel.append(self.rig.room.publish(events))

    @rule(events=st.integers(1, EVENTS_MAX))
    def publish_and_deliver(self, events: int) -> None:
        self.rig.deliver(self.rig.room.publish(events))

    @precondition(lambda self: self.channel)
    @rule(index=indices, is_doubled=st.booleans())
    def deliver(self, index: int, *, is_doubled: bool) -> None:
        index = 0 if index > 20 else index % len(self.channel)
        self.rig.deliver(self.channel[index] if is_doubled else self.channel.pop(index))

    @precondition(lambda self: self.channel)
    @rule(index=indices)
    def lose(self, index: int) -> None:
        self.channel.pop(index % len(self.channel))

    @rule()
    def poll_head(self) -> None:
        head, self.head = self.head, (self.rig.room.epoch, self.rig.room.seq)
        self.rig.perform(self.rig.machine.on_head(*head))

    @rule()
    def subscribe_again(self) -> None:
        self.rig.perform(self.rig.machine.catch_up(self.rig.machine.seq))

    @rule()
    def trim(self) -> None:
        self.rig.room.trimmed_to = self.rig.room.seq

    @rule(back=st.integers(0, 5))
    def restart(self, back: int) -> None:
        self.rig.room.restart(max(self.rig.room.seq - back, 0))
        self.head = (self.rig.room.epoch, 0)

    @rule(viewers=st.integers(1, 2))
    def pulse(self, viewers: int) -> None:
        self.rig.perform(self.rig.machine.pulse(viewers))

    # --- Time and tasks -----------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.05, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.rig.pass_time(seconds)

    @precondition(lambda self: self.rig.tasks)
    @rule(index=indices, steps=st.integers(1, 4))
    def go_on(self, index: int, steps: int) -> None:
        task = self.rig.tasks[index % len(self.rig.tasks)]
        for _ in range(steps):
            if task in self.rig.tasks:
                self.rig.step(task)

    @precondition(lambda self: self.rig.tasks)
    @rule(index=indices)
    def lose_reply(self, index: int) -> None:
        self.rig.step(self.rig.tasks[index % len(self.rig.tasks)], fails=True)

    @precondition(lambda self: self.rig.retries)
    @rule()
    def retry(self) -> None:
        self.rig.perform(self.rig.machine.drained(self.rig.retries.pop(0).viewer))

    # --- Viewers ------------------------------------------------------------------------------------------------------

    @rule(index=st.integers(0, 2), knows=st.booleans())
    def join(self, index: int, *, knows: bool) -> None:
        viewer = self.viewers[index]
        if not knows:
            viewer.seq = viewer.epoch = None
        if any(joiner.viewer is viewer and joiner.command_id is not None for joiner in self.rig.waiting):
            return  # a connection's commands wait for each other
        self.rig.join(viewer)

    @rule(index=st.integers(0, 2))
    def leave(self, index: int) -> None:
        self.rig.leave(self.viewers[index])

    @rule(index=st.integers(0, 2), is_full=st.booleans())
    def fill_or_drain(self, index: int, *, is_full: bool) -> None:
        self.rig.set_full(self.viewers[index], is_full=is_full)

    @precondition(lambda self: self.rig.waiting)
    @rule(index=indices)
    def give_up(self, index: int) -> None:
        self.rig.give_up(list(self.rig.waiting)[index % len(self.rig.waiting)])

    # --- What must be true --------------------------------------------------------------------------------------------

    @invariant()
    def limits_hold(self) -> None:
        machine = self.rig.machine
        assert len(machine._sequence._early) <= EARLY_MAX
        held = len(machine._pacing._events)
        # One message or reading may come on top of what was just below the limit.
        assert held < PENDING_MAX + (max(EVENTS_MAX, self.rig.longest_reading) if machine._pacing.is_held else 0)

    @invariant()
    def frames_are_contiguous(self) -> None:
        frames = [frame for _, frame in self.rig.frames[-2:]]
        if len(frames) == 2 and frames[0].epoch == frames[1].epoch:
            assert frames[1].first_seq > frames[0].seq

    def teardown(self) -> None:
        """When nothing fails any more, everybody gets to where the room is, and nobody else is left."""
        rig = self.rig
        for viewer in self.viewers:
            rig.set_full(viewer, is_full=False)
        for _ in range(3):
            rig.settle_down()
            while rig.retries:
                rig.perform(rig.machine.drained(rig.retries.pop().viewer))
            self.poll_head()
        rig.settle_down()
        there = [viewer for viewer in self.viewers if not viewer.has_left]
        assert len(rig.audience) == len(there)
        assert not rig.machine.lagging
        assert not rig.machine.is_joining
        assert not rig.waiting
        for viewer in there:
            assert (viewer.epoch, viewer.seq, viewer.is_lost) == (rig.room.epoch, rig.room.seq, False)


def test_every_viewer_can_follow_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "ROOM_PENDING_EVENTS_MAX", PENDING_MAX)
    monkeypatch.setattr(sequence, "ROOM_EARLY_MESSAGES_MAX", EARLY_MAX)
    run_state_machine_as_test(Following, settings=settings(max_examples=100, stateful_step_count=50, deadline=None))
