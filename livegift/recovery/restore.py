"""`livegift restore`: rebuild everything that Redis should have, from the ledger."""

from collections.abc import Iterable, Sequence

from livegift.contract.errors import PartitionStoppedError
from livegift.ledger.arming import set_stopped
from livegift.ledger.engine import Database
from livegift.recovery.partitions import PartitionRecovery, Prepared, log_repairs
from livegift.recovery.rooms import RoomRecovery
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.outbox import Outbox
from livegift.store.rooms import Rooms

AT_WORK = "`livegift restore` is at work; if it was interrupted, run it again"


def recovery_of(
    store: Store, outbox: Outbox, database: Database, settings: Settings
) -> tuple[PartitionRecovery, RoomRecovery]:
    """Create the recovery of partitions and of rooms for one system."""
    rooms = RoomRecovery(store, outbox, Rooms(store), database)
    return PartitionRecovery(store, outbox, database, rooms, settings), rooms


async def restore(settings: Settings, partitions: Iterable[int] | None = None) -> list[str]:
    """Rebuild what Redis lacks of `partitions` (default: all that are not armed) and of all rooms, and arm them.

    Returns lines for the operator. Partitions with entries that are not booked yet are left to the aggregators. It can
    be repeated. Raises StoreUnavailableError or LedgerUnavailableError.
    """
    store = await Store.connect(settings.redis_url)
    database = Database(settings.database_url)
    try:
        await functions.remove_older(store)  # a backup of Redis has the functions of its time
        await functions.load(store)
        outbox = Outbox(store, settings.partitions)
        states = await outbox.states(outbox.roots)
        chosen = sorted(p for p in outbox.roots if p not in states or states[p].armed_epoch == 0)
        return await _restore(store, outbox, database, settings, sorted(partitions) if partitions else chosen)
    finally:
        await database.aclose()
        await store.aclose()


async def _restore(
    store: Store, outbox: Outbox, database: Database, settings: Settings, partitions: Sequence[int]
) -> list[str]:
    of_partitions, of_rooms = recovery_of(store, outbox, database, settings)
    lines = []
    ready: dict[int, Prepared] = {}
    for partition in partitions:
        await set_stopped(database, partition, AT_WORK)  # the aggregators leave it alone
    await of_rooms.close_gates()
    for partition in partitions:
        try:
            prepared = await of_partitions.prepare(partition, restore=True)
        except PartitionStoppedError as error:
            await set_stopped(database, partition, error.reason)
            lines.append(f"partition {partition}: not restored: {error.reason}")
            continue
        if prepared is None:
            await set_stopped(database, partition, None)
            lines.append(f"partition {partition}: has entries that are not booked yet, left to the aggregators")
        else:
            ready[partition] = prepared
    log_repairs(ready.values(), 0)
    await of_partitions.arm(ready)
    for partition in ready:
        await set_stopped(database, partition, None)
    # An aggregator may have opened them before the partitions were armed.
    await of_rooms.close_gates()
    await of_rooms.open_gates()
    lines.append(f"{len(ready)} of {len(partitions)} partitions restored and armed; all rooms compared with the ledger")
    return lines
