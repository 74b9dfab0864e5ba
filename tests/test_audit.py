"""The audit finds what is broken on purpose, and names it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import psycopg
import pytest
import redis as redis_py

from livegift.audit import Report
from livegift.domain.partitions import partition_of
from livegift.embedded import RedisServer
from livegift.settings import Settings
from livegift.store.keys import partition_roots, room_root, wallet
from tests.inprocess import InProcess
from tests.system import command, environ

ALICE_GIFTS = 5


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis_py.Redis]:
    with closing(redis_server.client()) as connected:
        yield connected


@pytest.fixture
async def booked(settings: Settings) -> AsyncIterator[InProcess]:
    """A system in which everything that was sent is published and booked, and holds."""
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user in ("alice", "carol"):
            await system.grant(user, 1000)
        for number in range(ALICE_GIFTS):
            await system.gift("alice", "r1", "bob", "heart", f"ref-{number}")
        report = await system.audit()
        assert report.passed, report.to_text()
        yield system


def wallet_key(system: InProcess, user: str) -> str:
    roots = partition_roots(system.settings.partitions)
    return wallet(roots[partition_of(user, len(roots))], user)


async def violations(system: InProcess, invariant: int) -> str:
    report: Report = await system.audit(wait_s=2.0)
    assert not report.passed
    assert "FAIL" in report.to_text()
    return "\n".join(report.checks[invariant - 1].violations)


def sql(system: InProcess, statement: str) -> None:
    with psycopg.connect(system.settings.database_url, autocommit=True) as connection:
        assert connection.execute(statement.encode()).rowcount == 1, statement


async def test_a_debit_without_an_outbox_entry(booked: InProcess, client: redis_py.Redis) -> None:
    client.hincrby(wallet_key(booked, "alice"), "b", -5)
    assert "wallet alice: Redis has 970 at seq 6, the ledger a balance of 975" in await violations(booked, 2)


async def test_a_debit_with_its_own_seq_but_without_an_outbox_entry(booked: InProcess, client: redis_py.Redis) -> None:
    client.hincrby(wallet_key(booked, "alice"), "b", -5)
    client.hincrby(wallet_key(booked, "alice"), "s", 1)
    assert "wallet alice: Redis has 970 at seq 7, the ledger no such entry" in await violations(booked, 2)


async def test_a_double_credit_of_diamonds(booked: InProcess) -> None:
    sql(booked, "UPDATE accounts SET balance = balance + 5 WHERE name = 'diamonds:user:bob'")
    found = await violations(booked, 1)
    assert "asset DIAMOND: all accounts sum to 5, expected 0" in found
    assert "account diamonds:user:bob: balance 30, its transfers sum to 25" in found


async def test_a_double_credit_that_balances(booked: InProcess) -> None:
    with psycopg.connect(booked.settings.database_url, autocommit=True) as connection:
        connection.execute("UPDATE accounts SET balance = balance + 5 WHERE name = 'diamonds:user:bob'")
        connection.execute(
            "UPDATE accounts SET balance = balance - 5 WHERE name = "
            "(SELECT min(name) FROM accounts WHERE name LIKE 'diamonds:issued:%')"
        )
    assert "account diamonds:user:bob: balance 30, its transfers sum to 25" in await violations(booked, 1)


async def test_a_hole_in_seq(booked: InProcess) -> None:
    sql(booked, "DELETE FROM gifts WHERE sender = 'alice' AND wallet_seq = 3")
    assert "wallet alice: hole in seq, entry 4 follows 2" in await violations(booked, 2)
    assert "5 gifts of 25 coins accepted, 4 of 20 in the ledger" in await violations(booked, 3)


@pytest.mark.parametrize(("field", "expected"), [("gifts", "(6, 25, 25)"), ("coins", "(5, 26, 25)")])
async def test_a_rooms_total_off_by_one(booked: InProcess, client: redis_py.Redis, field: str, expected: str) -> None:
    client.hincrby(f"{room_root('r1')}:state", field, 1)
    found = await violations(booked, 3)
    assert f"room r1: totals (gifts, coins, diamonds) {expected}, the ledger has (5, 25, 25)" in found


async def test_a_gift_that_was_never_published(booked: InProcess, client: redis_py.Redis) -> None:
    """A room that lost its state: what the ledger has is not in its totals."""
    client.delete(f"{room_root('r1')}:state", f"{room_root('r1')}:watermarks")
    assert "room r1: gift" in await violations(booked, 3)


async def test_a_wallet_below_zero(booked: InProcess, client: redis_py.Redis) -> None:
    client.hset(wallet_key(booked, "carol"), "b", -1)
    assert "wallet carol: -1 coins and not frozen" in await violations(booked, 4)
    client.hset(wallet_key(booked, "carol"), "f", "1")
    assert await violations(booked, 2)
    report = await booked.audit(2.0)
    assert report.checks[3].violations == []


async def test_a_ref_with_two_gifts(booked: InProcess) -> None:
    sql(booked, "UPDATE gifts SET ref = (SELECT ref FROM gifts WHERE wallet_seq = 2) WHERE wallet_seq = 3")
    assert "sender alice: ref" in await violations(booked, 5)


async def test_a_partition_that_nobody_books(booked: InProcess) -> None:
    await booked.stop("aggregator")
    await booked.gift("carol", "r1", "bob", "heart", "another")
    assert "the ledger has booked" in await violations(booked, 2)


async def test_the_command_says_it_with_its_exit_code(booked: InProcess, client: redis_py.Redis) -> None:
    code, text = await run_audit(booked)
    assert (code, "all invariants hold" in text) == (0, True), text
    client.hincrby(wallet_key(booked, "alice"), "b", 1)
    code, text = await run_audit(booked)
    assert (code, "NOT all invariants hold" in text) == (1, True), text
    code, text = await run_audit(booked, "--json")
    assert code == 1
    assert '"passed": false' in text


async def run_audit(system: InProcess, *options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command("audit", *options),
        env=environ(system.settings),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
