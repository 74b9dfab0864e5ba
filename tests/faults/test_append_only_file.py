"""Redis comes back with its append-only file cut at any byte: a gift is there as a whole, or not at all."""

import os

import pytest

from livegift.contract.errors import StoreUnavailableError
from livegift.store.wallets import Unknown
from tests.faults import files
from tests.faults.small import COINS, HEART, ROOM, OwnRedis, hearts
from tests.inprocess import InProcess, armed_again, passes
from tests.waiting import wait_until

CUTS_MAX = int(os.environ.get("FAULT_CUTS", "160"))


def cuts(data: bytes, first: int) -> list[int]:
    """Return every place around the ends of commands, and a few within them."""
    ends = [at for at, _ in files.commands(data) if at >= first]
    near = {end + off for end in ends for off in (-1, 0, 1) if first <= end + off <= len(data)}
    spread = range(first, len(data), max((len(data) - first) * 2 // CUTS_MAX, 1))
    chosen = sorted(near | set(spread))
    return chosen[:: max(len(chosen) // CUTS_MAX, 1)]


async def written(own: OwnRedis) -> int:
    """Return the size of the file, once everything is in it."""
    return len(own.file.read_bytes())


@pytest.mark.slow
async def test_no_cut_leaves_half_a_gift(small: InProcess, own_redis: OwnRedis) -> None:
    """Without bookings, the wallet and its journal are cut at the same place."""
    root = small.wallets.root_of("alice")
    await hearts(small, 0, 2)
    await passes(small)
    await small.stop_all()
    first = await written(own_redis)
    await hearts(small, 2, 2)
    data = own_redis.file.read_bytes()
    seen = set()
    for cut in cuts(data, first):
        own_redis.start_with(data[:cut])
        balance, seq, entries = own_redis.wallet(root, "alice")
        gifts = seq - 1  # the first change was the grant
        assert balance == COINS - gifts * HEART, f"cut at {cut} of {len(data)}"
        assert 2 <= gifts <= 4
        assert entries >= seq, f"cut at {cut}: {entries} entries for seq {seq}"
        seen.add(gifts)
    assert seen == {2, 3, 4}


@pytest.mark.slow
async def test_what_was_booked_is_put_back_whatever_was_cut(small: InProcess, own_redis: OwnRedis) -> None:
    root = small.wallets.root_of("alice")
    await hearts(small, 0, 2)
    first = await written(own_redis)
    await hearts(small, 2, 2)
    await passes(small)
    data = own_redis.file.read_bytes()
    for cut in cuts(data, first)[::8]:
        own_redis.start_with(data[: files.whole_end(data[:cut])])
        await armed_again(small)
        balance, seq, _ = own_redis.wallet(root, "alice")
        assert (balance, seq) == (COINS - 4 * HEART, 5), f"cut at {cut}"
        again = await small.gift("alice", ROOM, "bob", "heart", "k3")
        assert again.duplicate
    await passes(small)


@pytest.mark.slow
@pytest.mark.parametrize("back", [1, 40, 80, 120])
async def test_half_a_transaction_does_not_come_back_later(small: InProcess, own_redis: OwnRedis, back: int) -> None:
    """Tear the file within a gift; Redis starts, continues, and is started once more."""
    await hearts(small, 0, 2)
    await passes(small)
    await small.stop("aggregator")
    await hearts(small, 2, 1)
    data = own_redis.file.read_bytes()
    end = data.rindex(b"XADD")  # within the gift's transaction, behind the wallet's own command
    own_redis.start_with(data[: end + back])
    small.start_aggregator()
    await armed_again(small)
    root = small.wallets.root_of("alice")
    before = own_redis.wallet(root, "alice")
    own_redis.kill()
    own_redis.start()
    await armed_again(small)
    assert own_redis.wallet(root, "alice")[:2] == before[:2]

    async def accepted() -> bool:
        try:
            return not isinstance(await small.try_gift("alice", ROOM, "bob", "heart", "k9"), Unknown)
        except StoreUnavailableError:
            return False

    await wait_until(accepted, "gifts are taken again")
    balance, seq, _ = own_redis.wallet(root, "alice")
    assert (balance, seq) == (before[0] - HEART, before[1] + 1)
    assert balance == COINS - (seq - 1) * HEART
    await passes(small)
