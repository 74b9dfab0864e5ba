"""docs/reference/metrics.md: every metric with its type, labels and meaning."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from livegift import composition
from livegift.reference.markdown import code, page, table
from livegift.runtime import metrics

INTRODUCTION = """
Each process serves its own metrics in Prometheus' text format ([Operate](../guides/operate.md#metrics)), together with
the usual ones of Python and of the process. Add counters up over all processes; of a gauge that is 0 or 1, take the
largest. A histogram's unit is in its name.
"""


def collectors() -> list[Any]:
    """Return livegift's own metrics, by name."""
    core = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    of_features = [
        metric for feature in composition.features() + composition.dev_features() for metric in feature.metrics
    ]
    return sorted([*core, *of_features], key=exposed_name)


def exposed_name(metric: Any) -> str:
    """Return the name as a scrape has it, without a histogram's `_bucket`, `_sum` and `_count`."""
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for metric in collectors():
        (family,) = metric.describe()
        # The library has no public way to ask for them.
        labels = ", ".join(code(label) for label in metric._labelnames)  # noqa: SLF001
        yield code(exposed_name(metric)), family.type, labels, family.documentation


def write() -> str:
    """Return the page according to the present code."""
    listed = table(("metric", "type", "labels", "meaning"), _rows())
    return page("Metrics", "the metrics of the core and of features", INTRODUCTION, listed)
