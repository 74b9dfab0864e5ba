"""Redis runs out of memory, slowly and at once: debits stop in time, what drains goes on, gifting opens again."""

import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.options import number
from loadtests.harness.results import Result, Row
from loadtests.harness.trace import Trace

USERS, ROOMS = 50, 5
MIB = 1024 * 1024
SAMPLE_S = 0.25
BELOW_USED = (0.9, 0.5)  # what can be trimmed is more than a tenth of all, and less than half

Samples = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RedisFull:
    """The load, the limits, and how long each of them holds."""

    rate: float = number(1_000.0, short=500.0, about="gifts per second")
    warm_up_s: float = number(5.0, short=1.0, about="load before there is a limit")
    spare_mib: float = number(16.0, short=2.0, about="how far the limit that load can reach is above what is used")
    fill_s: float = number(60.0, short=4.0, about="how long that limit holds")
    full_s: float = number(8.0, short=1.5, about="how long each limit below what is used holds")
    after_s: float = number(6.0, short=1.5, about="how long there is no limit after each")


def redis_full(options: RedisFull) -> Result:
    """Set limits of Redis' memory, first one that load can reach, then some below what is used already."""
    samples: Samples = []
    with FaultStack() as stack, closing(stack.redis.client()) as client:
        stack.start_all(USERS, ROOMS)
        load = stack.load(rate=options.rate, users=USERS, rooms=ROOMS)
        began = time.monotonic()
        _sample(client, samples, options.warm_up_s)
        limited = time.monotonic()
        limit = _used(client) + int(options.spare_mib * MIB)
        client.config_set("maxmemory", limit)
        _sample(client, samples, options.fill_s)
        raised = time.monotonic()
        client.config_set("maxmemory", 0)
        _sample(client, samples, options.after_s)
        below = [_below(client, samples, share, options) for share in BELOW_USED]
        ended = time.monotonic()
        trace = load.end()
        changes = [
            *stack.logged("aggregator", "memory.short", began),
            *stack.logged("aggregator", "memory.enough", began),
        ]
        retries = len(stack.logged("aggregator", "aggregator.retry", began))
        audit = stack.audit()
    changes.sort(key=lambda change: float(change["at"]))
    shorts = [c for c in changes if c["event"] == "memory.short"]
    enoughs = [c for c in changes if c["event"] == "memory.enough"]
    filled = [c for c in shorts if limited < c["at"] < raised]
    opened = [c for c in enoughs if filled and filled[0]["at"] < c["at"] < raised]
    rows = [
        Row("the limit that load could reach", limit / MIB, "MiB", "", f"{options.spare_mib:g} MiB above the used"),
        Row("filling: until debits stopped", filled[0]["at"] - limited if filled else float("nan"), "s", "",
            f"memory used then: {filled[0]['used']:.1%} of maxmemory" if filled else "never"),
        Row("filling: most memory used", _most(samples, limited, raised), "% of maxmemory", "< 100"),
        Row("filling: times that gifting opened again by itself", len(opened), ""),
        Row("filling: from stopped to open, first time", opened[0]["at"] - filled[0]["at"] if opened else float("nan"),
            "s"),
        *_answers("filling", trace.counts(limited, raised)),
        *(row for each in below for row in _below_rows(each, shorts, trace)),
        *_answers("at the end", trace.counts(ended - 3, ended)),
        Row("bookings that had to be repeated", retries, ""),
        Row("refs without a final answer after repeating", trace.unsettled, "", "0"),
        Row("`livegift audit`, exit code", audit.exit_code, "", "0"),
    ]  # fmt: skip
    run: dict[str, object] = {
        "memory": [{**sample, "t": round(sample["t"] - limited, 2)} for sample in samples],
        "answers_per_s": trace.timeline(began, ended, 1.0, limited),
        "switches": [
            {"t": round(c["at"] - limited, 2), "event": c["event"], "used": c["used"]} for c in changes
        ],
        "marks": {"limit_set": 0.0, "limit_removed": raised - limited,
                  "below_used": [{"share": each.share, "from": each.cut - limited, "until": each.lifted - limited,
                                  "mib": round(each.limit / MIB, 1)} for each in below]},
        "fates": trace.fates(),
        "violations": audit.violations,
    }  # fmt: skip
    setup: dict[str, object] = {
        **asdict(options), "senders": USERS, "rooms": ROOMS, "limit_mib": round(limit / MIB, 1),
    }  # fmt: skip
    return Result(rows, setup, [run])


@dataclass(frozen=True, slots=True)
class _Below:
    """A limit below what is used: `share` of that, from `cut` until `lifted`."""

    share: float
    limit: int
    cut: float
    lifted: float


def _below(client: Any, samples: Samples, share: float, options: RedisFull) -> _Below:
    cut, limit = time.monotonic(), int(_used(client) * share)
    client.config_set("maxmemory", limit)
    _sample(client, samples, options.full_s)
    lifted = time.monotonic()
    client.config_set("maxmemory", 0)
    _sample(client, samples, options.after_s)
    return _Below(share, limit, cut, lifted)


def _below_rows(below: _Below, shorts: list[dict[str, Any]], trace: Trace) -> list[Row]:
    name = f"limit at {below.share:.0%} of what is used"
    noticed = next((c["at"] - below.cut for c in shorts if c["at"] > below.cut), float("nan"))
    return [
        Row(f"{name}: until the aggregator knew", noticed, "s"),
        *_answers(name, trace.counts(below.cut, below.lifted)),
        Row(f"{name}, lifted: until the first gift was accepted",
            _since(trace.first_accepted(below.lifted), below.lifted), "s"),
    ]  # fmt: skip


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])


def _sample(client: Any, samples: Samples, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (at := time.monotonic()) < until:
        memory = client.info("memory")
        used = int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0))
        limit = int(memory["maxmemory"])
        samples.append({"t": at, "used_mib": round(used / MIB, 2), "of_limit": round(used / limit, 3) if limit else 0})
        time.sleep(SAMPLE_S)


def _most(samples: Samples, begin: float, end: float) -> float:
    return max((float(s["of_limit"]) * 100 for s in samples if begin < s["t"] < end), default=0.0)


def _answers(phase: str, counts: "Counter[str]") -> list[Row]:
    return [Row(f"{phase}: {outcome}", count, "gifts") for outcome, count in counts.most_common()]


def _since(at: float | None, since: float) -> float:
    return at - since if at is not None else float("nan")
