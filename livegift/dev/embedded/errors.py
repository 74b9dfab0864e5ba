"""What can go wrong with a private server."""

from livegift.contract.errors import LivegiftError


class EmbeddedError(LivegiftError):
    """A private server can't be started or ended. The message says what was expected, what came and what to do."""


class PortTakenError(EmbeddedError):
    """Another process listens on the port."""
