"""The functions of a partition's Redis: each is atomic, and returns None where Redis refuses or nothing changes."""

from typing import TypeVar

from livegift.domain.partitions import Position
from tests.simulation.state import PRICE, Config, Design, Entry, Image, Incarnation, Process, Wallet

T = TypeVar("T")


def is_open(process: Process) -> bool:
    """Return whether money moves."""
    return process.armed == process.image.epoch and process.armed > 0


def send(process: Process, refs: tuple[int, ...], config: Config) -> Process | None:
    """`gift_send`. A known ref gets its first answer, which changes nothing; so does a wallet without coins."""
    image = process.image
    if not is_open(process):
        return None
    entries: list[Entry] = []
    for ref in refs:
        user = config.users[ref]
        balance, seq = image.wallets[user]
        if image.refs[ref] is not None or balance < PRICE:
            continue
        at = Position(image.epoch, image.n + 1)
        entries.append(Entry(at, ref, seq + 1, balance - PRICE, at.n))
        wallets = put(image.wallets, user, Wallet(balance - PRICE, seq + 1))
        image = image._replace(n=at.n, wallets=wallets, refs=put(image.refs, ref, at))
    if not entries:
        return None
    appended = tuple(entry._replace(last_n=image.n) for entry in entries)
    return process._replace(image=image._replace(outbox=image.outbox + appended))


def after(image: Image, cursor: Position, design: Design) -> tuple[Entry, ...]:
    """XREAD, which gives entries by their ids: return the gifts after a cursor."""
    return tuple(entry for entry in image.outbox if (entry.at if design.drop else entry.id) > cursor)


def reach(image: Image, design: Design) -> int:
    """Return the n after which the outbox has every entry."""
    oldest = image.outbox[0].at.n - 1 if image.outbox else image.n
    return max(oldest, image.whole_after) if design.whole else oldest


def disarm(process: Process, token: int, design: Design) -> Process:
    """`partition_disarm`."""
    return process._replace(armed=0 if design.disarm else process.armed, claim=token)


def arm(process: Process, at: Position, token: int, design: Design) -> Process | None:
    """`partition_arm`."""
    image = process.image
    if design.arm_claim and (process.claim != token or process.armed):
        return None
    if image.epoch > at.epoch or (design.new_epoch and image.epoch == at.epoch):
        return None
    if design.arm_n and image.n != at.n:
        return None
    relayed = at if image.relayed.n > at.n else image.relayed
    return process._replace(image=image._replace(epoch=at.epoch, relayed=relayed), armed=at.epoch, claim=0)


def is_claimed(process: Process, token: int, design: Design) -> bool:
    """Return whether `token` allows repairing."""
    return not design.repair_claim or (process.claim == token and not process.armed)


def advance_relayed(image: Image, to: Position, incarnation: Incarnation, design: Design) -> Image | None:
    """`cursor_advance` of a relay."""
    if (
        to <= image.relayed
        or _is_beyond(image, to, design)
        or (design.save == "incarnation" and incarnation[0] != image.epoch)
    ):
        return None
    if design.save != "any" and incarnation[1] != image.generation:
        return None
    return image._replace(relayed=to)


def advance_booked(image: Image, to: Position, design: Design) -> Image | None:
    """`cursor_advance` of an aggregator."""
    if to <= image.booked or _is_beyond(image, to, design):
        return None
    return image._replace(booked=to)


def _is_beyond(image: Image, to: Position, design: Design) -> bool:
    return design.cursor_own and to > Position(image.epoch, image.n)


def rewind(image: Image, to: Position) -> Image:
    """`cursor_rewind`."""
    return image._replace(relayed=min(to, image.relayed), generation=image.generation + 1)


def trim(image: Image, upto: Position, design: Design) -> Image | None:
    """`outbox_trim`: the entry at `upto` itself stays."""
    if design.keep_booked:
        upto = min(upto, image.booked)
    if design.keep_relayed:
        upto = min(upto, image.relayed)
    kept = tuple(entry for entry in image.outbox if entry.id >= upto)
    return image._replace(outbox=kept) if len(kept) < len(image.outbox) else None


def forget(image: Image, entries: tuple[Entry, ...]) -> Image:
    """`refs_drop`."""
    refs = image.refs
    for entry in entries:
        refs = put(refs, entry.ref, None)
    return image._replace(refs=refs)


def put_wallets(image: Image, wallets: dict[int, Wallet]) -> Image:
    """`wallets_put`."""
    changed = image.wallets
    for user, wallet in wallets.items():
        changed = put(changed, user, wallet)
    return image._replace(wallets=changed)


def put_refs(image: Image, rows: tuple[Entry, ...]) -> Image:
    """`refs_put`."""
    refs = image.refs
    for row in rows:
        refs = put(refs, row.ref, row.at)
    return image._replace(refs=refs)


def cut(image: Image, above: int) -> Image:
    """Remove the gifts with an n above `above`; of an entry that goes beyond it, the part before stays."""
    kept = (entry._replace(last_n=min(entry.last_n, above)) for entry in image.outbox if entry.at.n <= above)
    return image._replace(outbox=tuple(kept))


def put_position(image: Image, common_n: int, at: Position, design: Design) -> Image:
    """`partition_put`: cut the outbox and store the partition's position. No relay will publish entries before it."""
    if design.cut and design.cut_with_n:
        image = cut(image, common_n)
    epoch = at.epoch if design.put_epoch else image.epoch
    return image._replace(epoch=epoch, n=at.n, relayed=at, generation=image.generation + 1, whole_after=at.n)


def put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """Return `items` with another one at `index`."""
    return (*items[:index], item, *items[index + 1 :])
