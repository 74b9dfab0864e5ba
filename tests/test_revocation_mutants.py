"""Faults of undo put back: `livegift audit` exits with 1 and names each."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from livegift.contract.journal import WalletChanged
from livegift.domain.entries import Row
from livegift.features.corrections import queries as corrections
from livegift.features.corrections.service import decide
from livegift.features.sponsors import booking as matching
from livegift.features.sponsors.queries import NewMatch, read_match
from livegift.features.sponsors.rules import Match
from livegift.features.sponsors.service import fund_match
from livegift.processes import publishing, relay
from livegift.runtime.settings import Settings
from tests.inprocess import InProcess
from tests.test_audit import run_audit
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # whole systems, several seconds each


@pytest.fixture
async def matched(settings: Settings) -> AsyncIterator[InProcess]:
    """A room whose gifts a sponsor multiplies by ten."""
    async with InProcess(settings) as system:
        await system.open_room("r1", "bob")
        for user, coins in (("alice", 1_088), ("brand", 100_000)):
            await system.grant(user, coins)
        match = Match("m1", "r1", "brand", "fireworks", 9, 50_000, 0, None)
        await fund_match(system.database, system.wallets, NewMatch(match, "h", "Brand", "Tenfold"), "root")

        async def is_active() -> bool:
            found = await read_match(system.database, "m1")
            return found is not None and found.match.status == "active"

        await wait_until(is_active, "the match is active")
        yield system


async def undo(system: InProcess) -> None:
    """Send a gift, then revoke it once it is booked, as two operators would; its coins come back."""
    sent = await system.gift("alice", "r1", "bob", "fireworks", "the gift")
    assert (await run_audit(system))[0] == 0  # which waits until it is booked
    wanted = await corrections.revocation_of(system.database, "c1", sent.event_id, "undone", "root")
    await corrections.request(system.database, wanted)
    await decide(system.database, system.wallets, "c1", "other", approve=True)
    assert (await system.wallets.read("alice")).balance == 1_088


async def test_an_undone_gift_leaves_nothing(matched: InProcess) -> None:
    await undo(matched)
    code, text = await run_audit(matched)
    assert code == 0, text


async def test_an_undo_that_leaves_what_the_sponsor_has_added(
    matched: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_take_back", lambda *_: {})
    await undo(matched)
    code, text = await run_audit(matched)
    assert code == 1, text
    assert "c1" in text or "m1" in text, text


async def test_an_undo_of_which_the_room_does_not_hear(matched: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    published = publishing.publication

    def without_revocations(partition: int, row: Row, *more: Any) -> object:
        entry = row.entry
        is_revocation = isinstance(entry, WalletChanged) and entry.revokes is not None
        return None if is_revocation else published(partition, row, *more)

    monkeypatch.setattr(relay, "publication", without_revocations)
    await undo(matched)
    code, text = await run_audit(matched)
    assert code == 1, text
    assert "r1" in text, text
