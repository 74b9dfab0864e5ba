"""docs/reference/protocol.md: commands, messages and events with their fields, from the models and the features."""

import inspect
from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct

from livegift import composition
from livegift.contract.bounds import (
    COMMAND_ID_LENGTH_MAX,
    HELLO_TIMEOUT_S,
    ID_PATTERN,
    PATTERNS,
    ROOMS_PER_CONNECTION_MAX,
    TOKEN_RENEW_TIMEOUT_S,
    USER_ID_EXPECTED,
)
from livegift.contract.commands import SUBPROTOCOL, type_of
from livegift.contract.events import Event
from livegift.contract.messages import MESSAGES
from livegift.processes.app import commands, event_kinds
from livegift.reference.markdown import code, page
from livegift.reference.types import Types
from livegift.runtime.access import Rule

INTRODUCTION = f"""
Clients connect to `/v1/ws` (subprotocol `{SUBPROTOCOL}`) and send one JSON object in each text frame, UTF-8. Its `type`
says what it is. Fields and types can be added: clients ignore what they do not know. Coins and diamonds are integers;
times (`…_ms`) are integers, in milliseconds since 1970. An **id** is {PATTERNS[ID_PATTERN]}; a **user id** is
{USER_ID_EXPECTED}.

**Hello.** A connection begins with `hello`, within {HELLO_TIMEOUT_S:g} s. (`?token=…` in the address does the same, for
overlays that can be given an address only.) When a token expires, the server sends the error `token_expired`; a new
`hello` within {TOKEN_RENEW_TIMEOUT_S:g} s keeps the connection. A connection may join up to {ROOMS_PER_CONNECTION_MAX}
rooms. A frame that is not a JSON object ends the connection ([close codes](errors.md#websocket-close-codes)); an object
that is not a valid command is answered with the error `invalid`, which names the field.

**Answers.** Every command may carry an `id`, a text of up to {COMMAND_ID_LENGTH_MAX} characters or an integer, which
its answer or error carries back unchanged.

**Order.** A room's events are numbered: `seq` rises by one from event to event, and a frame covers `first_seq` to
`seq`. When `first_seq` is more than one above the last `seq` that a client has seen, something is missing: the client
joins again with that `seq` as `since` and the room's `epoch` as `since_epoch`, and the snapshot's `events` are what it
has missed. It drops what is at or below the last `seq` it has seen. When `epoch` changes, the numbering has started
again, and the snapshot replaces everything.

**Gifts.** `ref` is the client's own key, a new one for each gift. The answer is a `gift.result`. When no answer comes,
or an `error` with `"outcome": "unknown"`, the client sends the same command with the same `ref` again until it knows:
the gift is charged once.
"""


PARTS = """
## Parts of a snapshot

Lists that features add to `room.snapshot`. They are empty once the room has ended.
""".strip()


def _described(model: type[Struct]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _section(types: Types, title: str, models: Iterable[type[Struct]], leave_out: Iterable[str]) -> str:
    parts = [f"### `{title}`"]
    for model in models:
        parts += [_described(model), types.fields(model, leave_out=leave_out)]
    return "\n\n".join(part.strip() for part in parts if part)


def _roles(rule: Rule) -> str:
    return "Anybody" if rule.roles is None else "Tokens of role " + ", ".join(map(code, sorted(rule.roles)))


def _commands(types: Types) -> Iterator[str]:
    for name, command in sorted(commands().by_type.items()):
        needs = "" if command.needs_hello else ", also before `hello`"
        yield f"{_section(types, name, [command.kind], ['id'])}\n\n{_roles(command.rule)}{needs}."


def _messages() -> dict[str, list[type[Struct]]]:
    """Return the messages by their type; one type can have several shapes."""
    found: dict[str, list[type[Struct]]] = {}
    for model in (*MESSAGES, *(message for feature in composition.features() for message in feature.messages)):
        found.setdefault(type_of(model), []).append(model)
    return dict(sorted(found.items()))


def _events(types: Types) -> Iterator[str]:
    for kind in sorted(event_kinds(), key=lambda kind: kind.type):
        of = "" if kind.key is None else f", which is {code(kind.key)}"
        shown = f"When more happens than a viewer is shown: {kind.lane.value}{of}."
        yield f"{_section(types, kind.type, [kind.kind], Event.__struct_fields__)}\n\n{shown}"


def _parts(types: Types) -> Iterator[str]:
    """Yield what features add to snapshots."""
    for part in event_kinds().parts.values():
        of = "" if part.shown is None else f", each as {types.words(msgspec.inspect.type_info(part.shown))}"
        latest = f"the latest {code(part.event.type)} events that are not over{of}"
        yield f"- {code(part.name)}: {latest}; {part.values_max} at most"


def _named(types: Types) -> Iterator[str]:
    """Yield what the fields' types consist of; describing one can name more."""
    described: set[str] = set()
    while remaining := sorted(set(types.named) - described):
        for name in remaining:
            described.add(name)
            model = types.named[name]
            yield "\n\n".join([f"### {name}", _described(model), types.fields(model).strip()])


def write() -> str:
    """Return the page as the code has it now."""
    types = Types()
    kept = "\n".join(_parts(types))
    return page(
        "WebSocket protocol",
        "the models in livegift/contract and those of features",
        INTRODUCTION,
        "## Commands\n\nWhat clients send.",
        *_commands(types),
        "## Messages\n\nWhat the server sends to one connection, or to all that have joined a room.",
        *(_section(types, name, models, ["id"]) for name, models in _messages().items()),
        "## Events\n\nWhat happens in a room: the items of `events` in `room.events` and `room.snapshot`. "
        "Each has these fields:",
        types.fields(Event),
        *_events(types),
        *([f"{PARTS}\n\n{kept}"] if kept else []),
        "## Types\n\nWhat fields above refer to.",
        *_named(types),
    )
