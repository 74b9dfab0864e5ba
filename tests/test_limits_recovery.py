"""Spending limits over time and over losses: a raise waits, and all of it comes back from the ledger."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from livegift.domain.allowances import Caps, Policy
from livegift.domain.spending import Accepted, LimitsSet, Refused, SetLimits
from livegift.recovery.restore import restore
from livegift.runtime.settings import Settings
from tests.conftest import emptied
from tests.inprocess import InProcess, armed_again, passes
from tests.system import System
from tests.test_limits import put
from tests.viewer import Viewer
from tests.waiting import wait_until


async def test_a_raise_waits_and_then_counts(settings: Settings, tmp_path: Path) -> None:
    changed = settings.replaced(limit_raise_delay_s=2, gifts_per_minute_max=5)
    with System(changed, tmp_path / "logs") as system:
        system.start()
        system.open_room("r1", "bob")
        await system.grant({"ann": 10_000})
        put(system, "ann", day=100)
        raised = put(system, "ann", day=1_000)
        assert (raised["own"]["day"], raised["pending"]["day"]) == (100, 1_000)
        assert put(system, "ann", day=1_000)["effective_ms"] == raised["effective_ms"], "asking again does not delay it"
        async with Viewer(system.address(), system.token("ann")) as ann:
            assert (await ann.gift("r1", "sunglasses"))["code"] == "limit_exceeded"

            async def accepted() -> bool:
                return bool((await ann.gift("r1", "sunglasses"))["status"] == "accepted")

            await wait_until(accepted, "the raise counts")
            # Refusals were not counted; within a minute or two of them the sixth gift is too many.
            results = [await ann.gift("r1", "rose") for _ in range(12)]
            refused = [result for result in results if result["status"] == "rejected"]
            assert refused
            assert {result["code"] for result in refused} == {"rate_limited"}
            assert all(0 < result["retry_after_ms"] <= 60_000 for result in refused)
        lowered = put(system, "ann", day=300)
        assert (lowered["own"]["day"], lowered["pending"]) == (300, None)
        report = await system.audit()
        assert report.passed, report.to_text()


# --- Whatever dies ----------------------------------------------------------------------------------------------------

POLICY = Policy(20261123, Caps())


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[InProcess]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        await system.grant("alice", 10_000)
        yield system


async def test_limits_usage_and_freezes_come_back_from_the_ledger(running: InProcess, redis_server: Any) -> None:
    wallets = running.wallets
    for version, (wanted, frozen) in enumerate([(Caps(500, 1_000, 2_000), None), (None, True), (None, False)]):
        said = await wallets.set_limits(SetLimits("alice", version, wanted, 86_400_000, frozen, "x", "root"))
        assert said == LimitsSet(version + 1)
    assert await wallets.set_limits(SetLimits("alice", 0, None, 0)) == Refused("conflict", 10_000)
    await wallets.set_limits(SetLimits("alice", 3, Caps(600, 1_000, 2_000), 86_400_000))
    assert await wallets.set_limits(SetLimits("stranger", 0, Caps(1, 1, 1), 0)) == LimitsSet(1)
    assert await wallets.set_limits(SetLimits("eve", 0, None, 0, frozen=True, why="fraud", by="root")) == LimitsSet(1)
    for n in range(3):
        assert isinstance(await running.gift("alice", "r1", "bob", "confetti", f"g{n}", policy=POLICY), Accepted)
    await passes(running)
    before = {user: await wallets.read(user) for user in ("alice", "stranger", "eve")}
    assert before["alice"].usage[:3] == (20261123, 300, 300)
    await running.stop_all()
    emptied(redis_server)
    await restore(running.settings)
    running.start_relay()
    running.start_aggregator()
    await armed_again(running)
    after = {user: await wallets.read(user) for user in before}
    for user, was in before.items():
        now = after[user]
        assert (now.balance, now.seq, now.frozen, now.limits) == (was.balance, was.seq, was.frozen, was.limits)
        assert now.usage[:3] == was.usage[:3]
    outcome = await running.try_gift(
        "alice", "r1", "bob", "balloon", "over", policy=Policy(20261123, Caps(None, 700, None))
    )
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.limit and outcome.limit.used) == ("limit_exceeded", 300)
    await passes(running)


async def test_the_audit_finds_limits_that_are_not_the_ledgers(running: InProcess) -> None:
    await running.wallets.set_limits(SetLimits("alice", 0, Caps(100, None, None), 0))
    await running.gift("alice", "r1", "bob", "confetti", "g", policy=POLICY)
    await passes(running)
    async with running.database.begin() as connection:
        await connection.execute(text("UPDATE wallet_limits SET per_gift = 50"))
    report = await running.audit()
    wrong = next(check for check in report.checks if check.number == 9)
    assert len(wrong.violations) == 2, wrong.violations
    assert "limits SpendingLimits(version=1" in wrong.violations[0]
    assert "100 coins, the limit was 50" in wrong.violations[1]


async def test_changes_that_race_have_one_order(running: InProcess) -> None:
    async def one(n: int) -> object:
        return await running.wallets.set_limits(SetLimits("alice", 0, Caps(n, None, None), 0))

    said = await asyncio.gather(*(one(n) for n in range(1, 9)))
    assert sum(isinstance(answer, LimitsSet) for answer in said) == 1
    await passes(running)
