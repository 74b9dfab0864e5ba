"""Where a frame that is the same for all goes into one connection."""

from collections.abc import Callable


class Tap:
    """A connection as a room's loop over a thousand viewers sees it: three fields, no call but the write itself.

    While it `is_ready`, whoever has a frame that is made may `send` it: the connection is open, keeps up, agreed to
    compressed frames if it `deflates`, and nothing of its own waits to go out before.
    """

    __slots__ = ("deflates", "is_ready", "send")

    def __init__(self) -> None:
        """Not ready."""
        self.is_ready = False
        self.deflates = False
        self.send: Callable[[bytes], object] = lambda _: None
