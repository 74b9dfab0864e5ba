"""Identities from JSON Web Tokens (RFC 7519) that the host product signs. Only this module reads their claims."""

import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import Annotated, Literal

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm
from msgspec import Meta, Struct

from livegift.contract.bounds import (
    AVATAR_URL_LENGTH_MAX,
    ID_PATTERN,
    NAME_LENGTH_MAX,
    TOKEN_LENGTH_MAX,
    TOKEN_TIME_MAX_S,
    USER_ID_EXPECTED,
    USER_ID_PATTERN,
)
from livegift.contract.errors import ConfigError, RequestError
from livegift.domain.texts import visible
from livegift.runtime.bounds import TOKENS_REMEMBERED_MAX
from livegift.runtime.settings import Settings, secrets_of

Role = Literal["viewer", "creator", "moderator", "overlay", "admin"]
ALGORITHM = "HS256"
_USER_ID = re.compile(USER_ID_PATTERN)
_TIMES = ("exp", "nbf", "auth_time")
# Hosts leave these empty when they don't know them.
_MAY_BE_EMPTY = ("name", "avatar_url", "region")


class Identity(Struct, frozen=True):
    """The claims of a valid token. Times are in seconds since the epoch.

    `exp` is when it expires, the clock's leeway included; `auth_time` is the last sign-in.
    """

    sub: str
    exp: float
    name: str | None = None
    avatar_url: str | None = None
    role: Role = "viewer"
    rooms: list[Annotated[str, Meta(pattern=ID_PATTERN)]] | None = None
    age_verified: bool = False
    age: Annotated[int, Meta(ge=0, le=150)] | None = None
    region: Annotated[str, Meta(pattern=ID_PATTERN)] | None = None
    auth_time: float | None = None

    @property
    def user(self) -> str:
        """Return the user's id."""
        return self.sub

    @property
    def shown_name(self) -> str:
        """Return the name that others see, without invisible characters; the id when nothing is left."""
        return visible(self.name or "", NAME_LENGTH_MAX) or self.sub[:NAME_LENGTH_MAX]

    @property
    def shown_avatar_url(self) -> str | None:
        """Return the avatar if it is an https address of sensible length, else None."""
        url = self.avatar_url
        return (
            url if url and url.isascii() and url.startswith("https://") and len(url) <= AVATAR_URL_LENGTH_MAX else None
        )

    def may_enter(self, room: str) -> bool:
        """Return whether the token is valid for `room`."""
        return self.rooms is None or room in self.rooms


class _Hs256(HMACAlgorithm):
    """HS256 that looks at each secret once: PyJWT asks with every token whether it is a certificate."""

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)
        self._prepared: dict[str | bytes, bytes] = {}  # the few secrets of this process

    def prepare_key(self, key: str | bytes) -> bytes:
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepared[key] = super().prepare_key(key)
        return prepared


_JWS = jwt.PyJWS(algorithms=[])
_JWS.register_algorithm(ALGORITHM, _Hs256())


class VerifiedTokens:
    """The identities of tokens that were found valid, the most recently used ones, by a keyed hash of the token.

    They belong to one `Tokens`, and so to its secrets: whoever takes other secrets begins with none.
    """

    def __init__(self, most: int = TOKENS_REMEMBERED_MAX) -> None:
        """Remember at most `most` tokens."""
        self._most = most
        self._identities: OrderedDict[bytes, Identity] = OrderedDict()
        self._key = token_bytes(32)  # nobody else can tell which tokens have the same digest

    def __len__(self) -> int:
        return len(self._identities)

    def digest(self, token: str) -> bytes:
        """Return the hash under which `token` is remembered; the token itself is not kept."""
        return blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()

    def find(self, digest: bytes) -> Identity | None:
        """Return the identity of a remembered token that has not expired."""
        identity = self._identities.get(digest)
        if identity is None:
            return None
        if time.time() >= identity.exp:
            del self._identities[digest]
            return None
        self._identities.move_to_end(digest)
        return identity

    def remember(self, digest: bytes, identity: Identity) -> None:
        """Remember a valid token in place of the one that was not used for longest."""
        self._identities[digest] = identity
        if len(self._identities) > self._most:
            self._identities.popitem(last=False)


