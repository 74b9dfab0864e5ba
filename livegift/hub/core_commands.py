"""The hub's own commands. Features offer more."""

from typing import Any

from livegift.contract.commands import GiftSendCommand, Hello, Ping, RoomJoin, RoomLeave
from livegift.hub.commands import Budget, Command
from livegift.hub.connection import Connection
from livegift.runtime.access import CONNECT, PUBLIC, SPEND, WATCH
from livegift.runtime.bounds import HELLOS_BURST_MAX, HELLOS_PER_S_MAX, JOINS_BURST_MAX, JOINS_PER_S_MAX

COMMANDS: tuple[Command[Any], ...] = (
    Command(Ping, PUBLIC, Connection.ping, names=None, needs_hello=False),
    Command(
        Hello,
        CONNECT,
        lambda connection, command: connection.hello(command.token, command.id),
        names=None,
        budget=Budget(HELLOS_PER_S_MAX, HELLOS_BURST_MAX),
        needs_hello=False,
    ),
    Command(RoomJoin, WATCH, Connection.join, budget=Budget(JOINS_PER_S_MAX, JOINS_BURST_MAX)),
    Command(RoomLeave, CONNECT, Connection.leave, names=None),
    Command(
        GiftSendCommand,
        SPEND,
        Connection.send_gift,
        names="ref",
        on_invalid=Connection.refuse_invalid_gift,
        on_failure=Connection.leave_gift_unknown,
    ),
)
