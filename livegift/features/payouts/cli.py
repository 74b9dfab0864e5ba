"""The operator's commands for payouts: batches for the bank."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from livegift.runtime.bounds import PAYOUT_BATCH_MAX
from livegift.runtime.command_line import data_option, open_settings

if TYPE_CHECKING:
    from livegift.ledger.engine import Database


def _run(data: Path, work: "Callable[[Database], Awaitable[Any]]") -> Any:
    from livegift.ledger.engine import Database

    settings = open_settings(data)

    async def run() -> Any:
        database = Database(settings.database_url)
        try:
            return await work(database)
        finally:
            await database.aclose()

    return asyncio.run(run())


@click.group()
def payouts() -> None:
    """Pay creators: approved payouts go to the bank in batches."""


@payouts.command(name="export")
@click.option("--batch", required=True, help="a name of your own; the same name again gives the same file")
@click.option("--by", required=True, help="who you are, for the audit trail")
@click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), required=True, help="where to write it"
)
@data_option
def export(batch: str, by: str, path: Path, data: Path) -> None:
    """Put the approved payouts into a batch and write it as CSV for the bank."""
    from livegift.features.payouts.queries import make_batch
    from livegift.features.payouts.routes import instructions

    found = _run(data, lambda database: make_batch(database, batch, by, PAYOUT_BATCH_MAX))
    path.write_bytes(instructions(found))
    click.echo(f"batch {batch}: {len(found)} payouts of {sum(item.payout.amount for item in found)} cents in {path}")


@payouts.command(name="import")
@click.option("--batch", required=True, help="the name that the batch was exported under")
@click.option("--by", required=True, help="who you are, for the audit trail")
@click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=True, help="the CSV"
)
@data_option
def import_(batch: str, by: str, path: Path, data: Path) -> None:
    """Apply the bank's answer (CSV: payout,status,why), all of it or nothing. It can be repeated."""
    from livegift.features.payouts.bank import ManualBank
    from livegift.features.payouts.queries import settle_batch

    lines = ManualBank().results(path.read_bytes())
    still_open = _run(data, lambda database: settle_batch(database, batch, lines, by))
    click.echo(f"batch {batch}: {len(lines)} settled, {len(still_open)} open")


COMMANDS: tuple[click.Command, ...] = (payouts,)
