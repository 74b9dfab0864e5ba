"""The operator's command for rooms."""

import asyncio
from pathlib import Path

import click

from livegift.runtime.command_line import ID, USER_ID, data_option, open_settings
from livegift.runtime.settings import Settings


@click.command()
@click.option("--id", "room_id", type=ID, required=True, help="the room's id")
@click.option("--creator", type=USER_ID, required=True, help="who gets the room's gifts")
@click.option("--title", default="Live", show_default=True, help="what viewers see")
@click.option(
    "--kind",
    type=click.Choice(["live", "video"]),
    default="live",
    show_default=True,
    help="a room for a video takes gifts after its end, too",
)
@data_option
def room(room_id: str, creator: str, title: str, kind: str, data: Path) -> None:
    """Open a room."""
    asyncio.run(_room(open_settings(data), room_id, creator, title, kind))


async def _room(settings: Settings, room_id: str, creator: str, title: str, kind: str) -> None:
    from livegift.features.rooms.service import announce_opening
    from livegift.ledger import rooms as stored_rooms
    from livegift.ledger.engine import Database
    from livegift.store.client import Store
    from livegift.store.rooms import Rooms

    store = await Store.connect(settings.redis_url)
    database = Database(settings.database_url)
    try:
        opened, is_new = await stored_rooms.open_room(database, room_id, creator, creator, title, kind)
        await announce_opening(Rooms(store), opened)
    finally:
        await database.aclose()
        await store.aclose()
    click.echo(f"room {opened.id} of {opened.creator_id} {'is open' if is_new else f'already exists, {opened.status}'}")


COMMANDS: tuple[click.Command, ...] = (room,)
