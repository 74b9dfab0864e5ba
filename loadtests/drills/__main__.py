"""Failures under load, measured and repeatable: what viewers notice, what is lost, how long it takes.

    python -m loadtests.drills [SCENARIO…] [--short] [--rate 200 …] (see --help; without a name: all)

Every drill starts private servers and processes, so it needs nothing and leaves nothing behind. It prints a table; a
full run with its default options writes docs/benchmarks/drills.json, where drills that were not run keep their last
figures. Exit code 0 only when every audit of the drill passed. What the figures mean for an operator is in
docs/concepts/durability.md. The index of all scenarios is loadtests/README.md.
"""

import sys

from loadtests.drills import (
    aggregator_lag,
    aof_cut,
    audit_million,
    durability_cost,
    floods,
    ledger_away,
    one_room,
    promotion,
    redis_full,
    redis_restart,
    rolling_restart,
    stalled_readers,
)
from loadtests.harness.processes import ROOT
from loadtests.harness.suite import Scenario, Suite

SUITE = Suite(
    program="loadtests.drills",
    about=(__doc__ or "").splitlines()[0],
    scenarios={
        "ledger-away": Scenario(
            "PostgreSQL stopped under load, then started", ledger_away.LedgerAway, ledger_away.ledger_away
        ),
        "aof-cut": Scenario(
            "Redis lost: killed, its last second cut off, or replaced by its replica", aof_cut.AofCut, aof_cut.aof_cut
        ),
        "promotion": Scenario(
            "A primary of a cluster dies, its replica lags and is promoted", promotion.Promotion, promotion.promotion
        ),
        "floods": Scenario("Connections that send all they can, or half a request", floods.Floods, floods.floods),
        "redis-full": Scenario("Redis' memory fills up", redis_full.RedisFull, redis_full.redis_full),
        "audit-million": Scenario(
            "`livegift audit` of a large ledger", audit_million.AuditMillion, audit_million.audit_million
        ),
        "aggregator": Scenario(
            "How far the ledger is behind", aggregator_lag.AggregatorLag, aggregator_lag.aggregator_lag
        ),
        "one-room": Scenario("One room, {viewers:,} viewers, everything running", one_room.OneRoom, one_room.one_room),
        "stalled-readers": Scenario(
            "{stalled} viewers of a busy room read nothing for {seconds:g} seconds",
            stalled_readers.StalledReaders,
            stalled_readers.stalled_readers,
        ),
        "redis-restart": Scenario(
            "Redis is killed under {viewers:,} viewers and started again",
            redis_restart.RedisRestart,
            redis_restart.redis_restart,
        ),
        "rolling-restart": Scenario(
            "Web processes are restarted one after the other under load",
            rolling_restart.RollingRestart,
            rolling_restart.rolling_restart,
        ),
        "durability-cost": Scenario(
            "What each LIVEGIFT_DURABILITY costs", durability_cost.DurabilityCost, durability_cost.durability_cost
        ),
    },
    published=ROOT / "docs" / "benchmarks" / "drills.json",
)

if __name__ == "__main__":
    sys.exit(SUITE.main())
