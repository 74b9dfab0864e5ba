"""Entries that can't be booked: everything behind them goes on, and an operator decides about them."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import click.testing
import msgspec
import psycopg
import pytest
import redis as redis_py

from livegift.cli.main import cli
from livegift.composition import booking_plan
from livegift.contract.errors import RequestError
from livegift.dev.embedded import RedisServer
from livegift.domain.partitions import Position, partition_of
from livegift.domain.spending import Accepted, GiftSend
from livegift.ledger.journal import read_checkpoints
from livegift.ledger.quarantine import Quarantined, list_quarantined
from livegift.operations.quarantine import drop, retry
from livegift.runtime.settings import Settings
from livegift.store.functions import VERSION
from livegift.store.wallets import Display, gift_send, parse_outcome
from tests.inprocess import InProcess
from tests.system import environ
from tests.waiting import wait_until

COINS = 1000


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis_py.Redis]:
    with closing(redis_server.client()) as connected:
        yield connected


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[InProcess]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user in ("alice", "carol"):
            await system.grant(user, COINS)
        yield system


async def in_quarantine(system: InProcess) -> list[Quarantined]:
    return await list_quarantined(system.database, everything=True, limit=100)


async def poisoned(system: InProcess, client: redis_py.Redis, write: str) -> Quarantined:
    """Alice's gift of 5 coins, with an entry whose text was changed by `write` (Lua, from `entry`) on its way."""
    root = system.wallets.root_of("alice")
    await system.stop("relay")
    await system.stop("aggregator")
    await system.gift("alice", "r1", "bob", "heart", "poisoned")
    client.eval(f"""
        local rows = redis.call('XRANGE', KEYS[1], '-', '+')
        redis.call('DEL', KEYS[1])
        for i, row in ipairs(rows) do
          local id, head, entry = row[1], row[2][1], row[2][2]
          if i == #rows then entry = {write} end
          redis.call('XADD', KEYS[1], id, head, entry)
        end
    """, 1, f"{root}:outbox")  # type: ignore[no-untyped-call]  # fmt: skip
    system.start_relay()
    system.start_aggregator()
    (found,) = await wait_until(lambda: in_quarantine(system), "the entry is in quarantine")  # type: ignore[misc]
    assert isinstance(found, Quarantined)
    assert found.partition == partition_of("alice", system.settings.partitions)
    return found


async def suspense(system: InProcess) -> int:
    async with await psycopg.AsyncConnection.connect(system.settings.database_url) as connection:
        row = await (
            await connection.execute("SELECT coalesce(sum(balance), 0) FROM accounts WHERE name LIKE 'coins:suspense%'")
        ).fetchone()
    assert row is not None
    return int(row[0])


UNREADABLE = "entry:sub(1, 40)"


WITH_NUL = r"""(entry:gsub('"heart"', '"he\\u0000art"', 1))"""


async def test_what_nobody_can_read_comes_to_light_with_the_wallets_next_entry(
    running: InProcess, client: redis_py.Redis
) -> None:
    found = await poisoned(running, client, UNREADABLE)
    assert (found.user, found.coins, found.status) == (None, None, "open")
    assert await suspense(running) == 0
    await running.gift("carol", "r1", "bob", "heart", "others go on")
    with pytest.raises(RequestError, match="it is not known yet whose wallet"):
        await drop(running.database, running.wallets, found.partition, found.position, "no use")
    await running.gift("alice", "r1", "bob", "heart", "next")
    await wait_until(lambda: known_of(running), "it was alice's")
    assert await suspense(running) == 5
    report = await running.audit()
    assert report.passed, report.to_text()
    with pytest.raises(RequestError, match="still can't be booked"):
        await retry(running.database, booking_plan(), found.partition, found.position)
    assert "5 coins back to alice" in await drop(
        running.database, running.wallets, found.partition, found.position, "it was cut off"
    )
    with pytest.raises(RequestError, match="was dropped before"):
        await drop(running.database, running.wallets, found.partition, found.position, "again")
    report = await running.audit()
    assert report.passed, report.to_text()
    assert await suspense(running) == 0
    assert (await running.wallets.read("alice")).balance == COINS - 5


async def known_of(system: InProcess) -> bool:
    return [(row.user, row.coins) for row in await in_quarantine(system)] == [("alice", -5)]


async def test_what_the_ledger_refuses_is_found_among_many_and_can_be_booked_later(
    running: InProcess, client: redis_py.Redis
) -> None:
    """A room's name that is no text for PostgreSQL, in a batch with good ones: then it is put right by hand."""
    for n in range(20):
        await running.gift("carol", "r1", "bob", "rose", f"good-{n}")
    found = await poisoned(running, client, WITH_NUL)
    assert (found.user, found.coins) == ("alice", -5)
    assert "NUL" in found.error or "0x00" in found.error, found.error
    assert await suspense(running) == 5
    await running.gift("alice", "r1", "bob", "heart", "next")
    report = await running.audit()
    assert report.passed, report.to_text()
    with pytest.raises(RequestError, match="still can't be booked"):
        await retry(running.database, booking_plan(), found.partition, found.position)
    with psycopg.connect(running.settings.database_url, autocommit=True) as connection:
        mended = found.raw.replace(b"\\u0000", b"")
        connection.execute("UPDATE quarantine SET raw = %s", (mended,))
    assert "booked in batch" in await retry(running.database, booking_plan(), found.partition, found.position)
    assert await suspense(running) == 0
    report = await running.audit()
    assert report.passed, report.to_text()
    rows = await in_quarantine(running)
    assert [row.status for row in rows] == ["booked"]


