"""The command line: the core's commands, and those of features. Each imports what it needs when it is called."""

import asyncio
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog

from livegift import __version__, composition
from livegift.cli import recovery
from livegift.contract.bounds import TOKEN_TTL_MAX_S
from livegift.contract.errors import LivegiftError
from livegift.runtime import lifeline
from livegift.runtime.command_line import ID, USER_ID, CommandLine, data_option, open_settings
from livegift.runtime.net import is_loopback, listen
from livegift.runtime.settings import DEFAULT_DATA_DIR

log = structlog.get_logger()


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@click.group()
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Gifting for live streams: coins, gifts and diamonds."""
    context.obj = CommandLine(composition.load_settings)


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


@cli.command(name="audit")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@data_option
def audit_command(as_json: bool, data: Path) -> None:  # noqa: FBT001 - click's flag
    """Check every invariant. The exit code is 0 when all hold, else 1."""
    from livegift.operations.audit import audit

    report = _run(audit(open_settings(data), composition.audit_plan()))
    click.echo(report.to_json() if as_json else report.to_text())
    sys.exit(0 if report.passed else 1)


for command in (*recovery.COMMANDS, *composition.cli_commands()):
    if command.name in cli.commands:
        raise RuntimeError(f"expected one command {command.name}: two features offer it")
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
