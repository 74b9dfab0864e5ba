"""The commands that clients may send over a WebSocket: each is one object with its model, its rule and its handler.

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
    """The sender of a command, as its handler sees it."""

    @property
    def identity(self) -> Identity:
        """Return the claims of their token."""

    @property
    def resources(self) -> Resources:
        """Return this process's resources."""

    def answer(self, command_id: CommandId | None, message: Message | bytes) -> None:
        """Write `message` as the answer to the command with that id; never blocks."""


class Budget(NamedTuple):
    """The rate of a type of command on one connection, beside that of all commands."""

    per_s_max: float
    burst_max: int


@dataclass(frozen=True, slots=True)
class Command(Generic[C]):
    """A type of command.

    `handler` answers at once, or returns work to be awaited (an `async` handler does) before the connection's next
    command. RequestError and a store that is away are answered as errors; anything else is logged and answered as
    `internal`. `names` is the field that errors repeat, so that a client knows what they are about. `on_invalid` and
    `on_failure` replace the usual answers to invalid commands and to exceptions of the handler.
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
        """Return the `type` of its frames."""
        return type_of(self.kind)

    def about(self, command: C) -> About:
        """Return the fields that errors of `command` repeat."""
        value: str | None = None if self.names is None else getattr(command, self.names)
        if value is None:
            return {}
        return {"ref": value} if self.names == "ref" else {"room": value}


class Commands:
    """All commands that one process accepts."""

    def __init__(self, commands: Iterable[Command[Any]]) -> None:
        """Combine commands. Raises RuntimeError when two have the same type."""
        self.by_type: dict[str, Command[Any]] = {}
        for command in commands:
            if command.type in self.by_type:
                raise RuntimeError(f"expected one command each of type {command.type}: two features offer it")
            self.by_type[command.type] = command
        self.by_kind: dict[type[Identified], Command[Any]] = {c.kind: c for c in self.by_type.values()}
        self._decoder: msgspec.json.Decoder[Identified] = msgspec.json.Decoder(reduce(or_, self.by_kind))

    def parse(self, text: str | bytes) -> Identified:
        """Parse one frame as a command. Raises BadFrameError or BadCommandError, which names the field."""
        return parse_command(text, self._decoder)
