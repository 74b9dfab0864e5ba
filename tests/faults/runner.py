"""The runner of seeds: each has a plan of its own, servers of its own, and a verdict."""

import asyncio
import logging
import time
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import structlog
from redis.exceptions import RedisError

from livegift.contract.errors import LivegiftError
from livegift.dev.embedded import start_postgres
from livegift.ledger import schema
from livegift.ledger.engine import Database
from tests.conftest import PARTITIONS
from tests.faults import settling
from tests.faults.commerce import make_deals
from tests.faults.generator import POOR, ROOMS_LIVE, USERS, creator_of, make_plan
from tests.faults.kinds import REGISTRY
from tests.faults.patience import NotInTimeError, Patience
from tests.faults.results import Options, Result
from tests.faults.run import Run
from tests.faults.world import World

# Exceptions in the harness when servers and processes don't start, answer or end in time.
IN_VAIN = (NotInTimeError, AssertionError, OSError, LivegiftError, RedisError, psycopg.Error)


async def _with_template(folder: Path) -> Path:
    """Create the data of a PostgreSQL with the schema, to be copied."""
    server = await asyncio.to_thread(start_postgres, folder)
    try:
        database = Database(server.url)
        await schema.migrate(database, PARTITIONS)
        await database.aclose()
    finally:
        await asyncio.to_thread(server.stop)
    return folder


async def run_seeds(seeds: list[int], options: Options, on_result: object = None) -> list[Result]:
    """Run each seed on servers of its own, one after the other."""
    # The harness restores and migrates in its own process; the output belongs in no report.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    results = []
    with TemporaryDirectory(prefix="livegift-faults-") as name:
        template = await _with_template(Path(name) / "template")
        for seed in seeds:
            folder = (options.keep or Path(name)) / f"seed-{seed}"
            folder.mkdir(parents=True)
            result = await run_seed(seed, options, folder, template)
            results.append(result)
            if callable(on_result):
                on_result(result)
    return results


async def run_seed(seed: int, options: Options, folder: Path, template: Path) -> Result:
    """Run one plan from start to verdict."""
    result, patience = Result(seed), Patience(0)
    try:
        async with AsyncExitStack() as stack:
            await _run_plan(await stack.enter_async_context(World(folder, template)), stack, options, result)
    except (*IN_VAIN, ExceptionGroup) as error:
        if isinstance(error, ExceptionGroup) and error.split(IN_VAIN)[1] is not None:
            raise  # a mistake of the harness
        # The other seeds have servers of their own; this one says nothing about the system.
        result.late.append(f"the harness did not get through: {error!r}")
        result.notes += traceback.format_exception(error)
    if result.late:
        result.unjudged, result.violations = result.unjudged + result.violations, []
    result.seconds, result.starved = round(patience.waited_s, 1), round(patience.share, 2)
    return result


async def _run_plan(world: World, stack: AsyncExitStack, options: Options, result: Result) -> None:
    run, began = Run(world, result), time.monotonic()
    names = options.kinds or tuple(REGISTRY)
    before, segments = make_plan(result.seed, options.operations, options.faults, names)
    await run.open(stack)
    creators = [creator_of(f"r{i}") for i in range(ROOMS_LIVE)]
    deals = make_deals(result.seed, options.operations, USERS, POOR, creators)
    await run.play(before, segments, deals)
    result.phases["play"] = round(time.monotonic() - began, 1)
    verdict = await settling.settle_and_check(run)
    result.phases["judge"] = round(time.monotonic() - began - result.phases["play"], 1)
    result.violations += verdict.violations
    result.late += verdict.late
    result.unjudged += verdict.unjudged
    result.gifts, result.lost = verdict.gifts, len(verdict.lost)
    (row,) = await world.query("SELECT count(*), (SELECT count(*) FROM gift_matches) FROM sponsor_matches")
    result.matches, result.matched = row
    result.answers = world.model.answers
    result.dealt = {
        "orders": dict(run.purchases.answers),
        "payouts": dict(run.payouts.answers),
        "limits": dict(run.limited.answers),
        "taken back": dict(run.undoing.answers),
    }
    result.poisoned, result.restarts = world.poisoned, world.restarts
    result.viewed = sum(watcher.events for watcher in run.watchers)
    result.notes += world.notes
    unanswered = sum(sender.late for sender in run.senders.values())
    if unanswered:
        result.notes.append(f"{unanswered} gifts had no answer for a long time on a connection that stayed")
