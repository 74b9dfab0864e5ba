"""The audit finds what is broken on purpose, and names it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import psycopg
import pytest
import redis as redis_py
from sqlalchemy import text

from livegift.dev.embedded import RedisServer
from livegift.domain.partitions import partition_of
from livegift.features.sponsors.checks import wrong_matches
from livegift.features.sponsors.queries import NewMatch, read_match
from livegift.features.sponsors.rules import Match
from livegift.features.sponsors.service import end_match, fund_match
from livegift.operations.audit import Report
from livegift.runtime.settings import Settings
from livegift.store.keys import partition_roots, room_root, wallet
from tests.booking import NOTHING_IN_REDIS
from tests.inprocess import InProcess
from tests.partitions import change_wallet
from tests.system import command, environ
from tests.waiting import wait_until

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
    change_wallet(client, wallet_key(booked, "alice"), balance=-5)
    assert "wallet alice: Redis has 970 at seq 6, the ledger a balance of 975" in await violations(booked, 2)


async def test_a_debit_with_its_own_seq_but_without_an_outbox_entry(booked: InProcess, client: redis_py.Redis) -> None:
    change_wallet(client, wallet_key(booked, "alice"), balance=-5, seq=1)
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
    assert "wallet alice: gap in seq, entry 4 follows 2" in await violations(booked, 2)
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
    change_wallet(client, wallet_key(booked, "carol"), balance=-1001)
    expected = "wallet carol: -1 coins, which no refund or chargeback has taken"
    assert expected in await violations(booked, 4)
    change_wallet(client, wallet_key(booked, "carol"), flags="f")
    assert expected in await violations(booked, 4), "a freeze does not explain it"


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
    change_wallet(client, wallet_key(booked, "alice"), balance=1)
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


@pytest.fixture
async def matched(booked: InProcess) -> InProcess:
    """And a match that has doubled two roses, and one that was given back."""
    await booked.grant("brand", 100)
    for match_id in ("m1", "m2"):
        match = Match(match_id, "r1", "brand", "rose", 1, 10, 0, None)
        await fund_match(booked.database, booked.wallets, NewMatch(match, "h", "Brand", "Doubles"), "root")
    await wait_until(lambda: is_match(booked, "m2", "active"), "both are active")
    await end_match(booked.database, booked.wallets, "m2", "root")
    for n in range(2):
        await booked.gift("alice", "r1", "bob", "rose", f"rose-{n}")
    await wait_until(lambda: is_match(booked, "m2", "returned"), "the other is given back")
    report = await booked.audit()
    assert report.passed, report.to_text()
    return booked


async def is_match(system: InProcess, match_id: str, status: str) -> bool:
    found = await read_match(system.database, match_id)
    return found is not None and found.match.status == status


MATCH_BREAKS = [
    ("UPDATE sponsor_matches SET used_coins = 3 WHERE id = 'm1'", "used 3 (2 diamonds), its rows 2 (2)"),
    ("UPDATE sponsor_matches SET used_diamonds = 3 WHERE id = 'm1'", "used 2 (3 diamonds), its rows 2 (2)"),
    ("DELETE FROM gift_matches WHERE n = (SELECT max(n) FROM gift_matches)", "used 2 (2 diamonds), its rows 1 (1)"),
    ("UPDATE sponsor_matches SET budget_coins = 9 WHERE id = 'm1'", "paid 10, funded 10 of 9"),
    ("UPDATE sponsor_matches SET status = 'ended' WHERE id = 'm1'", "released 0 of 8"),
    ("UPDATE sponsor_matches SET status = 'returned' WHERE id = 'm1'", "released 0 of 8"),
    ("UPDATE sponsor_matches SET returned_coins = 9 WHERE id = 'm2'", "returned 9 (booked 10, lost 0)"),
    ("UPDATE accounts SET balance = 9 WHERE name = 'coins:match:m1'", "its account 9"),
    ("DELETE FROM postings WHERE reason = 'sponsor' AND ref = 'm1'", "funded 0 of 10"),
    ("DELETE FROM transfers WHERE reason = 'sponsor' AND ref = 'sponsor:m1'", "paid 0, funded 10"),
    ("UPDATE gift_matches SET units = 2 WHERE n = (SELECT max(n) FROM gift_matches)", "2 units of 1 coins"),
    ("DELETE FROM gifts WHERE gift_id = 'rose' AND ref = 'rose-0'", "which is not booked"),
    ("UPDATE gifts SET room = 'r2' WHERE ref = 'rose-0'", "do not fit gift"),
    ("UPDATE gifts SET sender = 'brand' WHERE ref = 'rose-0'", "do not fit gift"),
    ("UPDATE sponsor_matches SET partition = 0, id = 'm3' WHERE id = 'm2'", "match m2: unknown"),
    ("UPDATE accounts SET balance = 1 WHERE name LIKE 'coins:sponsored:%'", "1 coins between wallets and matches"),
]


async def test_what_is_wrong_with_a_match(matched: InProcess) -> None:
    for statement, expected in MATCH_BREAKS:
        async with matched.database.begin() as connection:
            assert (await connection.execute(text(statement))).rowcount == 1, statement
            found = "\n".join((await wrong_matches(connection, NOTHING_IN_REDIS))[1])
            assert expected in found, (statement, found)
            await connection.rollback()
    statement, expected = MATCH_BREAKS[0]
    sql(matched, statement)
    report = await matched.audit(wait_s=2.0)
    assert [expected in "\n".join(check.violations) for check in report.checks if check.number == 10] == [True]
