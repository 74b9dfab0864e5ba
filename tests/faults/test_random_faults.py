"""Random faults for less than a minute, and every seed that has ever failed. More: `python -m tests.faults`."""

import os
from dataclasses import dataclass

import pytest

from tests.faults.kinds import REGISTRY
from tests.faults.results import Options
from tests.faults.runner import run_seeds

# Kinds that are known to break something outside livegift, see test_append_only_file.py.
LEFT_OUT = {"tear-transaction"}
# Kinds that take long, for the command line only.
SLOW = {"pause-relay", "pause-aggregator"}
QUICK = tuple(name for name in REGISTRY if name not in LEFT_OUT | SLOW)


@dataclass(frozen=True)
class Seed:
    """A run that can be repeated, as far as real processes repeat anything."""

    seed: int
    operations: int
    faults: int
    kinds: tuple[str, ...] = QUICK


REGRESSIONS: tuple[Seed, ...] = (
    # Viewers got frames of a room's next incarnation before its snapshot.
    Seed(4, 300, 4, ("promote-replica", "demoted-returns", "two-primaries")),
    # After FLUSHALL the relays' cursors began at generation 0 again, and rooms refused everything as read too early.
    Seed(2, 400, 5, ("flushall", "function-flush")),
)
SHORT = Seed(int(os.environ.get("FAULT_SEED", "1")), 600, 12)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [SHORT, *REGRESSIONS], ids=lambda seed: f"seed-{seed.seed}")
async def test_everything_is_right_after_random_faults(seed: Seed) -> None:
    print(f"FAULT_SEED={seed.seed}")
    (result,) = await run_seeds([seed.seed], Options(seed.operations, seed.faults, seed.kinds))
    assert result.violations == [], "\n".join(result.violations[:20])
    assert result.late == [], "\n".join([*result.late[:20], *result.unjudged[:20]])
    assert result.gifts
    assert result.operations == seed.operations
