"""The composition root: the only list of features. Removing a line and its package removes the feature."""

from collections.abc import Mapping
from pathlib import Path

from livegift.features.audit_trail import feature as audit_trail
from livegift.features.catalogue import feature as catalogue
from livegift.features.corrections import feature as corrections
from livegift.features.demo import feature as demo
from livegift.features.earnings import feature as earnings
from livegift.features.grants import feature as grants
from livegift.features.orders import feature as orders
from livegift.features.payouts import feature as payouts
from livegift.features.receipts import feature as receipts
from livegift.features.rooms import feature as rooms
from livegift.features.slots import Feature
from livegift.features.spending_limits import feature as spending_limits
from livegift.features.sponsors import feature as sponsors
from livegift.features.wallets import feature as wallets
from livegift.ledger.participants import BookingPlan
from livegift.operations.audit import AuditPlan
from livegift.runtime import settings as runtime_settings
from livegift.runtime.settings import Settings

FEATURES: tuple[Feature, ...] = (
    catalogue.FEATURE,
    rooms.FEATURE,
    grants.FEATURE,
    spending_limits.FEATURE,
    wallets.FEATURE,
    receipts.FEATURE,
    orders.FEATURE,
    earnings.FEATURE,
    payouts.FEATURE,
    corrections.FEATURE,
    sponsors.FEATURE,
    audit_trail.FEATURE,
)
# Only `livegift dev` serves these: they give tokens and coins to anybody.
DEV_FEATURES: tuple[Feature, ...] = (demo.FEATURE,)

BOOKING_PLAN = BookingPlan.of(
    (feature.reasons for feature in FEATURES), (step for feature in FEATURES for step in feature.booking)
)
AUDIT_PLAN = AuditPlan(
    invariants=tuple(invariant for feature in FEATURES for invariant in feature.invariants),
    legs=tuple(query for feature in FEATURES for query in feature.legs),
    overdrawing=frozenset(reason for feature in FEATURES for reason in feature.overdrawing),
)
SETTINGS = tuple(feature.settings for feature in FEATURES + DEV_FEATURES if feature.settings is not None)


def load_settings(data_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Load the settings of the core and all features: see `livegift.runtime.settings.load_settings`."""
    return runtime_settings.load_settings(SETTINGS, data_dir, environ)


def make_settings(**values: object) -> Settings:
    """Return the settings of the core and all features, with defaults for those not given. Raises ConfigError."""
    return runtime_settings.make_settings(SETTINGS, values)
