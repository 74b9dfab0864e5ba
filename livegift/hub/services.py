"""The services that the connections of one web process share."""

from dataclasses import dataclass
from typing import Protocol

from livegift.contract.bounds import GIFT_COUNT_MAX, MESSAGE_LENGTH_MAX, ROOMS_PER_CONNECTION_MAX
from livegift.contract.messages import Limits
from livegift.hub.commands import Commands
from livegift.hub.debit_batcher import DebitBatcher
from livegift.hub.rates import Admission
from livegift.hub.rooms import RoomFeeds
from livegift.hub.sessions import Sessions
from livegift.hub.timer_wheel import TimerWheel
from livegift.resources.resources import Resources
from livegift.runtime.settings import Settings


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
    limits: Limits

    @staticmethod
    def limits_of(settings: Settings) -> Limits:
        """Return the limits that every client is told."""
        return Limits(
            rooms_max=ROOMS_PER_CONNECTION_MAX,
            gift_count_max=GIFT_COUNT_MAX,
            message_length_max=MESSAGE_LENGTH_MAX,
            frame_bytes_max=settings.frame_bytes_max,
            commands_per_s_max=settings.commands_per_s_max,
            combo_timeout_ms=settings.combo_timeout_ms,
        )
