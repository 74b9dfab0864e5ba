"""Where a frame that is the same for all goes into one connection, and into all of a room.

A room's loop over a thousand viewers waits for memory more than for the processor, so it goes by file descriptors and
touches no object of a viewer at all (decision 018).
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from os import write


def nowhere(frames: bytes) -> None:
    """What takes the rest while there is no connection."""


class Tap:
    """A connection's socket, for frames that are made.

    While it is open, whoever has such a frame may write it to `fd`: the connection is open and keeps up, its transport
    has written everything, and nothing of its own waits to go out before. It is shut before `fd` is closed, or the
    frame would go to whoever gets that number next.
    """

    __slots__ = ("_rooms", "deflates", "fd", "is_open", "write_rest")

    def __init__(self) -> None:
        """Shut. Before it is opened, `fd` is set, and `deflates` if the connection agreed to compressed frames."""
        self.is_open = False
        self.deflates = False
        self.fd = -1
        self.write_rest: Callable[[bytes], object] = nowhere
        """The transport's: it takes what the socket did not."""
        self._rooms: tuple[Taps, ...] = ()

    def open(self) -> None:
        """From now on all rooms may write to the socket."""
        if not self.is_open:
            self.is_open = True
            for room in self._rooms:
                room.opened(self)

    def shut(self) -> None:
        """From now on nobody may."""
        if self.is_open:
            self.is_open = False
            for room in self._rooms:
                room.was_shut(self)

    def send(self, frames: bytes) -> None:
        """Write what is this connection's own, behind what its transport has if it is shut."""
        sent = 0
        if self.is_open:
            with suppress(OSError):  # full, or gone: the transport finds out
                sent = write(self.fd, frames)
        if sent != len(frames):
            self.shut()
            self.write_rest(frames[sent:])

    def enter(self, room: "Taps") -> None:
        """Tell `room` of each change."""
        self._rooms = (*self._rooms, room)

    def leave(self, room: "Taps") -> None:
        """No more."""
        self._rooms = tuple(one for one in self._rooms if one is not room)


class Taps:
    """The connections that a room writes to, by what it takes to do so."""

    def __init__(self) -> None:
        """None yet."""
        # In the order in which they came or were opened, which is kind to the processor's caches.
        self._plain: dict[int, Tap] = {}
        self._deflating: dict[int, Tap] = {}
        self._shut: dict[Tap, None] = {}

    def add(self, tap: Tap) -> None:
        """Write to it as well."""
        tap.enter(self)
        if tap.is_open:
            self._open(tap)
        else:
            self._shut[tap] = None

    def remove(self, tap: Tap) -> None:
        """Write to it no more."""
        tap.leave(self)
        self._shut.pop(tap, None)
        if tap.is_open:
            del self._by_fd(tap)[tap.fd]

    def opened(self, tap: Tap) -> None:
        """One of them has opened."""
        del self._shut[tap]
        self._open(tap)

    def was_shut(self, tap: Tap) -> None:
        """One of them was shut."""
        del self._by_fd(tap)[tap.fd]
        self._shut[tap] = None

    def _open(self, tap: Tap) -> None:
        self._by_fd(tap)[tap.fd] = tap

    def _by_fd(self, tap: Tap) -> dict[int, Tap]:
        return self._deflating if tap.deflates else self._plain

    def write(self, plain: bytes, deflated: Callable[[], bytes], skip: Collection[Tap] = ()) -> list[Tap]:
        """Write to all that are open but `skip`; returns the others, whose connections must be asked."""
        shut = [tap for tap in self._shut if tap not in skip]
        if self._plain:
            _write(self._plain, plain, skip)
        if self._deflating:
            _write(self._deflating, deflated(), skip)
        return shut


def _write(taps: dict[int, Tap], frame: bytes, skip: Collection[Tap]) -> None:
    """The loop that a server of rooms is made for."""
    fds: Iterable[int] = taps
    if skip:
        left_out = {tap.fd for tap in skip}
        fds = [fd for fd in taps if fd not in left_out]
    size = len(frame)
    rests = []
    for fd in fds:
        try:
            sent = write(fd, frame)
        except OSError:
            sent = 0  # full, or gone: the transport finds out
        if sent != size:
            rests.append((taps[fd], sent))
    for tap, sent in rests:
        tap.shut()
        tap.write_rest(frame[sent:])
