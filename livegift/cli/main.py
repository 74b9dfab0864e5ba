"""The command line. Commands import what they need themselves, so that a relay does not load SQLAlchemy."""

import asyncio
import socket
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog

from livegift import __version__
from livegift.cli import catalogue, money, recovery
from livegift.cli.options import data_option, open_settings
from livegift.contract.bounds import TOKEN_TTL_MAX_S, USER_ID_EXPECTED
from livegift.contract.errors import LivegiftError, RequestError
from livegift.contract.values import is_id, is_user_id
from livegift.runtime import lifeline
from livegift.runtime.bounds import GRANT_ATTEMPTS_MAX, GRANT_COINS_MAX, GRANT_RETRY_S
from livegift.runtime.net import is_loopback, listen
from livegift.runtime.settings import DEFAULT_DATA_DIR, Settings

log = structlog.get_logger()


class Id(click.ParamType[str]):
    """An id as the protocol defines it."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id. Fails with a usage error if it is malformed."""
        if not is_id(value):
            self.fail(f"expected 1 to 64 of A-Z a-z 0-9 . _ : -, got {value!r}", param, ctx)
        return value


ID = Id()


class UserId(click.ParamType[str]):
    """A user's id, as in tokens."""

    name = "user"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id. Fails with a usage error if it is malformed."""
        if not is_user_id(value):
            self.fail(f"expected {USER_ID_EXPECTED}, got {value!r}", param, ctx)
        return value


USER_ID = UserId()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Gifting for live streams: coins, gifts and diamonds."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0: any free port")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="folder of its data, settings and logs",
)
@click.option("--web", type=click.IntRange(1, 64), default=1, show_default=True, help="number of web processes")
@click.option("--demo", is_flag=True, help="open a room with a small crowd of simulated viewers")
@click.option(
    "--open-to-network",
    is_flag=True,
    help="allow a --host that others can reach: they get tokens of any viewer or creator, and free coins",
)
def dev(host: str, port: int, data: Path, web: int, demo: bool, open_to_network: bool) -> None:  # noqa: FBT001 - click's flags
    """Run everything on this machine, with private servers."""
    if not (is_loopback(host) or open_to_network):
        raise click.UsageError(
            f"others can reach {host}, and would get tokens of any viewer or creator, and free coins: "
            "leave out --host, or add --open-to-network"
        )
    from livegift.dev.system import DevOptions, run_dev

    run_dev(DevOptions(host, port, data, web, demo))


@cli.command()
@click.option("--fd", type=int, help="an inherited listening socket")
@click.option("--demo", is_flag=True, hidden=True)
@data_option
def web(fd: int | None, demo: bool, data: Path) -> None:  # noqa: FBT001 - click's flag
    """Run the WebSocket hub and the HTTP API."""
    from livegift.dev.supervisor import Child, Supervisor, child_environ

    settings = open_settings(data, of_process=True)
    sock = listen(settings.host, settings.port) if fd is None else socket.socket(fileno=fd)
    if fd is not None or settings.web_processes == 1:
        from livegift.processes.web import run_web

        run_web(settings, sock, with_demo=demo)
        return
    children = []
    for index in range(settings.web_processes):
        argv = [sys.executable, "-m", "livegift", "web", "--fd", str(sock.fileno()), "--data", str(data)]
        children.append(Child(f"web {index + 1}", argv, child_environ(), (sock.fileno(),)))
    supervisor = Supervisor(lambda line: log.warning("web.supervisor", line=line))
    supervisor.install_signals()
    try:
        supervisor.start(children)
        supervisor.run()
    finally:
        sock.close()  # while the children disconnect viewers, new connections go to a newer start, if there is one
        supervisor.stop()


@cli.command()
@data_option
def relay(data: Path) -> None:
    """Publish the wallets' journals to the rooms."""
    from livegift.processes.relay import run_relay

    run_relay(open_settings(data, of_process=True))


@cli.command()
@data_option
def aggregator(data: Path) -> None:
    """Book the wallets' journals in PostgreSQL and credit diamonds."""
    from livegift.processes.aggregator import run_aggregator

    run_aggregator(open_settings(data, of_process=True))


@cli.command()
@data_option
def migrate(data: Path) -> None:
    """Bring the database's schema and the Redis Functions up to date."""
    from livegift.operations.migrate import migrate as run_migrate

    for line in _run(run_migrate(open_settings(data))):
        click.echo(line)


