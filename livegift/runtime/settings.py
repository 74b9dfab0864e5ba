"""Settings: one documented field per environment variable, read once and validated.

Each owner declares its own as a struct: the core here, a feature in its `settings.py`. They come from the environment;
`livegift dev` also writes them into `DATA/env`, which other commands read when the environment has none of the three
that are required. `livegift.composition` has the list of owners, and reads them with it.
"""

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from livegift.contract.errors import ConfigError
from livegift.runtime.bounds import DRAIN_WINDOW_MAX_S, PARTITIONS_MAX

PREFIX = "LIVEGIFT_"
DEFAULT_DATA_DIR = Path(".livegift")
JWT_SECRET_BYTES_MIN = 32  # RFC 7518, 3.2: a key of at least the hash's size
SECRET = {"is_secret": True}  # the `extra` of a field whose value is never shown


class OwnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one owner. A field `x_y` is the variable `LIVEGIFT_X_Y`, whoever owns it."""

    def check(self) -> None:
        """Raise ConfigError for what the fields' types can't say."""

    @classmethod
    def dev_secrets(cls, environ: Mapping[str, str]) -> tuple[str, ...]:  # noqa: ARG003 - for those who override it
        """Return the variables that `livegift dev` makes secrets for when `environ` has none."""
        return ()

    @classmethod
    def dev_note(cls, environ: Mapping[str, str]) -> str | None:  # noqa: ARG003 - the same
        """Return a line about these settings for `livegift dev` to print, or None."""
        return None


Own = TypeVar("Own", bound=OwnSettings)


class CoreSettings(OwnSettings, frozen=True, kw_only=True):
    """The settings that do not belong to a feature, with their defaults."""

    redis_url: Annotated[
        str, Meta(description="redis:// or rediss:// URL of one node, or of any node of a cluster", extra=SECRET)
    ]
    database_url: Annotated[str, Meta(description="postgresql:// URL of the ledger", extra=SECRET)]
    jwt_secret: Annotated[
        str, Meta(description="key of the host product's HS256 tokens, 32 bytes or more", extra=SECRET)
    ] = ""
    jwt_former_secrets: Annotated[
        str,
        Meta(
            description="earlier keys, comma-separated, accepted while tokens signed with them are in use",
            extra=SECRET,
        ),
    ] = ""
    jwt_audience: Annotated[
        str, Meta(description="`aud` that tokens must have, several comma-separated; empty = not checked")
    ] = ""
    jwt_issuer: Annotated[
        str, Meta(description="`iss` that tokens must have, several comma-separated; empty = not checked")
    ] = ""
    jwt_leeway_s: Annotated[
        int, Meta(ge=0, le=300, description="seconds by which the host product's clock may differ from ours")
    ] = 10

    host: Annotated[str, Meta(description="address that the web processes listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="port that they listen on; 0: any free one")] = 8080
    trusted_proxies: Annotated[
        str,
        Meta(
            description="addresses or networks of proxies whose X-Forwarded-For is believed, comma-separated; * = all"
        ),
    ] = "127.0.0.1,::1"
    web_processes: Annotated[int, Meta(ge=1, le=64, description="web processes on that port")] = 1
    metrics_port: Annotated[int, Meta(ge=0, le=65_535, description="Prometheus port of this process; 0 = none")] = 9464

    metrics_host: Annotated[str, Meta(description="address that metrics are served on; no token is asked for")] = (
        "127.0.0.1"
    )

    partitions: Annotated[
        int, Meta(ge=1, le=PARTITIONS_MAX, description="wallet partitions, fixed at the first migration")
    ] = 64
    ref_ttl_s: Annotated[int, Meta(ge=60, description="how long an accepted ref is remembered")] = 86_400
    durability: Annotated[Literal["none", "fsync", "replicated"], Meta(description="what a booking waits for")] = (
        "fsync"
    )
    outbox_keep_s: Annotated[int, Meta(ge=0, description="how long booked entries stay in the outbox")] = 3600

    frame_bytes_max: Annotated[int, Meta(ge=1024, description="largest frame from a client")] = 16_384
    room_flush_ms: Annotated[int, Meta(ge=0, le=1000, description="least time between two frames of a room")] = 40
    room_events_max: Annotated[int, Meta(ge=0, description="events per second and viewer; 0 = no cap")] = 200
    always_shown_coins: Annotated[
        int, Meta(ge=1, description="gifts from this value on are shown to everybody, whatever the cap")
    ] = 500
    commands_per_s_max: Annotated[int, Meta(ge=0, description="commands per second and connection; 0 = no cap")] = 50
    connections_max: Annotated[int, Meta(ge=0, description="WebSockets of a web process; 0 = no limit")] = 20_000
    connections_per_address_max: Annotated[
        int, Meta(ge=0, description="WebSockets from one address (that a trusted proxy names); 0 = no limit")
    ] = 1_000
    connects_per_s_max: Annotated[int, Meta(ge=0, description="new WebSockets per second; 0 = no limit")] = 1_000
    requests_per_s_max: Annotated[
        int,
        Meta(
            ge=0,
            description="HTTP requests per second from one address, costly ones count for more; 0 = no limit, nor one "
            "of users",
        ),
    ] = 100
    user_requests_per_s_max: Annotated[int, Meta(ge=0, description="requests per second of one user; 0 = no limit")] = (
        20
    )
    drain_s: Annotated[
        float,
        Meta(ge=0, le=DRAIN_WINDOW_MAX_S, description="over how many seconds a stopping process disconnects"),
    ] = 4.0
    combo_timeout_ms: Annotated[int, Meta(ge=100, le=60_000, description="a streak ends this long after a send")] = 3000
    fast_path: Annotated[
        bool, Meta(description="frames go straight to the transport; false = plain ASGI, as on another server")
    ] = True
    self_gifts: Annotated[bool, Meta(description="whether creators may send gifts to themselves")] = False

    allowed_origins: Annotated[
        str,
        Meta(
            description="origins of the pages that may use this server from browsers (https://live.example), "
            "comma-separated; empty = no CORS, and WebSockets from any page"
        ),
    ] = ""
    public_url: Annotated[str, Meta(description="https:// address that people reach this server at, for checkouts")] = (
        ""
    )
    # Money, of which several features tell.
    hold_h: Annotated[int, Meta(ge=0, le=8_760, description="hours until diamonds can be paid out; 0 = at once")] = 168
    payout_diamonds_min: Annotated[int, Meta(ge=1, description="diamonds of a payout at least")] = 10_000
    usd_rates: Annotated[
        str,
        Meta(description="what currencies are worth in USD, for shares and fresh sign-ins: EUR=1.08,GBP=1.27"),
    ] = ""
    gifts_per_minute_max: Annotated[int, Meta(ge=0, description="gifts of a wallet per minute; 0 = no limit")] = 0
    log_format: Annotated[Literal["json", "console"], Meta(description="how log lines look")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least important lines that are logged")
    ] = "info"

    @property
    def usd_micros_per_unit(self) -> dict[str, int]:
        """Return `usd_rates` in millionths of a USD. Raises ConfigError."""
        found = {}
        for pair in (part.strip() for part in self.usd_rates.split(",") if part.strip()):
            currency, _, rate = pair.partition("=")
            try:
                micros = int(Decimal(rate) * 1_000_000)
            except (InvalidOperation, ValueError, OverflowError):
                micros = 0
            if not (re.fullmatch("[A-Z]{3}", currency) and 0 < micros < 10**12):
                raise ConfigError(f"LIVEGIFT_USD_RATES: expected pairs such as EUR=1.08, got {pair[:40]!r}")
            found[currency] = micros
        return found

    def check(self) -> None:
        """Raise ConfigError for secrets that are too short, and for what is not a network, an origin or a rate."""
        check_secrets("LIVEGIFT_JWT_FORMER_SECRETS", self.jwt_former_secrets)
        if self.jwt_secret and len(self.jwt_secret.encode()) < JWT_SECRET_BYTES_MIN:
            raise ConfigError(f"LIVEGIFT_JWT_SECRET must have at least {JWT_SECRET_BYTES_MIN} bytes")
        _check_origins(self.allowed_origins)
        _check_proxies(self.trusted_proxies)
        _ = self.usd_micros_per_unit  # raises

    @classmethod
    def dev_secrets(cls, environ: Mapping[str, str]) -> tuple[str, ...]:  # noqa: ARG003 - it always needs one
        """Return the variable of the tokens' secret."""
        return ("LIVEGIFT_JWT_SECRET",)


