"""The operator's command for bonuses."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from livegift.contract.errors import LivegiftError, RequestError
from livegift.contract.values import is_id, is_user_id
from livegift.runtime.bounds import GRANT_ATTEMPTS_MAX, GRANT_COINS_MAX, GRANT_RETRY_S
from livegift.runtime.command_line import ID, USER_ID, data_option, open_settings
from livegift.runtime.settings import Settings


@click.command()
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
    asyncio.run(_grant(open_settings(data), rows))


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


COMMANDS: tuple[click.Command, ...] = (grant,)
