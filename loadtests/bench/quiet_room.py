"""A quiet room on the loopback: from the moment a gift was meant to be sent until each of the others has it.

All processes run and none is pinned, as on a small production machine.
"""

from dataclasses import asdict, dataclass
from typing import Any

from loadtests.harness.measure import percentiles
from loadtests.harness.options import number
from loadtests.harness.processes import LoadTestError
from loadtests.harness.results import Result, Row
from loadtests.harness.stack import Stack

COINS = 10**6
ROOM = "quiet"
SENDER = "quiet-sender"
CLIENT_GRACE_S = 60.0
LATE_MS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class QuietRoom:
    """How many gifts, how often, and who watches."""

    gifts: int = number(200, short=10, about="gifts that count")
    warm_up: int = number(5, short=2, about="gifts before them")
    gifts_per_s: float = number(5.0, short=10.0, about="gifts per second")
    viewers: int = number(10, short=3, about="viewers of the room")
    seed: int = number(1, short=1, about="of the jitter between gifts", least=0)


def quiet_room(options: QuietRoom) -> Result:
    """Send gifts slowly. Raises LoadTestError when one was refused or not seen."""
    with Stack() as stack:
        for name in ("web", "relay", "aggregator"):
            stack.start(name)
        stack.wait_ready()
        stack.open_room(ROOM, "quiet-creator")
        stack.grant({SENDER: COINS})
        argv = ["-m", "loadtests.clients.room", "--address", stack.address, "--room", ROOM, "--run", "quiet"]
        argv += ["--sender", SENDER, "--viewers", str(options.viewers), "--gifts", str(options.gifts)]
        argv += ["--gifts-per-s", str(options.gifts_per_s), "--warm-up", str(options.warm_up)]
        argv += ["--seed", str(options.seed)]
        sending_s = (options.gifts + options.warm_up) / options.gifts_per_s
        found: dict[str, Any] = stack.run_client(argv, None, sending_s + CLIENT_GRACE_S)
    if found["missing"] or found["rejected"]:
        raise LoadTestError(f"{found['missing']} gifts were not seen by somebody; refused: {found['rejected']}")
    seen, result, late = (percentiles(found[name]) for name in ("seen_ms", "result_ms", "late_ms"))
    doubts = []
    if late["p99"] > LATE_MS_MAX:
        doubts.append(
            f"the client itself was late with sending (p50 {late['p50']} ms, p99 {late['p99']} ms), "
            "which is part of every figure: the machine was busy"
        )
    rows = [
        Row("seen by others, p50", seen["p50"], "ms", "<= 10"),
        Row("seen by others, p99", seen["p99"], "ms", "<= 30", note=f"{len(found['seen_ms'])} samples"),
        Row("the sender's own result, p50", result["p50"], "ms"),
        Row("the sender's own result, p99", result["p99"], "ms", note=f"{len(found['result_ms'])} samples"),
    ]
    setup: dict[str, object] = asdict(options) | {"network": "loopback"}
    return Result(rows, setup, [{"seen_ms": seen, "result_ms": result, "late_ms": late}], doubts)