class Settings(CoreSettings, frozen=True, kw_only=True):
    """The core's settings and, with `of`, each feature's."""

    features: tuple[OwnSettings, ...] = ()

    def of(self, owner: type[Own]) -> Own:
        """Return the settings that `owner` declares. Raises LookupError when they were not read."""
        for own in self.features:
            if isinstance(own, owner):
                return own
        raise LookupError(f"{owner.__name__} was not read: its feature must be in the list of livegift.composition")

    def replaced(self, **values: object) -> Self:
        """Return the same settings except for `values`, whoever owns them. Raises ConfigError."""
        owners = [type(own) for own in self.features]
        made = make_settings(owners, {**_values_of(self), **values})
        return type(self)(**{name: getattr(made, name) for name in self.__struct_fields__})


# --- Making them ------------------------------------------------------------------------------------------------------


def declared(owners: Collection[type[OwnSettings]]) -> dict[str, type[OwnSettings]]:
    """Return all fields' names with their owners, the core's first. Raises ValueError for one that two declare."""
    found: dict[str, type[OwnSettings]] = {}
    everybody: list[type[OwnSettings]] = [CoreSettings, *owners]
    for owner in everybody:
        for name in owner.__struct_fields__:
            if name in found:
                raise ValueError(f"{PREFIX}{name.upper()} is declared by {found[name].__name__} and {owner.__name__}")
            found[name] = owner
    return found