@pytest.mark.parametrize(("damage", "error"), [("2,3,4", "its bytes"), ('"he\\u0000art"', "0x00|NUL")])
async def test_of_the_gifts_of_an_entry_only_the_bad_one_waits(
    running: InProcess, client: redis_py.Redis, damage: str, error: str
) -> None:
    """Five gifts of one call: one can't be read, or is refused by the ledger."""
    root = running.wallets.root_of("alice")
    await running.stop("relay")
    await running.stop("aggregator")
    shown = Display('["Alice","Bob","Heart",5,5,1,"H"]')
    refs = [f"together-{number}" for number in range(5)]
    sends = [GiftSend("alice", ref, "ab", "r1", "bob", "heart", 5, 1, 5, streakable=False) for ref in refs]
    command = gift_send(root, [(send, shown) for send in sends], int(time.time() * 1000), 1000, 86_400)
    replies = await running.store.call(command)
    assert all(isinstance(parse_outcome(reply), Accepted) for reply in replies)
    *earlier, (last, fields) = client.xrange(f"{root}:outbox")
    ((head, raw),) = fields.items()
    before, after = str(raw).split('"together-2","r1","bob","heart"')
    damaged = {str(head): f'{before}"together-2","r1","bob",{damage}{after}'}
    client.delete(f"{root}:outbox")
    for entry_id, entry in (*earlier, (last, damaged)):
        client.xadd(f"{root}:outbox", entry, id=entry_id)
    running.start_relay()
    running.start_aggregator()
    (found,) = await wait_until(lambda: in_quarantine(running), "it is in quarantine")  # type: ignore[misc]
    assert found.position.n == int(last.partition("-")[2]) - 2
    assert re.search(error, found.error)
    await running.gift("alice", "r1", "bob", "heart", "next")
    await wait_until(lambda: suspense_is(running, 5), "it was alice's")
    report = await running.audit()
    assert report.passed, report.to_text()
    again = await running.try_gift("alice", "r1", "bob", "heart", "together-3")
    assert isinstance(again, Accepted)
    assert again.duplicate


async def suspense_is(system: InProcess, coins: int) -> bool:
    return await suspense(system) == coins


async def test_an_unknown_reason_waits_for_a_version_that_knows_it(running: InProcess, client: redis_py.Redis) -> None:
    root = running.wallets.root_of("alice")
    with closing(client):
        reply = client.fcall(f"wallet_credit_{VERSION}", 1, root, "3600", "alice", "bonus-1", "ab", "7", "theft")  # type: ignore[no-untyped-call]
    assert b"ok|" in reply.encode() if isinstance(reply, str) else reply
    await wait_until(lambda: in_quarantine(running), "it is in quarantine")
    (row,) = await in_quarantine(running)
    assert (row.user, row.coins) == ("alice", 7)
    assert "unknown reason 'theft'" in row.error
    assert await suspense(running) == -7
    report = await running.audit()
    assert report.passed, report.to_text()
    assert "dropped" in await drop(running.database, running.wallets, row.partition, row.position, "a mistake")
    assert (await running.wallets.read("alice")).balance == COINS + 7, "what a wallet got stays with it"


# --- The commands -----------------------------------------------------------------------------------------------------


def run(settings: Settings, *args: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, args, env=environ(settings), catch_exceptions=False)


def test_commands_on_a_fresh_system(settings: Settings) -> None:
    assert "nothing is in quarantine" in run(settings, "quarantine", "list").output
    lines = run(settings, "partition", "list").output.splitlines()
    assert len([line for line in lines if "booked up to 0-0, takes no money" in line]) == settings.partitions
    assert "partition 3 is stopped" in run(settings, "partition", "stop", "3", "--reason", "a look").output
    assert "STOPPED: by an operator: a look" in run(settings, "partition", "show", "3").output
    assert "can go on" in run(settings, "partition", "start", "3").output
    assert "STOPPED" not in run(settings, "partition", "show", "3").output
    assert "there is no partition 99" in run(settings, "partition", "stop", "99", "--reason", "x").output
    assert "expected an entry such as 7-1-42" in run(settings, "quarantine", "retry", "nonsense").output


async def test_a_partition_that_an_operator_stops_and_starts(running: InProcess) -> None:
    from livegift.cli.recovery import _start, _stop  # noqa: PLC0415 - the commands' bodies, in this loop

    partition = partition_of("alice", running.settings.partitions)
    await _stop(running.settings, running.store, running.database, partition, "a look")
    assert (await read_checkpoints(running.database, [partition]))[partition].stopped == "by an operator: a look"
    outcome = await running.try_gift("alice", "r1", "bob", "heart", "while stopped")
    assert type(outcome).__name__ == "Unknown"
    await _start(running.settings, running.store, running.database, partition)

    async def accepted() -> bool:
        return type(await running.try_gift("alice", "r1", "bob", "heart", "while stopped")).__name__ == "Accepted"

    await wait_until(accepted, "money moves again")
    report = await running.audit()
    assert report.passed, report.to_text()


def test_quarantined_entries_are_read_again_with_the_current_version() -> None:
    raw = msgspec.json.encode(("streak_end", "u", "r", "t", "g", "0-1-1", 1, False, 1, {}, {}))
    entry = Quarantined(0, Position(1, 1), raw, "", None, "open", None, None)  # type: ignore[arg-type]
    assert entry.decode().combo_id == "0-1-1"  # type: ignore[union-attr]
