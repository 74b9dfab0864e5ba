"""What clients may send over a WebSocket: each command is one object with its model, its rule and its handler.

A feature offers `Command(PollVote, WATCH, vote)` with `async def vote(client: Client, command: PollVote) -> None`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from livegift.contract.commands import Identified, type_of
from livegift.contract.messages import About, Message
from livegift.contract.parsing import BadCommandError, parse_command
from livegift.contract.values import CommandId
from livegift.hub.command_queue import Work
from livegift.resources.resources import Resources
from livegift.runtime.access import Rule
from livegift.runtime.identity import Identity

if TYPE_CHECKING:
    from livegift.hub.connection import Connection

C = TypeVar("C", bound=Identified)


class Client(Protocol):
    """Who has sent a command, as its handler sees them."""

    @property
    def identity(self) -> Identity:
        """What their token says."""

    @property
    def resources(self) -> Resources:
        """What this process owns."""

    def answer(self, command_id: CommandId | None, message: Message | bytes) -> None:
        """Write `message` as the answer to the command with that id; never blocks."""


class Budget(NamedTuple):
    """How often a connection may send a command of one type, beside its rate of all commands."""

    per_s_max: float
    burst_max: int


@dataclass(frozen=True, slots=True)
class Command(Generic[C]):
    """One type of command.

    `handler` answers at once, or returns what it has to wait for (an `async` handler does): the connection's next
    command waits for that. RequestError and a store that is away are answered as errors; anything else is logged and
    answered as `internal`. `names` is the field that errors repeat, so that a client knows what they are about.
    `on_invalid` and `on_failure` replace the usual answers to what is not valid and to whatever the handler raises.
    """

    kind: type[C]
    rule: Rule
    handler: Callable[["Connection", C], Work | None]
    names: Literal["room", "ref"] | None = "room"
    budget: Budget | None = None
    needs_hello: bool = True
    on_invalid: Callable[["Connection", BadCommandError], None] | None = None
    on_failure: Callable[["Connection", C], None] | None = None

    @property
    def type(self) -> str:
        """The `type` of its frames."""
        return type_of(self.kind)

    def about(self, command: C) -> About:
        """Return the fields that errors of `command` repeat."""
        value: str | None = None if self.names is None else getattr(command, self.names)
        if value is None:
            return {}
        return {"ref": value} if self.names == "ref" else {"room": value}


class Commands:
    """All commands that one process takes."""

    def __init__(self, commands: Iterable[Command[Any]]) -> None:
        """Raises RuntimeError when two have the same type."""
        self.by_type: dict[str, Command[Any]] = {}
        for command in commands:
            if command.type in self.by_type:
                raise RuntimeError(f"expected one command each of type {command.type}: two features offer it")
            self.by_type[command.type] = command
        self.by_kind: dict[type[Identified], Command[Any]] = {c.kind: c for c in self.by_type.values()}
        self._decoder: msgspec.json.Decoder[Identified] = msgspec.json.Decoder(reduce(or_, self.by_kind))

    def parse(self, text: str | bytes) -> Identified:
        """One frame's command. Raises BadFrameError or BadCommandError, which names the field."""
        return parse_command(text, self._decoder)
