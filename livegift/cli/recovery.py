"""The operator's commands for partitions, quarantine and recovery."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from livegift import composition
from livegift.contract.bounds import PAGE_ITEMS_MAX
from livegift.runtime.bounds import EPOCH_MAX, N_MAX, PARTITIONS_MAX
from livegift.runtime.command_line import data_option, open_settings

Work = Callable[..., Awaitable[Any]]


async def _with_stores(data: Path, work: Work, *args: object) -> Any:
    """Call `work` with settings, store, database and `args`."""
    from livegift.ledger.engine import Database
    from livegift.store.client import Store

    settings = open_settings(data)
    store = await Store.connect(settings.redis_url)
    database = Database(settings.database_url)
    try:
        return await work(settings, store, database, *args)
    finally:
        await database.aclose()
        await store.aclose()


def _run(data: Path, work: Work, *args: object) -> Any:
    return asyncio.run(_with_stores(data, work, *args))


@click.command()
@click.option(
    "--partition",
    type=click.IntRange(0, PARTITIONS_MAX - 1),
    multiple=True,
    help="only these partitions  [default: all that take no money]",
)
@data_option
def restore(partition: tuple[int, ...], data: Path) -> None:
    """Rebuild what is missing in Redis from the ledger: wallets, refs, streaks, rooms."""
    from livegift.recovery.restore import restore as run_restore

    for line in asyncio.run(run_restore(open_settings(data), partition or None)):
        click.echo(line)


@click.command()
@click.option("--url", help="address of the web processes  [default: LIVEGIFT_PUBLIC_URL]")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@data_option
def doctor(url: str | None, as_json: bool, data: Path) -> None:  # noqa: FBT001 - click's flag
    """Check every part of the system. The exit code is 0 when all are well, else 1."""
    from livegift.operations.doctor import examine

    settings = open_settings(data)
    found = asyncio.run(examine(settings, url or settings.public_url))
    if as_json:
        click.echo(json.dumps([{"part": one.part, "is_well": one.is_healthy, "detail": one.detail} for one in found]))
    else:
        for part in found:
            click.echo(f"{'ok  ' if part.is_healthy else 'BAD '} {part.part:<11} {part.detail}")
    sys.exit(0 if all(part.is_healthy for part in found) else 1)


@click.group()
def partition() -> None:
    """Show partitions, stop them, start them again."""


@partition.command(name="list")
@data_option
def partition_list(data: Path) -> None:
    """Print one line for each partition."""
    for line in _run(data, _partition_lines, None):
        click.echo(line)


@partition.command()
@click.argument("number", type=click.IntRange(0, PARTITIONS_MAX - 1))
@data_option
def show(number: int, data: Path) -> None:
    """Show one partition with its epochs."""
    for line in _run(data, _partition_lines, number):
        click.echo(line)


async def _partition_lines(settings: Any, store: Any, database: Any, number: int | None) -> list[str]:
    from livegift.ledger.arming import all_bases
    from livegift.ledger.journal import read_checkpoints
    from livegift.store.outbox import Outbox

    outbox = Outbox(store, settings.partitions)
    states = await outbox.states(outbox.roots)
    lines = []
    for p, known in sorted((await read_checkpoints(database, None if number is None else [number])).items()):
        state = states.get(p)
        if state is None:
            text = "Redis does not answer"
        else:
            is_armed = state.armed_epoch == known.position.epoch != 0
            text = f"{'armed' if is_armed else 'takes no money'}, Redis at {state.position}, "
            text += f"{state.n - known.position.n} unbooked, {state.n - state.relayed.n} unpublished"
        stopped = f", STOPPED: {known.stopped}" if known.stopped else ""
        lines.append(f"{p:4}  booked up to {known.position}, {text}{stopped}")
    if number is not None:
        async with database.begin() as connection:
            bases = (await all_bases(connection)).get(number, {})
        lines += [f"      epoch {epoch} began at {base}" for epoch, base in sorted(bases.items())]
    return lines or [f"there is no partition {number}"]


@partition.command()
@click.argument("number", type=click.IntRange(0, PARTITIONS_MAX - 1))
@click.option("--reason", required=True, help="why, for others who look at it")
@data_option
def stop(number: int, reason: str, data: Path) -> None:
    """Stop a partition: it takes no more money, and nothing of it is booked."""
    click.echo(_run(data, _stop, number, reason))


async def _stop(settings: Any, store: Any, database: Any, number: int, reason: str) -> str:
    from livegift.ledger.arming import set_stopped
    from livegift.store.outbox import Outbox

    if not await set_stopped(database, number, f"by an operator: {reason}"):
        raise click.UsageError(f"there is no partition {number}, the last one is {settings.partitions - 1}")
    await Outbox(store, settings.partitions).disarm(number)
    return f"partition {number} is stopped"


@partition.command()
@click.argument("number", type=click.IntRange(0, PARTITIONS_MAX - 1))
@data_option
def start(number: int, data: Path) -> None:
    """Let a stopped partition go on; an aggregator compares it with the ledger and arms it."""
    click.echo(_run(data, _start, number))


async def _start(settings: Any, _store: Any, database: Any, number: int) -> str:
    from livegift.ledger.arming import set_stopped

    if not await set_stopped(database, number, None):
        raise click.UsageError(f"there is no partition {number}, the last one is {settings.partitions - 1}")
    return f"partition {number} can go on; `livegift partition show {number}` says whether it is armed"


@click.group()
def quarantine() -> None:
    """List, retry or drop journal entries that could not be booked."""


@quarantine.command(name="list")
@click.option("--all", "everything", is_flag=True, help="include those that are closed")
@data_option
def quarantine_list(everything: bool, data: Path) -> None:  # noqa: FBT001 - click's flag
    """List the entries, oldest first."""
    found = _run(data, _quarantined, everything)
    for line in found or ["nothing is in quarantine"]:
        click.echo(line)


async def _quarantined(_settings: Any, _store: Any, database: Any, everything: bool) -> list[str]:  # noqa: FBT001 - the flag
    from livegift.ledger.quarantine import list_quarantined

    rows = await list_quarantined(database, everything=everything, limit=PAGE_ITEMS_MAX)
    return [
        f"{row.partition}-{row.position}  {row.at:%Y-%m-%d %H:%M:%S}  {row.status}  "
        f"{f'{row.user} {row.coins:+} coins' if row.user else 'of an unknown user'}  {row.error}  {row.raw[:80]!r}"
        for row in rows
    ]


class Entry(click.ParamType[Any]):
    """The name of an entry, `<partition>-<epoch>-<n>`."""

    name = "entry"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return partition and position. Fails with a usage error for a malformed name."""
        from livegift.domain.partitions import Position

        number, _, position = value.partition("-")
        with suppress(ValueError):
            at = Position.parse(position)
            if int(number) in range(PARTITIONS_MAX) and at.epoch <= EPOCH_MAX and at.n <= N_MAX:
                return int(number), at
        return self.fail(f"expected an entry such as 7-1-42, got {value!r}", param, ctx)


