"""Who may do what, and how often: the rules that HTTP routes and WebSocket commands are made with, and their check.

A route or a command can't be made without one; tests/access_table.txt shows which each has. `moderator` is in no rule
yet, so a token of that role may only do what needs no token.
Ownership (a creator's own room, a user's own order) is checked where the thing itself is known.
Each route also names its rate; `http/rates.py` says what that means in requests. Commands are counted in `hub/`.
"""

from dataclasses import dataclass
from enum import Enum

from livegift.contract.errors import RequestError
from livegift.runtime.identity import Identity, Role


class Scope(Enum):
    """What a token that is limited to rooms (claim `rooms`) may do under a rule that allows its role."""

    ROOM = "the room in the path or the command has to be one of its rooms"
    FOUND = "the same, but the room is known later: whoever finds it calls `require_room`"
    OWN = "everyday things of the bearer's own, such as wallet and orders: any token of the role"
    ACCOUNT = "earnings and operators' acts: no token that is limited to rooms"


class Rate(Enum):
    """What a request costs, and whose budget pays for it."""

    PROBE = "load balancers' questions: a budget of their own, so that no viewer's requests make a process look dead"
    PLAIN = "what is at hand, or a few rows of the bearer's own"
    QUERY = "a question to the ledger that anybody may ask or whose answer is long, and operators' entries"
    COSTLY = "something is written, signed for or asked of a provider"
    WEBHOOK = "providers' news, which come in bursts: a large budget of their own"
    CONNECT = "a WebSocket, which `hub/rates.py` counts"


@dataclass(frozen=True, slots=True)
class Rule:
    """The roles that may do something, and where. `roles` None means anybody, with or without a token."""

    roles: frozenset[Role] | None
    scope: Scope

    @property
    def is_public(self) -> bool:
        """Whether no token is asked for."""
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
    """Raise RequestError('forbidden') unless `identity` may do what `rule` is about, in `room` where it is known."""
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
    """Raise RequestError('forbidden') unless the token is good for `room`."""
    if not identity.may_enter(room):
        raise RequestError("forbidden", f"This token is not for room {room[:64]}.")


def may(rule: Rule, identity: Identity) -> bool:
    """Whether the role is one of the rule's."""
    return rule.roles is None or identity.role in rule.roles
