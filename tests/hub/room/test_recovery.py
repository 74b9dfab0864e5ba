"""Loss: the log is read until nothing is missing, the newest snapshot counts, and who has drained is answered once."""

from livegift.hub.frames import NOTHING_KNOWN, Known
from livegift.hub.room.recovery import CatchUp, Lagging, SnapshotToAll
from tests.hub.room.model import ModelViewer, header


def test_the_log_is_read_until_the_newest_target_is_reached() -> None:
    catch_up = CatchUp()
    assert catch_up.want(5)
    assert not catch_up.want(9), "it is being read"
    assert not catch_up.want(7)
    assert catch_up.has_to_go_on(2, 8), "9 is known by now"
    assert not catch_up.has_to_go_on(8, 9)
    assert catch_up.want(3), "that was over"
    assert not catch_up.has_to_go_on(9, 10), "and so was the target"


def test_a_reading_that_leads_nowhere_is_the_last() -> None:
    catch_up = CatchUp()
    catch_up.want(9)
    assert not catch_up.has_to_go_on(4, 4)
    assert catch_up.want(9)
    catch_up.end()
    assert catch_up.want(1)
    assert not catch_up.has_to_go_on(0, 1)


def test_only_the_newest_snapshot_goes_to_all() -> None:
    to_all, older, newer = SnapshotToAll(), header(1, 5), header(1, 5)
    assert to_all.want(older)
    assert not to_all.want(newer), "one message is being made"
    assert to_all.superseding(older) is newer
    assert to_all.superseding(newer) is None
    assert to_all.want(older), "that was over"
    to_all.end()
    assert to_all.want(newer)


def test_who_has_drained_is_brought_up_to_date_once() -> None:
    lagging, viewer, known = Lagging(), ModelViewer(), Known(1, 7, "a")
    assert lagging.drained(viewer) is None
    lagging.fall_behind(viewer, known)
    assert len(lagging) == 1
    rejoin = lagging.drained(viewer)
    assert rejoin is not None
    assert (rejoin.viewer, rejoin.known) == (viewer, known)
    assert lagging.is_current(rejoin)
    assert lagging.drained(viewer) is None, "it has begun"
    assert len(lagging) == 1
    lagging.succeeded(rejoin)
    assert len(lagging) == 0
    assert not lagging.failed(rejoin)
    assert len(lagging) == 0


def test_what_failed_is_tried_again_with_the_same() -> None:
    lagging, viewer, known = Lagging(), ModelViewer(), Known(1, 7, "a")
    lagging.fall_behind(viewer, known)
    rejoin = lagging.drained(viewer)
    assert rejoin is not None
    assert lagging.failed(rejoin)
    assert len(lagging) == 1
    again = lagging.drained(viewer)
    assert again is not None
    assert again.known == known


def test_an_attempt_for_who_has_left_or_fallen_behind_again_counts_no_more() -> None:
    lagging, viewer = Lagging(), ModelViewer()
    lagging.fall_behind(viewer, NOTHING_KNOWN)
    first = lagging.drained(viewer)
    assert first is not None
    lagging.leave(viewer)
    assert len(lagging) == 0
    assert not lagging.is_current(first)
    lagging.fall_behind(viewer, Known(1, 9))
    second = lagging.drained(viewer)
    assert second is not None
    lagging.succeeded(first)
    assert lagging.is_current(second), "it goes on"
    assert not lagging.failed(first)
    assert lagging.is_current(second)
    lagging.leave(viewer)
    lagging.fall_behind(viewer, NOTHING_KNOWN)
    lagging.leave(viewer)
    assert lagging.drained(viewer) is None
