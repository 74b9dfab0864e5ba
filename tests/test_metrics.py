"""Metrics are declared by their owners: the core, or one feature."""

import pkgutil
from collections import Counter as Tally
from importlib import import_module

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

import livegift
from livegift.composition import dev_features, features
from livegift.runtime import metrics


def test_every_metric_is_declared_by_exactly_one_owner() -> None:
    for module in pkgutil.walk_packages(livegift.__path__, "livegift."):
        if not module.name.startswith(("livegift.ledger.migrations", "livegift.__main__")):
            import_module(module.name)
    core = [found for found in vars(metrics).values() if isinstance(found, Counter | Gauge | Histogram)]
    owned = Tally([*core, *(metric for feature in features() + dev_features() for metric in feature.metrics)])
    assert max(owned.values()) == 1, [metric for metric, owners in owned.items() if owners > 1]
    registered = {found for found in REGISTRY._names_to_collectors.values() if _is_ours(found)}
    assert registered == set(owned)


def _is_ours(collector: object) -> bool:
    return isinstance(collector, Counter | Gauge | Histogram) and collector._name.startswith("livegift_")
