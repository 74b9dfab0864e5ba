"""Settings: one documented field per environment variable, read once and validated.

They come from the environment; `livegift dev` also writes them into `DATA/env`, which other commands read when the
environment has none of the three that are required.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from livegift.contract.errors import ConfigError
from livegift.domain.clawbacks import RefundPolicy
from livegift.runtime.bounds import DRAIN_WINDOW_MAX_S, PARTITIONS_MAX

PREFIX = "LIVEGIFT_"
DEFAULT_DATA_DIR = Path(".livegift")
JWT_SECRET_BYTES_MIN = 32  # RFC 7518, 3.2: a key of at least the hash's size

# Their values are never shown.
_SECRET = {
    "jwt_secret",
    "jwt_former_secrets",
    "redis_url",
    "database_url",
    "sandbox_secrets",
    "stripe_api_key",
    "stripe_webhook_secrets",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, with its default. A field `x_y` is the variable `LIVEGIFT_X_Y`."""

    redis_url: Annotated[str, Meta(description="redis:// or rediss:// URL of one node, or of any node of a cluster")]
    database_url: Annotated[str, Meta(description="postgresql:// URL of the ledger")]
    jwt_secret: Annotated[str, Meta(description="key of the host product's HS256 tokens, 32 bytes or more")] = ""
    jwt_former_secrets: Annotated[
        str, Meta(description="keys before it, comma-separated, still accepted while tokens of theirs are in use")
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
    port: Annotated[int, Meta(ge=0, le=65_535, description="port; 0 takes a free one")] = 8080
    trusted_proxies: Annotated[
        str,
        Meta(
            description="addresses or networks of proxies whose X-Forwarded-For is believed, comma-separated; * = all"
        ),
    ] = "127.0.0.1,::1"
    web_processes: Annotated[int, Meta(ge=1, le=64, description="web processes on that port")] = 1
    metrics_port: Annotated[int, Meta(ge=0, le=65_535, description="Prometheus port of this process; 0 = none")] = 9464

    metrics_host: Annotated[str, Meta(description="address that metrics are served on, to whoever reaches it")] = (
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
    connections_max: Annotated[int, Meta(ge=0, description="connections of a web process; 0 = no limit")] = 20_000
    connections_per_address_max: Annotated[
        int, Meta(ge=0, description="of them from one address (the one a trusted proxy names); 0 = no limit")
    ] = 1_000
    connects_per_s_max: Annotated[int, Meta(ge=0, description="new ones per second; 0 = no limit")] = 1_000
    requests_per_s_max: Annotated[
        int,
        Meta(
            ge=0,
            description="HTTP requests per second from one address, costly ones count for more; 0 = no limit, nor one "
            "of users",
        ),
    ] = 100
    user_requests_per_s_max: Annotated[int, Meta(ge=0, description="and with one user's tokens; 0 = no limit")] = 20
    drain_s: Annotated[
        float, Meta(ge=0, le=DRAIN_WINDOW_MAX_S, description="over how long a stopping process sends viewers away")
    ] = 4.0
    combo_timeout_ms: Annotated[int, Meta(ge=100, le=60_000, description="a streak ends this long after a send")] = 3000
    fast_path: Annotated[
        bool, Meta(description="frames go straight to the transport; false = plain ASGI, as on another server")
    ] = True
    undo_coins_min: Annotated[
        int, Meta(ge=1, description="gifts from this value on can be undone, where the region has a window for it")
    ] = 1_000
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
    sandbox_secrets: Annotated[
        str,
        Meta(description="signing secrets of the sandbox (no money), comma-separated, the newest first; empty = off"),
    ] = ""
    stripe_api_key: Annotated[str, Meta(description="Stripe's secret key; empty = off")] = ""
    stripe_api_base: Annotated[str, Meta(description="another address of Stripe's API, for tests")] = ""
    stripe_webhook_secrets: Annotated[
        str, Meta(description="signing secrets of Stripe's webhooks, comma-separated: several while one is replaced")
    ] = ""
    reauth_amount: Annotated[
        int, Meta(ge=0, description="purchases worth more US cents than this need a fresh sign-in; 0 = never")
    ] = 10_000
    reauth_age_s: Annotated[int, Meta(ge=1, description="how old that sign-in (claim auth_time) may be")] = 300
    hold_h: Annotated[int, Meta(ge=0, le=8_760, description="hours until diamonds can be paid out; 0 = at once")] = 168
    refund_policy: Annotated[
        RefundPolicy,
        Meta(description="pending diamonds of gifts whose money is given back: creator_keeps or hold_back"),
    ] = "creator_keeps"
    payout_diamonds_min: Annotated[int, Meta(ge=1, description="diamonds of a payout at least")] = 10_000
    payout_diamonds_day_max: Annotated[int, Meta(ge=1, description="and of a creator's payouts per day (UTC)")] = (
        2_000_000
    )
    usd_rates: Annotated[
        str,
        Meta(description="what currencies are worth in USD, for shares and fresh sign-ins: EUR=1.08,GBP=1.27"),
    ] = ""
    gifts_per_minute_max: Annotated[int, Meta(ge=0, description="gifts of a wallet per minute; 0 = no limit")] = 0
    limit_raise_delay_s: Annotated[int, Meta(ge=0, description="how long a raised spending limit waits")] = 86_400
    log_format: Annotated[Literal["json", "console"], Meta(description="how log lines look")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least important lines that are logged")
    ] = "info"

    @property
    def usd_micros_per_unit(self) -> dict[str, int]:
        """`usd_rates` in millionths of a USD. Raises ConfigError."""
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


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines of `path`; comments and blank lines are passed over. A missing file is empty."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#") and "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def load_settings(data_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ` (default: the process's), then from the data folder's `env` file.

    Raises `ConfigError` naming the variable, what was expected and where it can be set.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value != ""}
    env_file = (data_dir or DEFAULT_DATA_DIR) / "env"
    merged = {**read_env_file(env_file), **given}
    if "LIVEGIFT_PORT" not in merged and environ.get("PORT"):
        merged["LIVEGIFT_PORT"] = environ["PORT"]
    fields = {field.name for field in msgspec.structs.fields(Settings)}
    values = {name: merged[PREFIX + name.upper()] for name in sorted(fields) if PREFIX + name.upper() in merged}
    for required in ("redis_url", "database_url"):
        if required not in values:
            raise ConfigError(
                f"{PREFIX}{required.upper()} is not set and {env_file} does not have it: "
                "set it, or run `livegift dev`, which starts private servers and writes that file"
            )
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        got = "" if name in _SECRET else f", got {values.get(name)!r}"
        raise ConfigError(f"{PREFIX}{name.upper()}: {str(error).partition(' - at')[0]}{got}") from None
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < JWT_SECRET_BYTES_MIN:
        raise ConfigError(f"LIVEGIFT_JWT_SECRET must have at least {JWT_SECRET_BYTES_MIN} bytes")
    if any(len(secret.encode()) < JWT_SECRET_BYTES_MIN for secret in secrets_of(settings.jwt_former_secrets)):
        raise ConfigError(f"LIVEGIFT_JWT_FORMER_SECRETS: each must have at least {JWT_SECRET_BYTES_MIN} bytes")
    _check_payments(settings)
    _check_origins(settings)
    _check_proxies(settings)
    _ = settings.usd_micros_per_unit  # raises
    return settings


