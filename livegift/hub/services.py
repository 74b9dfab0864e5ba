"""The services that the connections of one web process share."""

from dataclasses import dataclass
from typing import Protocol

from livegift.hub.commands import Commands
from livegift.hub.debit_batcher import DebitBatcher
from livegift.hub.rates import Admission
from livegift.hub.rooms import RoomFeeds
from livegift.hub.sessions import Sessions
from livegift.hub.timer_wheel import TimerWheel
from livegift.resources.resources import Resources


class Drainable(Protocol):
    """A connection, as the hub sees it when it stops."""

    def drain(self, window_s: float) -> None:
        """Tell the client when to come back, then close."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services that every connection uses."""

    resources: Resources
    commands: Commands
    debit_batcher: DebitBatcher
    feeds: RoomFeeds
    sessions: Sessions
    timer_wheel: TimerWheel
    admission: Admission
    connections: set[Drainable]
