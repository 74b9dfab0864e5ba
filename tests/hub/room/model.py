"""A room as Redis keeps it, what its channel carries, and viewers who check what they get, without any I/O."""

import json
from collections.abc import Callable
from typing import Any

from livegift.contract.channels import SnapshotHeader, parse_snapshot
from livegift.hub.broadcast import SocketWriter
from livegift.hub.prepared_message import PreparedMessage
from livegift.hub.room.sequence import LogReading


def event(epoch: int, seq: int, kind: str = "gift") -> bytes:
    return b'{"seq":%d,"type":"%b","id":"%d-%d"}' % (seq, kind.encode(), epoch, seq)


def header(epoch: int, seq: int) -> SnapshotHeader:
    return parse_snapshot(b'{"epoch":%d,"seq":%d,"totals":%d,"top":["top %d"],"combos":[]}' % (epoch, seq, seq, seq))


def message(epoch: int, first_seq: int, seq: int, kind: str = "gift") -> bytes:
    line = b'{"epoch":%d,"first_seq":%d,"seq":%d,"totals":%d,"top":["top %d"]}' % (epoch, first_seq, seq, seq, seq)
    return b"\n".join([line, *(event(epoch, n, kind) for n in range(first_seq, seq + 1))])


def reading(epoch: int, seq: int, since: int | None = None, *, is_complete: bool = True) -> LogReading:
    """What a read after `since` finds of a room that is at `seq`."""
    events = [event(epoch, n) for n in range(since + 1, seq + 1)] if since is not None and is_complete else []
    return LogReading(header(epoch, seq), is_complete, events)


class RoomModel:
    """The room in Redis: its numbers, and a log that may not reach back to its beginning."""

    def __init__(self) -> None:
        self.epoch, self.seq, self.trimmed_to = 1, 0, 0

    def publish(self, events: int) -> bytes:
        first_seq = self.seq + 1
        self.seq += events
        return message(self.epoch, first_seq, self.seq)

    def restart(self, seq: int) -> None:
        self.epoch += 1
        self.seq = self.trimmed_to = seq

    def read(self, since: int | None, epoch: int | None) -> LogReading:
        is_complete = since is None or (epoch in (None, self.epoch) and self.trimmed_to <= since <= self.seq)
        return reading(self.epoch, self.seq, since, is_complete=is_complete)


class ModelViewer:
    """A viewer who checks that what comes is contiguous, or announced by a snapshot or a gap."""

    def __init__(self) -> None:
        self.socket_writer = SocketWriter()  # never ready: no socket is written to
        self.epoch: int | None = None
        self.seq: int | None = None
        self.is_full = self.is_lost = False
        self.has_left = True
        self.lags = 0
        self.frames: list[dict[str, Any]] = []
        self.answered: list[object] = []

    @property
    def write_shared(self) -> Callable[[PreparedMessage], bool]:
        return self._write_shared

    def _write_shared(self, message: PreparedMessage) -> bool:
        if self.is_full:
            return False
        self.write(message.payload)
        return True

    def lag(self) -> None:
        assert self.is_full, "one that keeps up must not be taken for slow"
        self.lags += 1

    def write(self, payload: bytes) -> None:
        assert not self.has_left, "nothing comes after it has left"
        frame = json.loads(payload)
        self.frames.append(frame)
        numbers = [one["seq"] for one in frame.get("events", ())]
        if frame["type"] == "room.snapshot":
            self._on_snapshot(frame, numbers)
        elif frame["type"] == "room.gap":
            self.is_lost = frame["to_seq"] != self.seq
        elif frame["type"] == "room.events":
            assert not self.is_lost, "after a gap comes a snapshot"
            assert self.seq is not None, "first comes a snapshot"
            assert (frame["epoch"], frame["first_seq"]) == (self.epoch, self.seq + 1)
            assert numbers == list(range(frame["first_seq"], frame["seq"] + 1))
            assert frame["totals"] == frame["seq"]
            self.seq = frame["seq"]
        assert {one["id"] for one in frame.get("events", ())} == {f"{self.epoch}-{n}" for n in numbers}

    def _on_snapshot(self, frame: dict[str, Any], numbers: list[int]) -> None:
        if "id" in frame:
            assert frame["id"] not in self.answered, "a join is answered once"
            self.answered.append(frame["id"])
        if numbers:
            assert frame["complete"]
            assert self.seq is not None, "who knows nothing has missed nothing"
            assert numbers == list(range(self.seq + 1, frame["seq"] + 1))
        self.epoch, self.seq, self.is_lost = frame["epoch"], frame["seq"], False
