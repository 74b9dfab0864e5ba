"""Access rules: who may use a route or a command, and at which rate.

No route or command can be made without a rule; tests/access_table.txt lists them all. `moderator` is in no rule yet, so
a token of that role may only do what needs no token. Ownership (a creator's own room, a user's own order) is checked
where the object itself is known. Each route also names its rate; `http/rates.py` translates that into requests.
Commands are counted in `hub/`.
"""

from dataclasses import dataclass
from enum import Enum

from livegift.contract.errors import RequestError
from livegift.runtime.identity import Identity, Role


class Scope(Enum):
    """The reach of a token that is limited to rooms (claim `rooms`), under a rule that allows its role."""

    ROOM = "the room in the path or the command has to be one of its rooms"
    FOUND = "the same, but the room is known later: the code that finds it calls `require_room`"
    OWN = "everyday things of the bearer's own, such as wallet and orders: any token of the role"
    ACCOUNT = "earnings and operators' work: no token that is limited to rooms"


class Rate(Enum):
    """The cost of a request, and the budget that it is taken from."""

    PROBE = "health checks: a budget of their own, so that no viewer's requests make a process look dead"
    PLAIN = "data in memory, or a few rows of the bearer's own"
    QUERY = "a query to the ledger that is public or has a long answer, and operators' changes"
    COSTLY = "a write, a signature check or a call to a provider"
    WEBHOOK = "providers' events, which come in bursts: a large budget of their own"
    CONNECT = "a WebSocket, which `hub/rates.py` counts"


@dataclass(frozen=True, slots=True)
class Rule:
    """The roles that may do something, and where. With `roles` None, anybody may, with or without a token."""

    roles: frozenset[Role] | None
    scope: Scope

    @property
    def is_public(self) -> bool:
        """Return whether no token is needed."""
        return self.roles is None


def _rule(scope: Scope, *roles: Role) -> Rule:
    return Rule(frozenset(roles), scope)


PUBLIC = Rule(None, Scope.OWN)
_GIVERS: tuple[Role, ...] = ("viewer", "creator", "admin")
CONNECT = _rule(Scope.OWN, *_GIVERS, "overlay")
WATCH = _rule(Scope.ROOM, *_GIVERS, "overlay")
SPEND = _rule(Scope.ROOM, *_GIVERS)
WALLET = _rule(Scope.OWN, *_GIVERS)
OWN_GIFT = _rule(Scope.FOUND, *_GIVERS)
OPEN_ROOM = _rule(Scope.FOUND, "creator", "admin")
RUN_ROOM = _rule(Scope.ROOM, "creator", "admin")
BALANCE = _rule(Scope.ACCOUNT, "creator", "admin")
EARNINGS = _rule(Scope.ACCOUNT, "creator")
OPERATE = _rule(Scope.ACCOUNT, "admin")
OPERATE_ROOM = _rule(Scope.ROOM, "admin")


def require(rule: Rule, identity: Identity, room: str | None = None) -> None:
    """Raise RequestError('forbidden') unless the rule allows `identity`, in `room` where it is known."""
    if rule.roles is None:
        return
    if identity.role not in rule.roles:
        raise RequestError(
            "forbidden", f"This needs a token of role {' or '.join(sorted(rule.roles))}, not {identity.role}."
        )
    if rule.scope is Scope.ROOM:
        require_room(identity, room or "")
    elif rule.scope is Scope.ACCOUNT and identity.rooms is not None:
        raise RequestError("forbidden", "This needs a token that is not limited to rooms.")


def require_room(identity: Identity, room: str) -> None:
    """Raise RequestError('forbidden') unless the token is valid for `room`."""
    if not identity.may_enter(room):
        raise RequestError("forbidden", f"This token is not for room {room[:64]}.")


def may(rule: Rule, identity: Identity) -> bool:
    """Return whether the rule allows the role."""
    return rule.roles is None or identity.role in rule.roles
