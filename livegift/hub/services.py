"""What the connections of one web process share."""

from dataclasses import dataclass
from typing import Protocol

from livegift.hub.debit_batcher import DebitBatcher
from livegift.hub.directory import Directory
from livegift.hub.rates import Admission
from livegift.hub.rooms import RoomFeeds
from livegift.hub.sessions import Sessions
from livegift.hub.timer_wheel import TimerWheel
from livegift.runtime.event_ids import EventIds
from livegift.runtime.identity import Tokens
from livegift.runtime.settings import Settings
from livegift.store.wallets import Wallets


class Drainable(Protocol):
    """A connection, as the hub sees it when it stops."""

    def drain(self, window_s: float) -> None:
        """Say when to come back, then close."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every connection uses."""

    settings: Settings
    tokens: Tokens
    event_ids: EventIds
    wallets: Wallets
    directory: Directory
    debit_batcher: DebitBatcher
    feeds: RoomFeeds
    sessions: Sessions
    timer_wheel: TimerWheel
    admission: Admission
    connections: set[Drainable]
