"""Invariants: of every state, and of states in which the system is at rest."""

from functools import lru_cache

from tests.simulation import ledger, partition
from tests.simulation.state import PRICE, Config, Ledger, Process, Room, World

Found = str | None


def check_always(world: World, config: Config) -> Found:
    """Return what is wrong with a state, None when nothing is."""
    if world.alarm:
        return world.alarm
    found = _check_wallets(world.live) or (_check_wallets(world.old) if world.old else None)
    found = found or _check_ledger(world.ledger, config.users, config.coins)
    for index, room in enumerate(world.node.rooms):
        found = found or _check_room(room, index)
    return found


def _check_wallets(process: Process) -> Found:
    for user, wallet in enumerate(process.image.wallets):
        if wallet.balance < 0:
            return f"wallet {user} is at {wallet.balance}"
    return None


@lru_cache(maxsize=100_000)
def _check_ledger(books: Ledger, users: tuple[int, ...], coins: int) -> Found:
    before = 0
    spent, counts = [0] * len(books.heads), [0] * len(books.heads)
    for row in books.rows:
        if row.at.n != before + 1:
            return f"after {before} the ledger goes on at {row.at}"
        before = row.at.n
        user = users[row.ref]
        spent[user] += PRICE
        counts[user] += 1
        if (row.balance, row.seq) != (coins - spent[user], counts[user]):
            return f"the ledger has wallet {user} at {row.balance} after {row.at}, expected {coins - spent[user]}"
    if before != books.at.n:
        return f"the checkpoint is {books.at}, the last gift {before}"
    refs = [row.ref for row in books.rows]
    if len(set(refs)) < len(refs):
        return f"a ref has two gifts in the ledger: {refs}"
    heads = tuple((coins - spend, count) for spend, count in zip(spent, counts, strict=True))
    return None if books.heads == heads else f"the heads are {books.heads}, the gifts say {heads}"


@lru_cache(maxsize=100_000)
def _check_room(room: Room, index: int) -> Found:
    refs = [entry.ref for entry in room.counted]
    if len(set(refs)) < len(refs):
        return f"room {index} counts a gift twice: refs {refs}"
    return None


def check_rest(world: World, config: Config) -> Found:
    """Return what is wrong with a state in which no worker has anything left to do."""
    image, books = world.live.image, world.ledger
    if books.stopped:
        return None if "restore" in config.kinds else "the partition was stopped"
    if not partition.is_open(world.live) or world.live.armed != books.at.epoch:
        return f"armed under {world.live.armed}, stored {image.epoch}, the ledger has {books.at.epoch}"
    if image.wallets != books.heads:
        return f"Redis has the wallets {image.wallets}, the ledger {books.heads}"
    if image.n != books.at.n:
        return f"Redis is at {image.n}, the ledger at {books.at.n}"
    found = _check_refs(world) or _check_rooms(world, config)
    if found is None and image.relayed.n < image.n:
        return f"Redis is at {image.n}, but relayed up to {image.relayed}"
    return found


def _check_refs(world: World) -> Found:
    """Check that remembered refs equal the ledger's, since they answer repeated ones."""
    booked = {row.ref: row.at for row in world.ledger.rows}
    known = {ref: at for ref, at in enumerate(world.live.image.refs) if at is not None}
    if known != booked:
        return f"Redis answers refs with {known}, the ledger has {booked}"
    lost = [ref for ref, at in enumerate(world.accepted) if at is not None and booked.get(ref) != at]
    return f"refs {lost} were accepted, nothing has lost them, and they are gone" if lost else None


def _check_rooms(world: World, config: Config) -> Found:
    if not world.node.gate:
        return "the gate is closed"
    for index, room in enumerate(world.node.rooms):
        right = ledger.contribution_of(world.ledger, index, config)
        if room.counted != right:
            have, want = [str(e.at) for e in room.counted], [str(e.at) for e in right]
            return f"room {index} counts {have}, the ledger has {want}"
    return None
