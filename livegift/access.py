"""Who may do what: one table of roles and rooms, for HTTP routes and WebSocket commands alike.

What the table does not have nobody may do: a web process with a route that is missing here does not start, and a
command without a rule is refused. `moderator` stands in no rule yet, so a token of that role may do nothing but what
needs no token. Ownership (a creator's own room, a user's own order) is looked at where the thing itself is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from livegift.errors import RequestError
from livegift.identity import Identity, Role


class Scope(Enum):
    """What a token that is limited to rooms (claim `rooms`) may do where a rule has its role."""

    ROOM = "the room in the path or the command has to be one of its rooms"
    FOUND = "the same, but the room is known later: whoever finds it calls `require_room`"
    OWN = "everyday things of the bearer's own, such as wallet and orders: any token of the role"
    ACCOUNT = "earnings and operators' acts: no token that is limited to rooms"


@dataclass(frozen=True, slots=True)
class Rule:
    """Roles that may do something, and where. `roles` None: anybody, with a token or without."""

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

# (method, path as the route has it). HEAD is as GET; "WS" is a WebSocket, whose commands have rules of their own.
ROUTES: Mapping[tuple[str, str], Rule] = {
    ("WS", "/v1/ws"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/v1/gifts"): PUBLIC,
    ("GET", "/v1/coin-packages"): PUBLIC,
    ("GET", "/v1/rates"): PUBLIC,
    ("GET", "/v1/regions"): PUBLIC,
    ("GET", "/v1/regions/{region}"): PUBLIC,
    ("GET", "/v1/rooms"): PUBLIC,
    ("GET", "/v1/rooms/{room}"): PUBLIC,
    ("GET", "/v1/rooms/{room}/matches"): PUBLIC,
    # Providers and payers are known by signatures and by references that nobody can guess.
    ("POST", "/v1/payments/{provider}/webhook"): PUBLIC,
    ("GET", "/v1/payments/sandbox/checkout/{ref}"): PUBLIC,
    ("POST", "/v1/payments/sandbox/checkout/{ref}"): PUBLIC,
    # A viewer's own.
    ("GET", "/v1/wallet"): WALLET,
    ("GET", "/v1/wallet/history"): WALLET,
    ("GET", "/v1/wallet/spend"): WALLET,
    ("GET", "/v1/wallet/limits"): WALLET,
    ("PUT", "/v1/wallet/limits"): WALLET,
    ("GET", "/v1/orders"): WALLET,
    ("POST", "/v1/orders"): WALLET,
    ("GET", "/v1/orders/{order}"): WALLET,
    ("POST", "/v1/orders/{order}/withdraw"): WALLET,
    ("GET", "/v1/gifts/{gift_event_id}/receipt"): OWN_GIFT,
    ("POST", "/v1/gifts/{gift_event_id}/undo"): OWN_GIFT,
    # A creator's.
    ("POST", "/v1/rooms"): OPEN_ROOM,
    ("PATCH", "/v1/rooms/{room}"): RUN_ROOM,
    ("GET", "/v1/creator/balance"): BALANCE,
    ("GET", "/v1/creator/payout-account"): EARNINGS,
    ("PUT", "/v1/creator/payout-account"): EARNINGS,
    ("GET", "/v1/creator/statement"): EARNINGS,
    ("GET", "/v1/payouts"): EARNINGS,
    ("POST", "/v1/payouts"): EARNINGS,
    ("GET", "/v1/payouts/{payout}"): EARNINGS,
    ("DELETE", "/v1/payouts/{payout}"): EARNINGS,
    # Operators.
    ("GET", "/v1/admin/acts"): OPERATE,
    ("GET", "/v1/admin/corrections"): OPERATE,
    ("POST", "/v1/admin/corrections"): OPERATE,
    ("POST", "/v1/admin/corrections/{id}/{decision}"): OPERATE,
    ("GET", "/v1/admin/orders"): OPERATE,
    ("POST", "/v1/admin/orders/{order}/refund"): OPERATE,
    ("GET", "/v1/admin/odd-payments"): OPERATE,
    ("POST", "/v1/admin/odd-payments/{provider}/{event}/{decision}"): OPERATE,
    ("GET", "/v1/admin/payouts"): OPERATE,
    ("POST", "/v1/admin/payouts/{payout}/approve"): OPERATE,
    ("POST", "/v1/admin/payouts/{payout}/reject"): OPERATE,
    ("POST", "/v1/admin/payout-batches"): OPERATE,
    ("GET", "/v1/admin/payout-batches/{batch}"): OPERATE,
    ("POST", "/v1/admin/payout-batches/{batch}/result"): OPERATE,
    ("PUT", "/v1/admin/sender-holds/{user}"): OPERATE,
    ("DELETE", "/v1/admin/sender-holds/{user}"): OPERATE,
    ("PUT", "/v1/admin/users/{user}/freeze"): OPERATE,
    ("DELETE", "/v1/admin/users/{user}/freeze"): OPERATE,
    ("PUT", "/v1/admin/gifts/{gift}"): OPERATE,
    ("GET", "/v1/admin/coin-packages"): OPERATE,
    ("PUT", "/v1/admin/coin-packages/{package}"): OPERATE,
    ("GET", "/v1/admin/promotions"): OPERATE,
    ("PUT", "/v1/admin/promotions/{promotion}"): OPERATE,
    ("GET", "/v1/admin/rooms/{room}/audit"): OPERATE_ROOM,
    ("GET", "/v1/admin/rooms/{room}/matches"): OPERATE_ROOM,
    ("POST", "/v1/admin/rooms/{room}/matches"): OPERATE_ROOM,
    ("DELETE", "/v1/admin/rooms/{room}/matches/{match}"): OPERATE_ROOM,
    # Only `livegift dev` mounts these.
    ("GET", "/"): PUBLIC,
    ("GET", "/demo"): PUBLIC,
    ("POST", "/demo/token"): PUBLIC,
    ("POST", "/demo/coins"): PUBLIC,
}

# The `type` of a client's frame.
COMMANDS: Mapping[str, Rule] = {
    "ping": PUBLIC,
    "hello": CONNECT,
    "room.join": WATCH,
    "room.leave": CONNECT,
    "gift.send": SPEND,
}


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
