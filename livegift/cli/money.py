"""The operator's commands for money: payout batches for the bank, and reconciliation with payment providers."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from livegift.cli.options import data_option, open_settings
from livegift.runtime.bounds import PAYOUT_BATCH_MAX, RECONCILE_DAYS_MAX

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


class Days(click.FloatRange):
    """A number of days: click's range lets `nan` through, which is in no range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Fails with a usage error for `nan`."""
        days = float(super().convert(value, param, ctx))
        return self.fail(f"expected a number of days, got {value!r}", param, ctx) if isnan(days) else days


@click.command()
@click.option("--provider", required=True, help="its name, such as stripe")
@click.option(
    "--days", type=Days(0, RECONCILE_DAYS_MAX, min_open=True), default=7.0, show_default=True, help="how far back"
)
@data_option
def reconcile(provider: str, days: float, data: Path) -> None:
    """Compare the provider's payments with the orders. The exit code is 0 when they agree, else 1."""
    from livegift.features.orders.reconcile import days_ago
    from livegift.features.orders.reconcile import reconcile as run_reconcile

    compared, differing = asyncio.run(run_reconcile(open_settings(data), provider, days_ago(days)))
    for line in differing:
        click.echo(line)
    click.echo(f"{compared} payments of {provider} compared, {len(differing)} differences")
    sys.exit(1 if differing else 0)


COMMANDS: tuple[click.Command, ...] = (payouts, reconcile)
