"""Corrections whatever dies, and the audits that would find one that does not fit."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from livegift.features.corrections import queries as stored
from livegift.features.corrections.rules import Correction
from livegift.features.corrections.service import finish_corrections
from livegift.features.rooms.audit import audit_room
from livegift.ledger.audit_trail import read_acts
from livegift.runtime.settings import Settings
from livegift.store.rooms import Rooms
from tests.inprocess import InProcess, passes
from tests.waiting import wait_until


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[InProcess]:
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        await system.grant("alice", 10_000)
        yield system


async def test_a_crash_between_the_decision_and_the_coins_is_finished_once(running: InProcess) -> None:
    gift = await running.gift("alice", "r1", "bob", "balloon", "g1")

    async def wanted() -> Correction | None:
        try:
            return await stored.revocation_of(running.database, "c1", gift.event_id, "fraud", "root")
        except Exception:  # noqa: BLE001 - not booked yet
            return None

    correction = await wait_until(wanted, "the gift is booked")
    assert isinstance(correction, Correction)
    await stored.request(running.database, correction)
    await stored.record_decision(running.database, "c1", "second", approve=True)
    # Here the process died. The sweep looks for what is some seconds old, so the decision is made older.
    async with running.database.begin() as connection:
        await connection.execute(text("UPDATE corrections SET decided_at = decided_at - interval '1 minute'"))
    for _ in range(3):
        await finish_corrections(running.database, running.wallets)

    async def applied() -> bool:
        return not await stored.read_corrections(running.database, "approved", "", 10)

    await wait_until(applied, "it is applied")
    assert (await running.wallets.read("alice")).balance == 10_000
    await passes(running)
    assert [act.act for act in await read_acts(running.database, "user:alice", None, 10)] == [
        "correction.approve",
        "correction.request",
    ]


async def test_the_audits_find_what_does_not_fit(running: InProcess) -> None:
    gift = await running.gift("alice", "r1", "bob", "balloon", "g1")
    rooms = Rooms(running.store)

    async def proven() -> bool:
        return bool((await audit_room(running.database, rooms, "r1")).passed)

    await wait_until(proven, "the room is proven")
    async with running.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO corrections (id, user_id, coins, why, requested_by, decided_by, status, gift_event_id, "
                "gift_partition, room, receiver, diamonds) "
                "VALUES ('c9', 'alice', 500, 'x', 'a', 'b', 'applied', :gift, 0, 'r1', 'bob', 500)"
            ),
            {"gift": gift.event_id},
        )
    report = await running.audit()
    assert [check.number for check in report.checks if check.violations] == [7]
    assert sorted(next(check for check in report.checks if check.number == 7).violations) == [
        "correction c9: 0 diamonds taken back and 0 coins given back to sponsors, expected 500 and 0",
        "correction c9: 0 entries of 0 coins in all, expected one of 500",
        (
            f"correction c9: gift {gift.event_id} was taken out of its room 0 times, "
            "expected once, as it was sent, by one that is applied"
        ),
    ]
    async with running.database.begin() as connection:
        await connection.execute(text("UPDATE gifts SET coins = coins + 1"))
    proof = await audit_room(running.database, rooms, "r1")
    violations = proof.violations
    assert not proof.passed
    assert isinstance(violations, list)
    assert any("the ledger (1, 501, 500)" in line for line in violations)
    assert any("gifter alice" in line for line in violations)