ENTRY = Entry()


@quarantine.command()
@click.argument("entry", type=ENTRY)
@data_option
def retry(entry: Any, data: Path) -> None:
    """Book an entry that this version understands."""
    click.echo(_run(data, _retry, *entry))


async def _retry(_settings: Any, _store: Any, database: Any, partition: int, position: Any) -> str:
    from livegift.operations.quarantine import retry as run_retry

    return await run_retry(database, composition.booking_plan(), partition, position)


@quarantine.command()
@click.argument("entry", type=ENTRY)
@click.option("--reason", required=True, help="why, for others who look at it")
@data_option
def drop(entry: Any, reason: str, data: Path) -> None:
    """Give an entry up; the coins of a gift go back to its sender."""
    click.echo(_run(data, _drop, *entry, reason))


async def _drop(settings: Any, store: Any, database: Any, partition: int, position: Any, reason: str) -> str:
    from livegift.operations.quarantine import drop as run_drop
    from livegift.store.wallets import Wallets

    wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
    return await run_drop(database, wallets, partition, position, reason)


@click.command()
@click.argument("name")
@data_option
def event(name: str, data: Path) -> None:
    """Print the place in the journal of the event with id NAME, or the id of the event at a place such as 7-1-42."""
    click.echo(_run(data, _event, name))


async def _event(_settings: Any, _store: Any, database: Any, name: str) -> str:
    from livegift.ledger.schema import read_event_id_key
    from livegift.runtime.event_ids import EventIds

    ids = EventIds(await read_event_id_key(database))
    place = ids.place(name)
    if place is None:
        partition, position = ENTRY.convert(name, None, None)
        return ids.at(partition, position)
    return place


COMMANDS: tuple[click.Command, ...] = (doctor, restore, partition, quarantine, event)
