"""What a process of a private system counts: read from its Prometheus port, which its log names."""

import json
import urllib.request
from contextlib import suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from loadtests.harness.processes import LoadTestError

TIMEOUT_S = 10.0
REFUSALS = "livegift_refusals"  # (event, reason) of what a limit has refused or closed


def metrics_port(log: Path) -> int:
    """Return the port that a process serves its metrics on: the one of its last start. Raises LoadTestError."""
    port = 0
    for line in log.read_text(errors="replace").splitlines():
        with suppress(json.JSONDecodeError, KeyError, TypeError):
            entry = json.loads(line)
            if entry["event"] == "metrics.serving":
                port = int(entry["port"])
    if not port:
        raise LoadTestError(f"{log.name} names no metrics port: start the system with one, see `free_ports`")
    return port


def refusals(log: Path) -> dict[tuple[str, str], int]:
    """Return how often each limit has stopped somebody, by event and reason, in the process with this log."""
    url = f"http://127.0.0.1:{metrics_port(log)}/metrics"
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        text = response.read().decode()
    return {
        (sample.labels["event"], sample.labels["reason"]): int(sample.value)
        for family in text_string_to_metric_families(text)
        if family.name == REFUSALS
        for sample in family.samples
        if sample.name.endswith("_total")
    }
