"""Writing shared frames: into one connection's socket, and into those of all viewers of a room.

A room's loop over a thousand viewers waits for memory more than for the processor, so it iterates over file descriptors
and touches no object of a viewer (decision 018).
"""

from collections.abc import Callable, Collection, Iterable
from os import write


def nowhere(frames: bytes) -> None:
    """Discard the rest while there is no connection."""


class SocketWriter:
    """A writer of finished frames to one connection's socket.

    While it is ready, anybody with such a frame may write it to `fd`: the connection is open and keeps up, its
    transport has written everything, and nothing of its own waits to go out first. It is paused before `fd` is closed;
    otherwise the frame would go to the next connection with that number.
    """

    __slots__ = ("_rooms", "deflates", "fd", "is_ready", "write_rest")

    def __init__(self) -> None:
        """Create a paused writer.

        Before it is resumed, set `fd`, and `deflates` if compressed frames were agreed on.
        """
        self.is_ready = False
        self.deflates = False
        self.fd = -1
        self.write_rest: Callable[[bytes], object] = nowhere
        """The transport's method that takes what the socket did not."""
        self._rooms: tuple[Broadcast, ...] = ()

    def resume(self) -> None:
        """Let all rooms write to the socket."""
        if not self.is_ready:
            self.is_ready = True
            for room in self._rooms:
                room.on_resumed(self)

    def pause(self) -> None:
        """Let nobody write to the socket."""
        if self.is_ready:
            self.is_ready = False
            for room in self._rooms:
                room.on_paused(self)

    def send(self, frames: bytes) -> None:
        """Write the connection's own frames, after what its transport still has if the writer is paused."""
        sent = 0
        if self.is_ready:
            try:
                sent = write(self.fd, frames)
            except OSError:
                sent = 0  # full or closed: the transport will notice
        if sent != len(frames):
            self.pause()
            self.write_rest(frames[sent:])

    def enter(self, room: "Broadcast") -> None:
        """Notify `room` of each change."""
        self._rooms = (*self._rooms, room)

    def leave(self, room: "Broadcast") -> None:
        """Stop notifying `room`."""
        self._rooms = tuple(one for one in self._rooms if one is not room)


class Broadcast:
    """The connections that a room writes to, grouped by how they are written to."""

    def __init__(self) -> None:
        """Create an empty broadcast."""
        # In the order in which they came or were resumed, which suits the processor's caches.
        self._plain: dict[int, SocketWriter] = {}
        self._deflating: dict[int, SocketWriter] = {}
        self._paused: dict[SocketWriter, None] = {}

    def add(self, writer: SocketWriter) -> None:
        """Add a connection's writer."""
        writer.enter(self)
        if writer.is_ready:
            self._by_fd(writer)[writer.fd] = writer
        else:
            self._paused[writer] = None

    def remove(self, writer: SocketWriter) -> None:
        """Remove a connection's writer."""
        writer.leave(self)
        self._paused.pop(writer, None)
        if writer.is_ready:
            del self._by_fd(writer)[writer.fd]

    def on_resumed(self, writer: SocketWriter) -> None:
        """Move a writer that was resumed to the ready ones."""
        del self._paused[writer]
        self._by_fd(writer)[writer.fd] = writer

    def on_paused(self, writer: SocketWriter) -> None:
        """Move a writer that was paused away from the ready ones."""
        del self._by_fd(writer)[writer.fd]
        self._paused[writer] = None

    def _by_fd(self, writer: SocketWriter) -> dict[int, SocketWriter]:
        return self._deflating if writer.deflates else self._plain

    def write(
        self, plain: bytes, deflated: Callable[[], bytes], skip: Collection[SocketWriter] = ()
    ) -> list[SocketWriter]:
        """Write to all ready connections but `skip`; returns the paused writers, whose connections must be asked."""
        paused = [writer for writer in self._paused if writer not in skip]
        if self._plain:
            _write(self._plain, plain, skip)
        if self._deflating:
            _write(self._deflating, deflated(), skip)
        return paused


def _write(writers: dict[int, SocketWriter], frame: bytes, skip: Collection[SocketWriter]) -> None:
    """Write one frame to many sockets: the hot loop of a server of rooms."""
    fds: Iterable[int] = writers
    if skip:
        left_out = {writer.fd for writer in skip}
        fds = [fd for fd in writers if fd not in left_out]
    size = len(frame)
    rests = []
    for fd in fds:
        try:
            sent = write(fd, frame)
        except OSError:
            sent = 0  # full or closed: the transport will notice
        if sent != size:
            rests.append((writers[fd], sent))
    for writer, sent in rests:
        writer.pause()
        writer.write_rest(frame[sent:])
