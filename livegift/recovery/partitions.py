"""Arming: comparing a partition's state in Redis with the ledger and repairing it, before it may move money."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.contract.errors import PartitionStoppedError, StoreUnavailableError
from livegift.contract.events import ANONYMOUS_SENDER, details_shown, sender_shown, shown
from livegift.contract.journal import LimitsChanged
from livegift.contract.values import GiftKind
from livegift.domain.catalogue import DEFAULT_ICON
from livegift.domain.entries import Row
from livegift.domain.journal import wallet_effect
from livegift.domain.partitions import Position
from livegift.domain.recovery import Comparison, RecoveryStep, compare, position_at
from livegift.ledger import arming as ledger
from livegift.ledger.catalogue import read_gifts
from livegift.ledger.engine import Database
from livegift.ledger.journal import Checkpoint
from livegift.ledger.schema import read_event_id_key
from livegift.recovery.rooms import RoomRecovery
from livegift.runtime import metrics
from livegift.runtime.bounds import (
    OUTBOX_BACKLOG_MAX,
    REPAIR_ENTRIES_MAX,
    SNAPSHOT_TIMEOUT_S,
    STREAK_LOOKBACK_ENTRIES,
    STREAK_REOPEN_S,
    TRANSACTION_TIMEOUT_S,
)
from livegift.runtime.settings import Settings
from livegift.store.client import Store
from livegift.store.outbox import Outbox
from livegift.store.repair import BrokenRef, OpenStreak, Repair, RestoredAnswer, RestoredWallet

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Repaired:
    """The extent of a repair: entries cut off and put back, broken refs, and the refs, wallets and streaks written."""

    diverged: int = 0
    lost: int = 0
    broken: int = 0
    refs: int = 0
    wallets: int = 0
    streaks: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A partition that is disarmed and correct. The holder of the token may arm it at `at`."""

    partition: int
    token: str
    at: Position
    bases: Mapping[int, int]
    relayed_n: int
    """How far the relay has published: entries up to this n that rooms lack will not come from a relay."""
    repaired: Repaired | None
    """None when nothing had to be repaired."""


def log_repairs(prepared: Collection[Prepared], armed: int) -> None:
    """Log what was repaired and how many partitions were armed: one line each, for all partitions together."""
    repaired = [ready.repaired for ready in prepared if ready.repaired is not None]
    if repaired:
        sums = {field.name: sum(getattr(each, field.name) for each in repaired) for field in fields(Repaired)}
        log.warning("partition.repaired", count=len(repaired), **sums)
    if armed:
        log.info("partition.armed", count=armed)


def _restored_wallet(balance: ledger.WalletBalance) -> RestoredWallet:
    return RestoredWallet(balance.user, balance.balance, balance.seq, balance.frozen, balance.limits, balance.usage)


