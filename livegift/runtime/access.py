"""Who may do what, and how often: one table of roles, rooms and rates, for both HTTP routes and WebSocket commands.

Nobody may do what is not in the table: a web process with a route that is missing here does not start, and a command
without a rule is refused. `moderator` is in no rule yet, so a token of that role may only do what needs no token.
Ownership (a creator's own room, a user's own order) is checked where the thing itself is known.
Each route also names its rate; `api/rates.py` says what that means in requests. Commands are counted in `hub/`.
"""

from collections.abc import Mapping
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

    def at(self, rate: Rate) -> "RouteRule":
        """Return the route's entry with this rule."""
        return RouteRule(self.roles, self.scope, rate)


@dataclass(frozen=True, slots=True)
class RouteRule(Rule):
    """Return the same with a rate, which every route has."""

    rate: Rate


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

# (method, path as in the route). HEAD counts as GET; "WS" is a WebSocket, whose commands have rules of their own.
ROUTES: Mapping[tuple[str, str], RouteRule] = {
    ("WS", "/v1/ws"): PUBLIC.at(Rate.CONNECT),
    ("GET", "/healthz"): PUBLIC.at(Rate.PROBE),
    ("GET", "/readyz"): PUBLIC.at(Rate.PROBE),
    ("GET", "/v1/gifts"): PUBLIC.at(Rate.QUERY),
    ("GET", "/v1/coin-packages"): PUBLIC.at(Rate.QUERY),
    ("GET", "/v1/rates"): PUBLIC.at(Rate.QUERY),
    ("GET", "/v1/regions"): PUBLIC.at(Rate.PLAIN),
    ("GET", "/v1/regions/{region}"): PUBLIC.at(Rate.PLAIN),
    ("GET", "/v1/rooms"): PUBLIC.at(Rate.QUERY),
    ("GET", "/v1/rooms/{room}"): PUBLIC.at(Rate.QUERY),
    ("GET", "/v1/rooms/{room}/matches"): PUBLIC.at(Rate.QUERY),
    # Providers and payers are known by signatures and by references that nobody can guess.
    ("POST", "/v1/payments/{provider}/webhook"): PUBLIC.at(Rate.WEBHOOK),
    ("GET", "/v1/payments/sandbox/checkout/{ref}"): PUBLIC.at(Rate.QUERY),
    ("POST", "/v1/payments/sandbox/checkout/{ref}"): PUBLIC.at(Rate.COSTLY),
    # A viewer's own.
    ("GET", "/v1/wallet"): WALLET.at(Rate.PLAIN),
    ("GET", "/v1/wallet/history"): WALLET.at(Rate.QUERY),
    ("GET", "/v1/wallet/spend"): WALLET.at(Rate.PLAIN),
    ("GET", "/v1/wallet/limits"): WALLET.at(Rate.PLAIN),
    ("PUT", "/v1/wallet/limits"): WALLET.at(Rate.COSTLY),
    ("GET", "/v1/orders"): WALLET.at(Rate.PLAIN),
    ("POST", "/v1/orders"): WALLET.at(Rate.COSTLY),
    ("GET", "/v1/orders/{order}"): WALLET.at(Rate.PLAIN),
    ("POST", "/v1/orders/{order}/withdraw"): WALLET.at(Rate.COSTLY),
    ("GET", "/v1/gifts/{gift_event_id}/receipt"): OWN_GIFT.at(Rate.PLAIN),
    ("POST", "/v1/gifts/{gift_event_id}/undo"): OWN_GIFT.at(Rate.COSTLY),
    # A creator's.
    ("POST", "/v1/rooms"): OPEN_ROOM.at(Rate.COSTLY),
    ("PATCH", "/v1/rooms/{room}"): RUN_ROOM.at(Rate.COSTLY),
    ("GET", "/v1/creator/balance"): BALANCE.at(Rate.PLAIN),
    ("GET", "/v1/creator/payout-account"): EARNINGS.at(Rate.PLAIN),
    ("PUT", "/v1/creator/payout-account"): EARNINGS.at(Rate.COSTLY),
    ("GET", "/v1/creator/statement"): EARNINGS.at(Rate.QUERY),
    ("GET", "/v1/payouts"): EARNINGS.at(Rate.PLAIN),
    ("POST", "/v1/payouts"): EARNINGS.at(Rate.COSTLY),
    ("GET", "/v1/payouts/{payout}"): EARNINGS.at(Rate.PLAIN),
    ("DELETE", "/v1/payouts/{payout}"): EARNINGS.at(Rate.COSTLY),
    # Operators.
    ("GET", "/v1/admin/acts"): OPERATE.at(Rate.QUERY),
    ("GET", "/v1/admin/corrections"): OPERATE.at(Rate.QUERY),
    ("POST", "/v1/admin/corrections"): OPERATE.at(Rate.COSTLY),
    ("POST", "/v1/admin/corrections/{id}/{decision}"): OPERATE.at(Rate.COSTLY),
    ("GET", "/v1/admin/orders"): OPERATE.at(Rate.QUERY),
    ("POST", "/v1/admin/orders/{order}/refund"): OPERATE.at(Rate.COSTLY),
    ("GET", "/v1/admin/odd-payments"): OPERATE.at(Rate.QUERY),
    ("POST", "/v1/admin/odd-payments/{provider}/{event}/{decision}"): OPERATE.at(Rate.COSTLY),
    ("GET", "/v1/admin/payouts"): OPERATE.at(Rate.QUERY),
    ("POST", "/v1/admin/payouts/{payout}/approve"): OPERATE.at(Rate.COSTLY),
    ("POST", "/v1/admin/payouts/{payout}/reject"): OPERATE.at(Rate.COSTLY),
    ("POST", "/v1/admin/payout-batches"): OPERATE.at(Rate.COSTLY),
    ("GET", "/v1/admin/payout-batches/{batch}"): OPERATE.at(Rate.QUERY),
    ("POST", "/v1/admin/payout-batches/{batch}/result"): OPERATE.at(Rate.COSTLY),
    ("PUT", "/v1/admin/sender-holds/{user}"): OPERATE.at(Rate.QUERY),
    ("DELETE", "/v1/admin/sender-holds/{user}"): OPERATE.at(Rate.QUERY),
    ("PUT", "/v1/admin/users/{user}/freeze"): OPERATE.at(Rate.QUERY),
    ("DELETE", "/v1/admin/users/{user}/freeze"): OPERATE.at(Rate.QUERY),
    ("PUT", "/v1/admin/gifts/{gift}"): OPERATE.at(Rate.QUERY),
    ("GET", "/v1/admin/coin-packages"): OPERATE.at(Rate.PLAIN),
    ("PUT", "/v1/admin/coin-packages/{package}"): OPERATE.at(Rate.QUERY),
    ("GET", "/v1/admin/promotions"): OPERATE.at(Rate.PLAIN),
    ("PUT", "/v1/admin/promotions/{promotion}"): OPERATE.at(Rate.QUERY),
    ("GET", "/v1/admin/rooms/{room}/audit"): OPERATE_ROOM.at(Rate.COSTLY),
    ("GET", "/v1/admin/rooms/{room}/matches"): OPERATE_ROOM.at(Rate.PLAIN),
    ("POST", "/v1/admin/rooms/{room}/matches"): OPERATE_ROOM.at(Rate.COSTLY),
    ("DELETE", "/v1/admin/rooms/{room}/matches/{match}"): OPERATE_ROOM.at(Rate.QUERY),
    # Only `livegift dev` mounts these.
    ("GET", "/"): PUBLIC.at(Rate.PLAIN),
    ("GET", "/demo"): PUBLIC.at(Rate.PLAIN),
    ("POST", "/demo/token"): PUBLIC.at(Rate.COSTLY),
    ("POST", "/demo/coins"): PUBLIC.at(Rate.COSTLY),
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