def _check_proxies(settings: Settings) -> None:
    """Raise ConfigError for anything that is not a network: no proxy would be trusted, and nothing would say so."""
    for network in secrets_of(settings.trusted_proxies):
        try:
            if network != "*":
                ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(
                f"LIVEGIFT_TRUSTED_PROXIES: expected addresses or networks such as 10.0.0.0/8, or *: {error}"
            ) from None


def _check_payments(settings: Settings) -> None:
    """Raise ConfigError for what would let others sign webhooks, or let none in."""
    if any(len(secret.encode()) < JWT_SECRET_BYTES_MIN for secret in secrets_of(settings.sandbox_secrets)):
        raise ConfigError(f"LIVEGIFT_SANDBOX_SECRETS: each must have at least {JWT_SECRET_BYTES_MIN} bytes")
    if bool(settings.stripe_api_key) != bool(secrets_of(settings.stripe_webhook_secrets)):
        raise ConfigError("LIVEGIFT_STRIPE_API_KEY and LIVEGIFT_STRIPE_WEBHOOK_SECRETS: set both or none")
    if settings.stripe_api_key and secrets_of(settings.sandbox_secrets):
        raise ConfigError(
            "LIVEGIFT_STRIPE_API_KEY and LIVEGIFT_SANDBOX_SECRETS are both set, but the sandbox gives coins for no "
            "money to whoever asks for it: set one of them"
        )


def _check_origins(settings: Settings) -> None:
    """Raise ConfigError for anything that no browser would send as an Origin."""
    for origin in secrets_of(settings.allowed_origins):
        if not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", origin):
            raise ConfigError(
                "LIVEGIFT_ALLOWED_ORIGINS: expected origins such as https://live.example, in lower case and without "
                f"a path or a slash at the end, got {origin[:80]!r}"
            )


def secrets_of(text: str) -> list[str]:
    """The secrets of a comma-separated setting."""
    return [secret.strip() for secret in text.split(",") if secret.strip()]


def settings_source(data_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> str | None:
    """The env file that `load_settings` takes values from, or None when the environment has them all."""
    environ = os.environ if environ is None else environ
    path = (data_dir or DEFAULT_DATA_DIR) / "env"
    return str(path) if set(read_env_file(path)) - set(environ) else None
