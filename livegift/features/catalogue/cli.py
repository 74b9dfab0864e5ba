"""The operator's commands for the catalogue of gifts."""

import asyncio
import getpass
from pathlib import Path

import click

from livegift.contract.bounds import CATALOGUE_FILE_BYTES_MAX
from livegift.contract.errors import RequestError
from livegift.runtime.command_line import data_option, open_settings


@click.group()
def gifts() -> None:
    """Manage the catalogue of gifts."""


@gifts.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--by", help="who you are, for the audit trail  [default: this machine's user]")
@data_option
def load(path: Path, by: str | None, data: Path) -> None:
    """Add the gifts of a JSON file, or change existing ones: all of them or none.

    The file is a list of {id, coins, name?, icon?, diamond_count?, streakable?, tier?}.
    """
    from livegift.contract.values import GiftKind
    from livegift.features.catalogue.gift_files import parse_catalogue
    from livegift.ledger.catalogue import put_gifts
    from livegift.ledger.engine import Database

    if path.stat().st_size > CATALOGUE_FILE_BYTES_MAX:
        raise click.UsageError(f"{path}: expected at most {CATALOGUE_FILE_BYTES_MAX} bytes")
    try:
        found = parse_catalogue(path.read_bytes())
    except RequestError as error:
        raise click.UsageError(f"{path}: {error.detail}") from None
    settings = open_settings(data)

    async def put(kinds: list[GiftKind]) -> None:
        database = Database(settings.database_url)
        try:
            await put_gifts(database, kinds, active=True, actor=by or f"cli:{getpass.getuser()}")
        finally:
            await database.aclose()

    asyncio.run(put(found))
    click.echo(f"{len(found)} gifts are in the catalogue, from {min(kind.coins for kind in found)} coins upwards")


COMMANDS: tuple[click.Command, ...] = (gifts,)
