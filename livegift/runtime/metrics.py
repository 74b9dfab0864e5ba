"""The metrics of all processes, for Prometheus. A feature's own are in its `metrics.py`."""

import errno

import structlog
from prometheus_client import Counter, Gauge, Histogram

from livegift.runtime import metrics_server
from livegift.runtime.bounds import METRICS_PORTS_MAX, PORT_MAX

log = structlog.get_logger()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

CONNECTIONS = Gauge("livegift_connections", "Open WebSocket connections of this process")
CONNECTIONS_REFUSED = Counter("livegift_connections_refused_total", "WebSockets refused", ["reason"])
SOCKETS = Gauge("livegift_sockets", "Open sockets of clients, HTTP and WebSocket")
REFUSALS = Counter("livegift_refusals_total", "Refused or closed because of a limit", ["event", "reason"])
GIFTS = Counter("livegift_gifts_total", "Gifts by outcome", ["outcome"])
# Looked up once: finding a label's counter costs more than counting.
GIFTS_BY_OUTCOME = {outcome: GIFTS.labels(outcome) for outcome in ("accepted", "duplicate", "rejected", "unknown")}
GIFT_SECONDS = Histogram(
    "livegift_gift_seconds", "From the arrival of a batch's oldest gift to the results", buckets=_SECONDS
)
GIFT_BATCH = Histogram(
    "livegift_gift_batch", "Gifts per exchange with Redis", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
GIFT_BREAKER_OPEN = Gauge("livegift_gift_breaker_open", "1 while no gifts are sent to a Redis node", ["node"])
GIFTS_SHED = Counter("livegift_gifts_shed_total", "Gifts answered as unknown without being sent", ["reason"])
FRAMES = Counter("livegift_room_frames_total", "Room frames built by this process")
FRAME_WRITES = Counter("livegift_room_frame_writes_total", "Room frames written to viewers")
EVENTS_MERGED = Counter(
    "livegift_room_events_merged_total", "Ordinary gifts shown as part of a later one of their streak"
)
EVENTS_OMITTED = Counter("livegift_room_events_omitted_total", "Ordinary gifts that frames left out, counted in them")
LAGGING = Counter("livegift_lagging_total", "Times that a viewer did not keep up and was skipped")
SLOW_CLOSED = Counter("livegift_slow_closed_total", "Connections closed because they did not read")
PUBLISHED = Counter("livegift_relay_published_total", "Journal entries published to rooms")
UNPUBLISHED = Gauge("livegift_relay_unpublished", "Journal entries read and not yet published")
BOOKED = Counter("livegift_booked_gifts_total", "Gifts booked in the ledger")
BOOK_SECONDS = Histogram("livegift_book_seconds", "One booking transaction", buckets=_SECONDS)
BOOK_LAG_SECONDS = Gauge("livegift_book_lag_seconds", "Age of the oldest gift of the last booked batch")
UNBOOKED = Gauge("livegift_unbooked", "Journal entries written and not yet booked, of the partitions of this worker")
ARM_SECONDS = Histogram("livegift_arm_seconds", "Fencing the rooms and arming partitions", buckets=_SECONDS)
ARMED = Counter("livegift_partitions_armed_total", "Partitions that were armed")
REPAIRED_WALLETS = Counter("livegift_repaired_wallets_total", "Wallets repaired from the ledger")
REVOKED = Counter("livegift_revoked_gifts_total", "Published gifts that Redis lost before they were booked")
QUARANTINED = Counter("livegift_quarantined_total", "Journal entries that could not be booked")
MEMORY_SHORT = Gauge("livegift_redis_memory_short", "1 while a node is short of memory and takes no debits", ["node"])
PARTITIONS_HELD = Gauge("livegift_partitions_held", "Partitions that this worker looks after", ["role"])
PARTITIONS_STOPPED = Gauge("livegift_partitions_stopped", "Partitions that wait for somebody to look at them")


def serve(port: int, host: str) -> None:
    """Serve the metrics of this process on `port` or, if another process has it, on the next free one.

    So the processes of one machine can share a setting. Port 0 serves none; finding no free port is logged, not fatal.
    """
    if port == 0:
        return
    for tried in range(port, min(port + METRICS_PORTS_MAX, PORT_MAX + 1)):
        try:
            metrics_server.start(tried, host)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                log.warning("metrics.not_served", address=host, port=tried, error=str(error))
                return
        else:
            log.info("metrics.serving", address=host, port=tried)
            return
    log.warning("metrics.not_served", address=host, port=port, error=f"{METRICS_PORTS_MAX} ports are taken")
