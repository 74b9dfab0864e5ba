"""The composition root: the only list of features. Removing a name and its package removes the feature.

A feature is imported when something is asked of it, so that `livegift --help` waits for no feature's stores and routes.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from livegift.contract.errors import ERRORS, ErrorKind
from livegift.runtime import settings as runtime_settings
from livegift.runtime.settings import OwnSettings, Settings

if TYPE_CHECKING:
    from livegift.features.slots import Feature
    from livegift.ledger.participants import BookingPlan
    from livegift.operations.audit import AuditPlan

# Packages of `livegift.features`, in the order of what is collected from them.
NAMES: tuple[str, ...] = (
    "catalogue",
    "rooms",
    "grants",
    "spending_limits",
    "wallets",
    "receipts",
    "orders",
    "earnings",
    "payouts",
    "corrections",
    "sponsors",
    "audit_trail",
)
# Only `livegift dev` serves these: they give tokens and coins to anybody.
DEV_NAMES: tuple[str, ...] = (
    "demo",
)  # fmt: skip


def _load(name: str) -> "Feature":
    feature: Feature = import_module(f"livegift.features.{name}.feature").FEATURE
    return feature


@cache
def features() -> "tuple[Feature, ...]":
    """Return the features of every system."""
    return tuple(_load(name) for name in NAMES)


@cache
def dev_features() -> "tuple[Feature, ...]":
    """Return the features that only `livegift dev` has besides."""
    return tuple(_load(name) for name in DEV_NAMES)


@cache
def booking_plan() -> "BookingPlan":
    """Return the reasons and the steps of all bookings."""
    from livegift.ledger.participants import BookingPlan

    return BookingPlan.of(
        (feature.reasons for feature in features()), (step for feature in features() for step in feature.booking)
    )


@cache
def audit_plan() -> "AuditPlan":
    """Return what `livegift audit` proves."""
    from livegift.operations.audit import AuditPlan

    return AuditPlan(
        invariants=tuple(invariant for feature in features() for invariant in feature.invariants),
        legs=tuple(query for feature in features() for query in feature.legs),
        overdrawing=frozenset(reason for feature in features() for reason in feature.overdrawing),
    )


def cli_commands() -> tuple[click.Command, ...]:
    """Return the commands of the command line that features have. This imports their `cli.py` alone."""
    modules = (f"livegift.features.{name}.cli" for name in NAMES)
    return tuple(command for module in modules if find_spec(module) for command in import_module(module).COMMANDS)


def errors() -> dict[str, ErrorKind]:
    """Return the errors of the core and of all features, by code. Raises RuntimeError for a code that two declare."""
    found = dict(ERRORS)
    for feature in (*features(), *dev_features()):
        for kind in feature.errors:
            if found.setdefault(kind.code, kind) is not kind:
                raise RuntimeError(f"{feature.name}: expected an error code of its own, {kind.code} is there already")
    return found


def settings_owners() -> tuple[type[OwnSettings], ...]:
    """Return the features' settings."""
    return tuple(each.settings for each in (*features(), *dev_features()) if each.settings is not None)


def load_settings(data_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Load the settings of the core and all features: see `livegift.runtime.settings.load_settings`."""
    return runtime_settings.load_settings(settings_owners(), data_dir, environ)


def make_settings(**values: object) -> Settings:
    """Return the settings of the core and all features, with defaults for those not given. Raises ConfigError."""
    return runtime_settings.make_settings(settings_owners(), values)
