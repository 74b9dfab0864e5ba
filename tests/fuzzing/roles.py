"""Who asks, and what the table of rights says that they get."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jwt

from livegift.runtime.access import Rule, Scope
from tests.access_table import ROUTES
from tests.conftest import JWT_SECRET
from tests.system import System

# Whose data nobody who is fuzzed may see; administrators may.
VERA, CARL = "vera-private", "carl"
HOLDER, IBAN = "Quintus Private", "GB82WEST12345698765432"
WHY = "quite-private-reason"


@dataclass(frozen=True)
class Asker:
    """`role` None: with a token that is none, or that has ended; then nothing but the public is allowed."""

    name: str
    role: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    rooms: tuple[str, ...] | None = None

    def refusal(self, rule: Rule, room: str | None) -> int | None:
        """The status that this rule refuses with; None where it lets in, or looks closer later."""
        if rule.is_public or rule.roles is None:
            return None
        if self.role is None:
            return 401
        if self.role not in rule.roles:
            return 403
        is_outside = rule.scope is Scope.ACCOUNT or (rule.scope is Scope.ROOM and room not in (self.rooms or ()))
        return 403 if self.rooms is not None and is_outside else None


def _asker(system: System, user: str, role: str, name: str = "", **claims: object) -> Asker:
    token = system.token(user, role, ttl_s=86_400, **claims)
    rooms = claims.get("rooms")
    return Asker(
        name or role, role, {"Authorization": f"Bearer {token}"}, tuple(rooms) if isinstance(rooms, list) else None
    )


def askers(system: System) -> list[Asker]:
    """Every role, and tokens that are limited, have ended, or are none."""
    foreign = jwt.encode({"sub": "root", "role": "admin", "exp": 2**33}, "k" * 32)
    ended = jwt.encode({"sub": "root", "role": "admin", "exp": 1}, JWT_SECRET)
    return [
        Asker("none", None),
        Asker("expired", None, {"Authorization": f"Bearer {ended}"}),
        Asker("foreign", None, {"Authorization": f"Bearer {foreign}"}),
        _asker(system, "ann", "viewer"),
        _asker(system, "ann", "viewer", "viewer in eu", region="eu"),
        _asker(system, "auth0|x@y", "viewer", "viewer with an odd id"),
        _asker(system, "bob", "creator"),
        _asker(system, "cid", "creator", "other creator"),
        _asker(system, "bob", "creator", "creator of another room", rooms=["r2"]),
        _asker(system, "mo", "moderator"),
        _asker(system, "bob", "overlay", rooms=["r1"]),
        _asker(system, "root", "admin"),
        _asker(system, "rita", "admin", "other admin"),
        _asker(system, "root", "admin", "admin of another room", rooms=["r2"]),
    ]


def rule_of(method: str, path: str) -> Rule | None:
    """The rule of a template's path; None for a method that it does not take."""
    entry = ROUTES.get(("GET" if method == "HEAD" else method, path))
    return None if entry is None else entry.rule