def make_settings(owners: Collection[type[OwnSettings]], values: Mapping[str, object]) -> Settings:
    """Return the settings with these values, by their fields' names; numbers may be texts.

    Raises ConfigError, which names the variable and says what was expected and what came, and TypeError for a name that
    no owner declares.
    """
    unknown = values.keys() - declared(owners).keys()
    if unknown:
        raise TypeError(f"no owner declares the settings {', '.join(sorted(unknown))}")
    core = _made(CoreSettings, values)
    core.check()
    of_features = [_made(owner, values) for owner in owners]
    for own in of_features:
        own.check()
    return Settings(**msgspec.structs.asdict(core), features=tuple(of_features))


def _made(owner: type[Own], values: Mapping[str, object]) -> Own:
    mine = {name: values[name] for name in owner.__struct_fields__ if name in values}
    try:
        return msgspec.convert(mine, owner, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        got = "" if is_secret(owner, name) else f", got {mine.get(name)!r}"
        raise ConfigError(f"{PREFIX}{name.upper()}: {str(error).partition(' - at')[0]}{got}") from None


def is_secret(owner: type[OwnSettings], name: str) -> bool:
    """Return whether the value of that field is never shown."""
    annotated = get_type_hints(owner, include_extras=True).get(name)
    return any(meta.extra == SECRET for meta in getattr(annotated, "__metadata__", ()) if isinstance(meta, Meta))


def load_settings(
    owners: Collection[type[OwnSettings]], data_dir: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Load settings from `environ` (default: the process's), then from the data folder's `env` file.

    Variables that no owner declares are ignored. Raises `ConfigError` naming the variable, what was expected and where
    it can be set.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value != ""}
    env_file = (data_dir or DEFAULT_DATA_DIR) / "env"
    merged = {**read_env_file(env_file), **given}
    if "LIVEGIFT_PORT" not in merged and environ.get("PORT"):
        merged["LIVEGIFT_PORT"] = environ["PORT"]
    names = declared(owners)
    values = {name: merged[PREFIX + name.upper()] for name in sorted(names) if PREFIX + name.upper() in merged}
    for required in ("redis_url", "database_url"):
        if required not in values:
            raise ConfigError(
                f"{PREFIX}{required.upper()} is not set and {env_file} does not have it: "
                "set it, or run `livegift dev`, which starts private servers and writes that file"
            )
    return make_settings(owners, values)


def read_env_file(path: Path) -> dict[str, str]:
    """Read the `NAME=value` lines of `path`; comments and blank lines are ignored. A missing file is empty."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#") and "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def settings_source(data_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the env file that `load_settings` takes values from, or None when the environment has them all."""
    environ = os.environ if environ is None else environ
    path = (data_dir or DEFAULT_DATA_DIR) / "env"
    return str(path) if set(read_env_file(path)) - set(environ) else None


def variables_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which another process reads the same settings; empty ones are left out."""
    return {
        PREFIX + name.upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in _values_of(settings).items()
        if value != ""
    }


def _values_of(settings: Settings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in CoreSettings.__struct_fields__}
    return values | {name: value for own in settings.features for name, value in msgspec.structs.asdict(own).items()}


# --- What their values have to be -------------------------------------------------------------------------------------


def secrets_of(text: str) -> list[str]:
    """Return the secrets of a comma-separated setting."""
    return [secret.strip() for secret in text.split(",") if secret.strip()]


def check_secrets(variable: str, text: str) -> None:
    """Raise ConfigError if one of a comma-separated setting's secrets could be guessed."""
    if any(len(secret.encode()) < JWT_SECRET_BYTES_MIN for secret in secrets_of(text)):
        raise ConfigError(f"{variable}: each must have at least {JWT_SECRET_BYTES_MIN} bytes")


def _check_proxies(trusted: str) -> None:
    """Raise ConfigError for anything that is not a network: else no proxy would be trusted, silently."""
    for network in secrets_of(trusted):
        try:
            if network != "*":
                ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(
                f"LIVEGIFT_TRUSTED_PROXIES: expected addresses or networks such as 10.0.0.0/8, or *: {error}"
            ) from None


def _check_origins(allowed: str) -> None:
    """Raise ConfigError for anything that no browser would send as an Origin."""
    for origin in secrets_of(allowed):
        if not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", origin):
            raise ConfigError(
                "LIVEGIFT_ALLOWED_ORIGINS: expected origins such as https://live.example, in lower case and without "
                f"a path or a slash at the end, got {origin[:80]!r}"
            )
