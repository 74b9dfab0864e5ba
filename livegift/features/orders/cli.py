"""The operator's command for orders: reconciliation with payment providers."""

import asyncio
import sys
from math import isnan
from pathlib import Path
from typing import Any

import click

from livegift.runtime.bounds import RECONCILE_DAYS_MAX
from livegift.runtime.command_line import data_option, open_settings


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


COMMANDS: tuple[click.Command, ...] = (reconcile,)
