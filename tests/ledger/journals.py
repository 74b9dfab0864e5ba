"""Journals as Redis writes them, for the ledger to book."""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw
from sqlalchemy import select, text

from livegift.contract.journal import Entry, GiftRevoked, GiftSent, StreakEnded, WalletChanged
from livegift.domain.partitions import Position, event_id
from livegift.features.grants.tables import grants
from livegift.ledger import tables
from livegift.ledger.arming import begin_epoch, lock_checkpoint
from livegift.ledger.engine import Database
from livegift.ledger.slices import JournalSlice

JSON = Raw(b"{}")
BOOKED_TABLES = (tables.accounts, tables.gifts, tables.transfers, tables.wallet_heads, tables.checkpoints)


class Journal:
    """One partition's journal: numbers, balances and seqs follow from what was appended before."""

    def __init__(self, partition: int, epoch: int = 1) -> None:
        self.partition = partition
        self.epoch = epoch
        self.wallets: dict[str, tuple[int, int]] = {}
        self.entries: list[tuple[Position, Entry]] = []

    def _move(self, user: str, delta: int) -> tuple[int, int]:
        seq, balance = self.wallets.get(user, (0, 0))
        self.wallets[user] = (seq + 1, balance + delta)
        return self.wallets[user]

    def append(self, entry: Entry) -> "Journal":
        n = self.entries[-1][0].n if self.entries else 0
        self.entries.append((Position(self.epoch, n + 1), entry))
        return self

    def credit(self, user: str, coins: int, ref: str = "start", reason: str = "grant") -> "Journal":
        seq, balance = self._move(user, coins)
        return self.append(WalletChanged(user, seq, balance, f"{reason}:{ref}", coins, reason, 1))

    def gift(
        self, user: str, to: str, coins: int = 5, diamonds: int | None = None, ref: str = "ref", room: str = "r1"
    ) -> "Journal":
        seq, balance = self._move(user, -coins)
        earned = coins if diamonds is None else diamonds
        # fmt: off
        return self.append(GiftSent(
            user, seq, balance, f"{ref}-{seq}", room, to, "rose", 1, coins, earned, "0-1-1", 1, repeat_end=True,
            anonymous=False, ts_ms=seq, user_json=JSON, details_json=JSON, message_json=JSON,
        ))
        # fmt: on

    def revoke(self, index: int, ref: str, *, whole: bool = True) -> "Journal":
        """The coins of the gift at `index` come back by correction `ref`; not `whole` is how it was before."""
        position, gift = self.entries[index]
        assert isinstance(gift, GiftSent)
        seq, balance = self._move(gift.user, gift.coins)
        name = event_id(self.partition, position)
        # fmt: off
        revokes = GiftRevoked(
            name, gift.room, gift.to, gift.gift_id, gift.combo_id, gift.count, gift.coins, gift.diamonds,
            gift.anonymous,
        ) if whole else None
        # fmt: on
        entry = WalletChanged(gift.user, seq, balance, f"revocation:{ref}", gift.coins, "revocation", 1, "", revokes)
        return self.append(entry)

    def streak_end(self, user: str, to: str) -> "Journal":
        return self.append(StreakEnded(user, "r1", to, "rose", "0-1-1", 3, False, 1, JSON, JSON))

    def slice(self, start: int = 0, end: int | None = None) -> JournalSlice:
        """The entries from index `start` to before `end`."""
        after = self.entries[start - 1][0] if start else Position(self.epoch, 0)
        return JournalSlice(self.partition, after, tuple(self.entries[start:end]))


async def arm(database: Database, partitions: Iterable[int], epoch: int = 1) -> None:
    """As if an aggregator had armed them; makes the checkpoints that are missing."""
    async with database.begin() as connection:
        for partition in partitions:
            await connection.execute(
                text("INSERT INTO checkpoints (partition, epoch, n) VALUES (:p, 0, 0) ON CONFLICT DO NOTHING"),
                {"p": partition},
            )
            checkpoint, _ = await lock_checkpoint(connection, partition)
            await begin_epoch(connection, partition, Position(epoch, checkpoint.position.n))


async def accounts(database: Database) -> dict[str, int]:
    async with database.begin() as connection:
        rows = (await connection.execute(select(tables.accounts))).all()
    return {row.name: row.balance for row in rows}


async def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that a booking could touch, in order."""
    found = {}
    async with database.begin() as connection:
        for table in (*BOOKED_TABLES, tables.batches, grants):
            found[table.name] = sorted(map(tuple, (await connection.execute(select(table))).all()), key=str)
    return found


async def assert_sums_are_zero(database: Database) -> None:
    async with database.begin() as connection:
        rows = (await connection.execute(text("SELECT asset, sum(balance) FROM accounts GROUP BY asset"))).all()
    assert {asset: int(total) for asset, total in rows} in ({}, {"COIN": 0}, {"COIN": 0, "DIAMOND": 0})
