"""`make bench`: what the machine's cores buy, measured on private systems, peers beside them in the same run.

    python -m loadtests.bench [SCENARIO…] [--short] [--seconds 2 …] (see --help; without a name: all)

Prints a table. A full run with its default options writes docs/benchmarks/latest.json, where scenarios that were not
run keep their last figures, each with the time, the machine and how busy that was. Figures are medians of the
repetitions, all of which are in the file. The index of all scenarios is loadtests/README.md.
"""

import sys

from loadtests.bench import aggregator, burst, fan_out, gifts_in, idle, quiet_room, relay, storm, web_processes
from loadtests.harness.processes import ROOT
from loadtests.harness.suite import Scenario, Suite

SUITE = Suite(
    program="loadtests.bench",
    about=(__doc__ or "").splitlines()[0],
    scenarios={
        "gifts-in": Scenario(
            "gifts accepted by one web process (debit in Redis, reply)", gifts_in.GiftsIn, gifts_in.gifts_in
        ),
        "fan-out": Scenario("one room, {viewers:,} viewers, a frame for each event", fan_out.FanOut, fan_out.fan_out),
        "burst": Scenario("one room, {viewers:,} viewers, thousands of gifts a second", burst.Burst, burst.burst),
        "quiet-room": Scenario(
            "a quiet room: how long until the others see a gift", quiet_room.QuietRoom, quiet_room.quiet_room
        ),
        "processes": Scenario(
            "one room, {viewers:,} viewers, on one web process and on more",
            web_processes.WebProcesses,
            web_processes.web_processes,
        ),
        "storm": Scenario("one room, {viewers:,} viewers come back at once", storm.Storm, storm.storm),
        "relay": Scenario("gifts brought to their rooms by one relay", relay.Relay, relay.relay),
        "aggregator": Scenario(
            "gifts booked in PostgreSQL by one aggregator", aggregator.Aggregator, aggregator.aggregator
        ),
        "idle": Scenario("idle connections of one web process", idle.Idle, idle.idle),
    },
    published=ROOT / "docs" / "benchmarks" / "latest.json",
)

if __name__ == "__main__":
    sys.exit(SUITE.main())