class PartitionRecovery:
    """Compares, repairs and arms partitions."""

    def __init__(
        self, store: Store, outbox: Outbox, database: Database, rooms: RoomRecovery, settings: Settings
    ) -> None:
        """Use stores and settings of one system."""
        self._store = store
        self._outbox = outbox
        self._database = database
        self._rooms = rooms
        self._settings = settings

    async def prepare(self, partition: int, *, restore: bool = False) -> Prepared | None:
        """Disarm and repair a partition and begin its next epoch. Returns None while entries have to be booked first.

        With `restore`, fill it even if Redis has nothing of it, whatever that costs. Raises PartitionStoppedError when
        a person has to decide, StoreUnavailableError or LedgerUnavailableError to try again later.
        """
        # Filling an empty partition may take long, and nothing waits for it.
        deadline_s = SNAPSHOT_TIMEOUT_S if restore else TRANSACTION_TIMEOUT_S
        async with self._database.begin(deadline_s) as connection:
            checkpoint, bases = await ledger.lock_checkpoint(connection, partition)
            if checkpoint.stopped and not restore:
                raise PartitionStoppedError(partition, checkpoint.stopped)
            token, said = await self._outbox.disarm(partition)
            comparison = compare(said, checkpoint.position, bases)
            log.debug("partition.compared", partition=partition, store=str(said), ledger=str(checkpoint.position),
                      step=str(comparison.step), diverged=comparison.diverged, lost=comparison.lost)  # fmt: skip
            repair = Repair(self._store, self._outbox.roots[partition], partition, token)
            await repair.convert_streaks()
            if comparison.step is RecoveryStep.DRAIN:
                await self._check_drainable(repair, partition, checkpoint.position)
                return None
            self._refuse(partition, comparison, restore=restore)
            broken = await repair.broken()
            repaired = None
            if comparison.step is not RecoveryStep.ARM or broken:
                repaired = await self._repair(connection, repair, said, checkpoint, bases, comparison, broken)
            await self._thaw_debtors(connection, repair, partition)
            # The cursor does not move while the partition is disarmed.
            state = (await self._outbox.states([partition])).get(partition)
            if state is None:
                raise StoreUnavailableError(f"partition {partition} did not say how far its relay is", executed=False)
            at = Position(max(said.epoch, checkpoint.position.epoch) + 1, checkpoint.position.n)
            await ledger.begin_epoch(connection, partition, at)
        log.debug("partition.epoch_begun", partition=partition, epoch=at.epoch, base=at.n)
        return Prepared(partition, token, at, bases, state.relayed.n, repaired)

    @staticmethod
    def _refuse(partition: int, comparison: Comparison, *, restore: bool) -> None:
        """Raise PartitionStoppedError for a comparison on which a person has to decide."""
        if comparison.step is RecoveryStep.STOP:
            raise PartitionStoppedError(partition, comparison.reason)
        if restore:
            return
        if comparison.step is RecoveryStep.RESTORE:
            raise PartitionStoppedError(
                partition, f"{comparison.reason}; if it is the right one, run `livegift restore`"
            )
        if comparison.lost + comparison.diverged > REPAIR_ENTRIES_MAX:
            raise PartitionStoppedError(
                partition, f"{comparison.lost} entries are lost in Redis, that takes a while: run `livegift restore`"
            )

    async def arm(self, prepared: Mapping[int, Prepared]) -> None:
        """Fence the rooms, correct those on another branch, then let money move.

        Raises StoreUnavailableError; then begin again with `prepare`.
        """
        key = await read_event_id_key(self._database)
        await self._rooms.fence(prepared)
        for partition, ready in prepared.items():
            await self._outbox.arm(partition, ready.at, ready.token, OUTBOX_BACKLOG_MAX, key)
            metrics.ARMED.inc()
        await self._outbox.advance("booked", {p: ready.at for p, ready in prepared.items()})

    async def _check_drainable(self, repair: Repair, partition: int, booked: Position) -> None:
        """Raise PartitionStoppedError if the entries to be booked first are not all there: waiting would never end."""
        first = await self._outbox.first_after(partition, booked)
        if first is None or first.n != booked.n + 1:
            await repair.check()
            raise PartitionStoppedError(
                partition,
                f"the ledger has booked up to {booked}, but the journal goes on at {first}: entries are missing",
            )

    async def _repair(
        self,
        connection: AsyncConnection,
        repair: Repair,
        said: Position,
        checkpoint: Checkpoint,
        bases: Mapping[int, int],
        comparison: Comparison,
        broken: Sequence[BrokenRef],
    ) -> Repaired:
        """Make Redis equal to the ledger, changing only what the diverged and the lost entries have touched."""
        started, common_n, partition = time.monotonic(), comparison.common_n, checkpoint.partition
        common = position_at(common_n, bases)
        rows = await self._diverged(repair, partition, common_n, said.n) if comparison.diverged else []
        effects = [effect for row in rows if (effect := wallet_effect(row.entry)) is not None]
        touched = await ledger.touched_users(connection, partition, common)
        limited = {row.entry.user for row in rows if isinstance(row.entry, LimitsChanged)}
        users = sorted({*touched, *limited, *(effect.user for effect in effects), *(ref.user for ref in broken)})
        await repair.forget(rows)
        await repair.forget_broken(broken)
        async for balances in ledger.wallet_balances_of(connection, users):
            await repair.put_wallets(_restored_wallet(balance) for balance in balances)
        since_ms = int((time.time() - self._settings.ref_ttl_s) * 1000)
        refs = 0
        async for booked in ledger.refs_after(connection, partition, common, since_ms):
            await repair.put_refs([_restored_answer(ref) for ref in booked], self._settings.ref_ttl_s)
            refs += len(booked)
        streaks = await self._repair_streaks(
            connection, repair, partition, common, bases, forgotten=bool(rows or broken)
        )
        await repair.put_position(common_n, checkpoint.position, checkpoint.gifts, checkpoint.coins)
        metrics.REPAIRED_WALLETS.inc(len(users))
        repaired = Repaired(len(rows), comparison.lost, len(broken), refs, len(users), streaks)
        seconds = round(time.monotonic() - started, 3)
        log.debug("partition.written", partition=partition, seconds=seconds, **asdict(repaired))
        return repaired

    @staticmethod
    async def _thaw_debtors(connection: AsyncConnection, repair: Repair, partition: int) -> None:
        """Undo the freezes of earlier versions that no operator asked for: a wallet below zero can't send anyway.

        Everything is booked, and nothing changes while the partition is disarmed, so the ledger's wallets equal Redis'.
        """
        debtors = await ledger.debtors_to_thaw(connection, partition)
        if debtors:
            async for balances in ledger.wallet_balances_of(connection, debtors):
                await repair.put_wallets(_restored_wallet(balance) for balance in balances)
            log.info("partition.debtors_thawed", partition=partition, wallets=len(debtors))

    async def _diverged(self, repair: Repair, partition: int, common_n: int, n: int) -> list[Row]:
        try:
            return await repair.diverged(common_n, n)
        except StoreUnavailableError as error:
            if error.executed is None:
                raise
            await repair.check()
            raise PartitionStoppedError(partition, f"Redis is on another branch, and {error}") from error

    async def _repair_streaks(
        self,
        connection: AsyncConnection,
        repair: Repair,
        partition: int,
        common: Position,
        bases: Mapping[int, int],
        *,
        forgotten: bool,
    ) -> int:
        """Remove the streaks whose end was booked, and reopen those that the ledger knows and Redis does not."""
        ended = {_position_text(combo) for combo in await ledger.ended_combos(connection, partition, common)}
        there = await repair.open_streaks()
        await repair.drop_streaks(key for key, combo in there.items() if combo in ended)
        # Forgetting entries has removed their streaks, including those that had begun before.
        looks_back = forgotten or await ledger.has_revocations_after(connection, partition, common)
        after = position_at(max(common.n - STREAK_LOOKBACK_ENTRIES, 0), bases) if looks_back else common
        since_ms = int((time.time() - STREAK_REOPEN_S) * 1000)
        booked = await ledger.streaks_after(connection, partition, after, since_ms)
        kinds = {kind.id: kind for kind in await read_gifts(self._database, with_inactive=True)}
        again = [self._streak(streak, kinds) for streak in booked]
        again = [s for s in again if s.key not in there or there[s.key] in ended or s.last_n > common.n]
        await repair.put_streaks(again)
        return len(again)

    def _streak(self, streak: ledger.BookedStreak, kinds: Mapping[str, GiftKind]) -> OpenStreak:
        """Return a streak as Redis has it. Names are not in the ledger, so ids stand for them."""
        return OpenStreak(
            streak.room,
            streak.gift_id,
            streak.to,
            streak.anonymous,
            streak.user,
            _position_text(streak.combo_id),
            streak.repeat_count,
            streak.ts_ms + self._settings.combo_timeout_ms,
            shown(
                ANONYMOUS_SENDER if streak.anonymous else sender_shown(streak.user, None),
                details_of(streak.to, streak.gift_id, kinds),
            ),
            streak.n,
        )


def details_of(to: str, gift_id: str, kinds: Mapping[str, GiftKind]) -> str:
    """Return receiver and gift as the journal keeps them. A gift that the catalogue lacks is shown by its id."""
    unknown = GiftKind(gift_id, gift_id, 0, 0, streakable=True, tier=1, icon=DEFAULT_ICON)
    return details_shown(to, kinds.get(gift_id, unknown))


def _position_text(combo_id: str) -> str:
    """Return the `<epoch>-<n>` of an event's id `<partition>-<epoch>-<n>`."""
    return combo_id.partition("-")[2]


def _restored_answer(ref: ledger.BookedRef) -> RestoredAnswer:
    if ref.combo_id is None:
        return RestoredAnswer(ref.user, f"!{ref.ref}", ref.payload_hash, ref.position, ref.coins, "", 0, ref.ts_ms)
    return RestoredAnswer(
        ref.user,
        ref.ref,
        ref.payload_hash,
        ref.position,
        ref.coins,
        _position_text(ref.combo_id),
        ref.repeat_count or 0,
        ref.ts_ms,
    )
