"""Who is it: JSON Web Tokens (RFC 7519) that the host product signs."""

import re
import time
from typing import Annotated, Literal

import jwt
import msgspec
from msgspec import Meta, Struct

from livegift.errors import ConfigError, RequestError
from livegift.limits import AVATAR_URL_LENGTH_MAX, ID_PATTERN, NAME_LENGTH_MAX, TOKEN_LENGTH_MAX

Role = Literal["viewer", "creator", "moderator", "overlay", "admin"]
ALGORITHM = "HS256"
# Control characters, which PostgreSQL or a terminal may not take, and halves of characters, which are no text.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Identity(Struct, frozen=True):
    """The claims of a valid token. `exp` and `auth_time` (the last sign-in) are seconds since the epoch."""

    sub: Annotated[str, Meta(pattern=ID_PATTERN)]
    exp: float
    name: Annotated[str, Meta(min_length=1)] | None = None
    avatar_url: str | None = None
    role: Role = "viewer"
    rooms: list[str] | None = None
    age_verified: bool = False
    age: Annotated[int, Meta(ge=0, le=150)] | None = None
    region: str | None = None
    auth_time: float | None = None

    @property
    def user(self) -> str:
        """The user's id."""
        return self.sub

    @property
    def shown_name(self) -> str:
        """What others see, without what can't be shown or stored; the id when nothing is left."""
        name = _UNSHOWN.sub("", self.name or "").strip()
        return name[:NAME_LENGTH_MAX] or self.sub

    @property
    def shown_avatar_url(self) -> str | None:
        """An https address of sensible length, or None."""
        url = self.avatar_url
        return (
            url if url and url.isascii() and url.startswith("https://") and len(url) <= AVATAR_URL_LENGTH_MAX else None
        )

    def may_enter(self, room: str) -> bool:
        """Whether the token is good for `room`."""
        return self.rooms is None or room in self.rooms


def _checked(identity: Identity) -> Identity:
    """Raise RequestError for an overlay's token that is not for exactly one room: it stands in addresses."""
    if identity.role == "overlay" and (identity.rooms is None or len(identity.rooms) != 1):
        raise RequestError("unauthenticated", "rooms: expected exactly one room in an overlay's token")
    return identity


class Tokens:
    """Verifies tokens, and signs them for development."""

    def __init__(self, secret: str) -> None:
        """`secret` is the HS256 key shared with the host product. Raises ConfigError when it is empty."""
        if not secret:
            raise ConfigError("LIVEGIFT_JWT_SECRET is not set: it is the key that the host product signs tokens with")
        self._secret = secret

    def verify(self, token: str) -> Identity:
        """The identity of a valid token. Raises RequestError 'token_expired' or 'unauthenticated', saying why."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise RequestError("unauthenticated", f"expected a token of at most {TOKEN_LENGTH_MAX} characters")
        try:
            claims = jwt.decode(token, self._secret, algorithms=[ALGORITHM], options={"require": ["exp", "sub"]})
            return _checked(msgspec.convert(claims, Identity))
        except jwt.ExpiredSignatureError:
            raise RequestError("token_expired") from None
        except jwt.InvalidTokenError as error:
            raise RequestError("unauthenticated", f"The token is not valid: {error}.") from None
        except msgspec.ValidationError as error:
            raise RequestError("unauthenticated", f"A claim of the token is not valid: {error}.") from None

    def sign(self, user: str, role: str = "viewer", *, ttl_s: int = 3600, **claims: object) -> str:
        """A token for `user`; further claims as they are, None left out."""
        given = {name: value for name, value in claims.items() if value is not None}
        payload = {"sub": user, "role": role, "exp": int(time.time()) + ttl_s, **given}
        return jwt.encode(payload, self._secret, algorithm=ALGORITHM)
