"""The metrics of payments, for Prometheus."""

from prometheus_client import Counter

PAYMENT_EVENTS = Counter(
    "livegift_payment_events_total", "Providers' webhooks by what came of them", ["provider", "outcome"]
)