class Tokens:
    """Verifies tokens, and signs them for development."""

    def __init__(
        self,
        secret: str,
        *,
        former_secrets: Sequence[str] = (),
        audiences: Sequence[str] = (),
        issuers: Sequence[str] = (),
        leeway_s: float = 0.0,
    ) -> None:
        """Use the HS256 key shared with the host product; `former_secrets` remain valid while it is replaced.

        Without `audiences` or `issuers` the claims `aud` and `iss` are not checked. Raises ConfigError when the secret
        is empty.
        """
        if not secret:
            raise ConfigError("LIVEGIFT_JWT_SECRET is not set: it is the key that the host product signs tokens with")
        self._secrets = (secret, *former_secrets)
        self._audiences = tuple(audiences)
        self._issuers = tuple(issuers)
        self._leeway_s = leeway_s
        self._verified = VerifiedTokens()

    def verify(self, token: str) -> Identity:
        """Return the identity of a valid token, which is checked once and remembered until it expires.

        Raises RequestError 'token_expired' or 'unauthenticated', saying why.
        """
        if len(token) > TOKEN_LENGTH_MAX:
            raise RequestError("unauthenticated", f"expected a token of at most {TOKEN_LENGTH_MAX} characters")
        digest = self._verified.digest(token)
        identity = self._verified.find(digest)
        if identity is None:
            identity = self._check(token)
            self._verified.remember(digest, identity)
        return identity

    def _check(self, token: str) -> Identity:
        claims = _claims(self._signed_payload(token))
        now_s = time.time()
        times = {name: _time(claims, name) for name in _TIMES}
        exp_s, nbf_s = times["exp"], times["nbf"]
        if exp_s is None:
            raise _refused("exp: expected a time at which the token ends, in seconds since the epoch, got none")
        if now_s >= exp_s + self._leeway_s:
            raise RequestError("token_expired")
        if nbf_s is not None and now_s < nbf_s - self._leeway_s:
            raise _refused("nbf: the token is not valid yet: do the clocks agree?")
        _check_member(claims, "aud", self._audiences, "LIVEGIFT_JWT_AUDIENCE")
        _check_member(claims, "iss", self._issuers, "LIVEGIFT_JWT_ISSUER")
        return _identity({**claims, **times, "exp": exp_s + self._leeway_s})

    def _signed_payload(self, token: str) -> bytes:
        """Return the payload after checking its signature. Raises RequestError('unauthenticated')."""
        for secret in self._secrets:
            try:
                payload = _JWS.decode(token, secret, algorithms=[ALGORITHM])
            except jwt.InvalidSignatureError:
                continue
            # Anybody can write the header: PyJWT raises its own errors, and its libraries theirs for bytes that are not
            # JSON.
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
                raise _refused(f"The token is not valid: {error}.") from None
            return bytes(payload)
        raise _refused("The token is not valid: Signature verification failed.")

    def sign(self, user: str, role: str = "viewer", *, ttl_s: int = 3600, **claims: object) -> str:
        """Return a token for `user` that `verify` accepts.

        Other claims are added unchanged, except those that are None.
        """
        given = {name: value for name, value in claims.items() if value is not None}
        terms = {"aud": self._audiences[:1], "iss": self._issuers[:1]}
        ours = {name: values[0] for name, values in terms.items() if values}
        payload = {"sub": user, "role": role, "exp": int(time.time()) + ttl_s, **ours, **given}
        return jwt.encode(payload, self._secrets[0], algorithm=ALGORITHM)


def tokens_of(settings: Settings) -> Tokens:
    """Create the tokens that the settings describe. Raises ConfigError."""
    return Tokens(
        settings.jwt_secret,
        former_secrets=secrets_of(settings.jwt_former_secrets),
        audiences=secrets_of(settings.jwt_audience),
        issuers=secrets_of(settings.jwt_issuer),
        leeway_s=settings.jwt_leeway_s,
    )


def _refused(detail: str) -> RequestError:
    # The detail may quote a claim, which may contain characters that can't be sent.
    return RequestError("unauthenticated", detail.encode("ascii", "backslashreplace").decode())


def _claims(payload: bytes) -> dict[str, object]:
    """Return the claims, without those that are null."""
    try:
        claims = json.loads(payload.decode())
    except (ValueError, RecursionError):
        raise _refused("The token is not valid: expected its claims as a JSON object in UTF-8.") from None
    if not isinstance(claims, dict):
        raise _refused("The token is not valid: expected its claims as a JSON object.")
    return {name: value for name, value in claims.items() if value is not None}


def _time(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # Compared before it is converted: JSON allows integers of any size. NaN is not in the range either.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TOKEN_TIME_MAX_S:
        raise _refused(f"{name}: expected seconds since the epoch, at most {TOKEN_TIME_MAX_S}")
    return float(value)


def _check_member(claims: Mapping[str, object], name: str, taken: Sequence[str], setting: str) -> None:
    """Refuse a token for another audience or from another issuer; `aud` may be a list."""
    if not taken:
        return
    value = claims.get(name)
    values = value if isinstance(value, list) and name == "aud" else [value]
    if not any(isinstance(one, str) and one in taken for one in values):
        raise _refused(f"{name}: expected one of {setting}")


def _identity(claims: Mapping[str, object]) -> Identity:
    sub = claims.get("sub")
    if not isinstance(sub, str) or not _USER_ID.match(sub):
        raise _refused(f"sub: expected {USER_ID_EXPECTED}")
    fields = Identity.__struct_fields__
    given = {name: claims[name] for name in fields if name in claims}
    for name in _MAY_BE_EMPTY:
        if given.get(name) == "":
            del given[name]
    try:
        identity = msgspec.convert(given, Identity)
    except UnicodeError:  # a surrogate where one of a few words is expected
        raise _refused("The token is not valid: a claim is not text.") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise _refused(
            f"{where.strip('`')}: {what}" if where else f"A claim of the token is not valid: {what}"
        ) from None
    if identity.role == "overlay" and (identity.rooms is None or len(identity.rooms) != 1):
        # Such tokens are part of addresses, which streams show.
        raise _refused("rooms: expected exactly one room in an overlay's token")
    return identity