@cli.command()
@click.option("--user", type=USER_ID, required=True, help="whose token it is")
@click.option(
    "--role",
    type=click.Choice(["viewer", "creator", "moderator", "overlay", "admin"]),
    default="viewer",
    show_default=True,
    help="what the token allows",
)
@click.option("--room", type=ID, help="limits the token to this room")
@click.option("--name", help="name that others see")
@click.option(
    "--ttl", type=click.IntRange(1, TOKEN_TTL_MAX_S), default=3600, show_default=True, help="seconds until it expires"
)
@click.option(
    "--age-verified/--no-age-verified",
    default=True,
    show_default=True,
    help="whether the age counts as verified: without it no gift is accepted",
)
@data_option
def token(user: str, role: str, room: str | None, name: str | None, ttl: int, age_verified: bool, data: Path) -> None:  # noqa: FBT001
    """Print a token for development."""
    if role == "overlay" and room is None:
        raise click.UsageError("an overlay's token is for one room: say which with --room")
    from livegift.runtime.identity import tokens_of
    from livegift.runtime.settings import load_settings

    tokens = tokens_of(load_settings((), data))  # the core's: no feature is loaded for them
    rooms = [room] if room else None
    click.echo(tokens.sign(user, role, ttl_s=ttl, name=name, rooms=rooms, age_verified=age_verified))


@cli.command()
@click.option("--user", type=USER_ID, help="who gets the coins")
@click.option("--coins", type=click.IntRange(1, GRANT_COINS_MAX), help="how many")
@click.option("--ref", type=ID, help="a name of your own: the same ref credits once")
@click.option("--file", type=click.File("rb"), help="many grants: a CSV with the columns user,coins,ref")
@data_option
def grant(user: str | None, coins: int | None, ref: str | None, file: Any, data: Path) -> None:
    """Credit coins as an operator's bonus, once per ref."""
    rows: list[tuple[str, int, str]] = []
    if file is not None:
        rows.extend(_granted(file.read()))
    elif user and coins and ref:
        rows.append((user, coins, ref))
    else:
        raise click.UsageError("expected --user, --coins and --ref, or --file")
    _run(_grant(open_settings(data), rows))


def _granted(data: bytes) -> Iterator[tuple[str, int, str]]:
    """Yield (user, coins, ref) of a file. Raises UsageError naming the line, before anything is credited."""
    from livegift.runtime.tabular import read_rows

    try:
        for line, row in read_rows(data, ("user", "coins", "ref")):
            user, coins, ref = row["user"], row["coins"], row["ref"]
            if not (is_user_id(user) and is_id(ref)):
                raise click.UsageError(f"line {line}: expected a user and a ref, got {user!r} and {ref!r}")
            is_number = coins.isascii() and coins.isdecimal() and len(coins) <= len(str(GRANT_COINS_MAX))
            if not (is_number and 1 <= int(coins) <= GRANT_COINS_MAX):
                raise click.UsageError(f"line {line}: expected 1 to {GRANT_COINS_MAX} coins, got {coins[:40]!r}")
            yield user, int(coins), ref
    except RequestError as error:
        raise click.UsageError(error.detail) from None


async def _grant(settings: Settings, rows: list[tuple[str, int, str]]) -> None:
    from livegift.features.grants.service import grant_coins
    from livegift.ledger.engine import Database
    from livegift.store.client import Store
    from livegift.store.wallets import Wallets

    store = await Store.connect(settings.redis_url)
    database = Database(settings.database_url)
    wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
    try:
        for user, coins, ref in rows:
            new = await _patiently(lambda row=(ref, user, coins): grant_coins(database, wallets, *row))
            balance = (await wallets.read(user)).balance
            said = f"{coins} coins credited" if new else "nothing credited: this ref was used before"
            click.echo(f"{user}: {said}, balance {balance}")
    finally:
        await database.aclose()
        await store.aclose()


async def _patiently(call: Any) -> Any:
    """Repeat a call that is safe to repeat: partitions may be arming, processes starting."""
    for attempt in range(GRANT_ATTEMPTS_MAX):
        try:
            return await call()
        except RequestError:
            raise  # a deliberate refusal is final
        except LivegiftError:
            if attempt == GRANT_ATTEMPTS_MAX - 1:
                raise
            await asyncio.sleep(GRANT_RETRY_S)
    raise AssertionError("the last attempt returns or raises")


@cli.command()
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
    _run(_room(open_settings(data), room_id, creator, title, kind))


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


@cli.command(name="audit")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@data_option
def audit_command(as_json: bool, data: Path) -> None:  # noqa: FBT001 - click's flag
    """Check every invariant. The exit code is 0 when all hold, else 1."""
    from livegift import composition
    from livegift.operations.audit import audit

    report = _run(audit(open_settings(data), composition.AUDIT_PLAN))
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(0 if report.passed else 1)


for command in (*recovery.COMMANDS, *money.COMMANDS, *catalogue.COMMANDS):
    cli.add_command(command)


def main() -> NoReturn:
    """Run a command. Errors are printed as a sentence, without a traceback."""
    lifeline.hold()
    try:
        cli(standalone_mode=True)
    except LivegiftError as error:
        click.echo(f"livegift: {error}", err=True)
        sys.exit(1)
    sys.exit(0)
