"""Transfers apart from wallets: both legs move, once per act, and the audit sees a leg that does not."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from livegift.composition import audit_plan
from livegift.domain.postings import Transfer
from livegift.ledger import accounts, audit
from livegift.ledger.engine import Database

SALE = (Transfer("USD", "money:provider", "money:sold", 199), Transfer("USD", "money:fees", "money:provider", 30))


async def test_an_act_is_posted_once(database: Database) -> None:
    async with database.begin() as connection:
        balances = await accounts.post(connection, "sale", "o1", SALE)
    assert balances == {"money:fees": -30, "money:provider": -169, "money:sold": 199}
    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await accounts.post(connection, "sale", "o1", SALE)
    async with database.snapshot() as connection:
        assert await audit.wrong_accounts(connection, audit_plan().legs) == []
        assert (await audit.unbalanced_assets(connection))[1] == []


async def test_the_audit_misses_a_posting_that_is_gone(database: Database) -> None:
    async with database.begin() as connection:
        await accounts.post(connection, "sale", "o2", SALE)
        await connection.execute(text("DELETE FROM postings WHERE ref = 'o2' AND line = 2"))
    async with database.snapshot() as connection:
        wrong = await audit.wrong_accounts(connection, audit_plan().legs)
    assert [line.split(":")[1] for line in wrong] == ["fees", "provider"]
