"""The slots of features: named offers, each read by one part of the system.

Nothing outside a feature's package knows the feature, except the list in `livegift.composition`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import Table

from livegift.contract.errors import ErrorKind
from livegift.contract.event_kinds import EventKind, RoomPart
from livegift.contract.messages import Message
from livegift.http.routing import Entry
from livegift.hub.commands import Command
from livegift.ledger.journal import Booked
from livegift.ledger.participants import Participant
from livegift.operations.audit import Invariant
from livegift.resources.resources import Stores
from livegift.runtime.settings import OwnSettings
from livegift.runtime.sweeps import Sweep


@dataclass(frozen=True, slots=True)
class Background:
    """A feature's work in an aggregator beside booking; `on_booked` is called after each commit."""

    sweeps: tuple[Sweep, ...] = ()
    on_booked: Callable[[Booked], None] | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's offers. An empty slot offers nothing.

    `routes` (ROUTES): its HTTP routes, each with its access rule.
    `commands` (COMMANDS): its WebSocket commands, each with its access rule.
    `events` (EVENTS): the kinds of events that it tells rooms, each with its lane.
    `messages` (MESSAGES): what else it says over WebSockets, each of a type of its own.
    `room` (ROOM): what it adds to a room's snapshot.
    `errors` (ERRORS): the errors that only this feature answers with, beside the table in `livegift.contract.errors`.
    `on_start`: called when a web process starts, so that no request waits for what is kept with `Stores.once`.
    `reasons` (JOURNAL): its reasons of wallets' changes, each with the account on the other side.
    `booking` (BOOKING): its steps in the aggregator's transaction.
    `background` (SWEEPS): made once per aggregator.
    `invariants` (CHECKS): what `livegift audit` proves about it.
    `legs` (CHECKS): queries for changes of accounts (`name`, `change`) by its own rows, where there is no transfer.
    `overdrawing` (CHECKS): its reasons that may take coins which a wallet does not have.
    `tables` (TABLES): its tables in the ledger, each made by a migration.
    `settings` (SETTINGS): the operator's choices about it.
    `metrics` (METRICS): its metrics, beside the core's in `livegift.runtime.metrics`.

    One slot is a module of its own (CLI): `COMMANDS` in the feature's `cli.py` are its commands of `livegift`. They are
    read without this object, so that the command line need not import what all features consist of.
    """

    name: str
    routes: tuple[Entry, ...] = ()
    commands: tuple[Command[Any], ...] = ()
    events: tuple[EventKind, ...] = ()
    messages: tuple[type[Message], ...] = ()
    room: tuple[RoomPart, ...] = ()
    errors: tuple[ErrorKind, ...] = ()
    on_start: tuple[Callable[[Stores], object], ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    booking: tuple[Participant, ...] = ()
    background: Callable[[Stores], Background] | None = None
    invariants: tuple[Invariant, ...] = ()
    legs: tuple[str, ...] = ()
    overdrawing: frozenset[str] = frozenset()
    tables: tuple[Table, ...] = ()
    settings: type[OwnSettings] | None = None
    metrics: tuple[Counter | Gauge | Histogram, ...] = ()
