"""Gifts debited straight in Redis, by the function calls that a web process makes under load.

Many senders in many rooms, so that publishing and booking touch many wallets and creators.
"""

import time
from collections.abc import Iterator
from functools import cache
from itertools import islice

from livegift.contract.events import details_shown, sender_shown, shown
from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, GiftSend
from livegift.ledger.engine import Database
from livegift.runtime.bounds import GIFTS_PER_CALL_MAX
from livegift.store.client import Store
from livegift.store.keys import partition_roots
from livegift.store.link import Command
from livegift.store.wallets import Display, batch_outcomes, gift_send, payload_hash
from loadtests.harness.processes import LoadTestError
from loadtests.harness.stack import Stack

ROOMS = 100
COINS = 10**7
CALLS_PER_EXCHANGE = 32
FILL_DEADLINE_S = 10.0
COMBO_TIMEOUT_MS = 60_000  # no relay runs, so nothing sweeps streaks; a round is shorter than that

PAYLOAD_HASH = payload_hash("the same for all: refs differ")
ROSE = next(gift for gift in DEFAULT_GIFTS if gift.id == "rose")


def fill(stack: Stack, run: str, gifts: int, senders: int) -> int:
    """Debit `gifts` (rounded to a multiple of the senders); returns how many. Every one must be accepted."""

    async def send(store: Store, _database: Database) -> int:
        sent = 0
        link = await store.nodes[0].link().open()
        # Made as they are sent: a call that is a minute old is refused, its clock differs too much from Redis'.
        calls = gift_calls(stack.settings.partitions, run, gifts, senders)
        try:
            while batch := list(islice(calls, CALLS_PER_EXCHANGE)):
                replies = await link.exchange([command for command, _ in batch], FILL_DEADLINE_S)
                for reply, (_, count) in zip(replies, batch, strict=True):
                    wrong = [one for one in batch_outcomes(reply, count) if not isinstance(one, Accepted)]
                    if wrong:
                        raise LoadTestError(f"a gift was not accepted: {wrong[0]}")
                    sent += count
        finally:
            await link.close()
        return sent

    return int(stack.with_stores(send))


def gift_calls(partitions: int, run: str, gifts: int, senders: int) -> Iterator[tuple[Command, int]]:
    """The function calls, as the micro-batcher would make them under load, and how many gifts each has."""
    roots = partition_roots(partitions)
    by_root: dict[str, list[str]] = {}
    for number in range(senders):
        user = f"sender-{number}"
        by_root.setdefault(roots[partition_of(user, partitions)], []).append(user)
    for turn in range(gifts // senders):
        for root, users in by_root.items():
            for first in range(0, len(users), GIFTS_PER_CALL_MAX):
                some = users[first : first + GIFTS_PER_CALL_MAX]
                pairs = [_gift(user, f"{run}-{turn}") for user in some]
                yield gift_send(root, pairs, int(time.time() * 1000), COMBO_TIMEOUT_MS, 86_400), len(some)


def _gift(user: str, ref: str) -> tuple[GiftSend, Display]:
    room, creator, display = _surroundings(user)
    gift = GiftSend(
        user=user,
        ref=ref,
        payload_hash=PAYLOAD_HASH,
        room=room,
        to=creator,
        gift_id=ROSE.id,
        price=ROSE.coins,
        count=1,
        diamond_count=ROSE.diamond_count,
        streakable=ROSE.streakable,
    )
    return gift, display


@cache
def _surroundings(user: str) -> tuple[str, str, Display]:
    """The room and creator of a sender, and what the gift's event shows."""
    number = int(user.rpartition("-")[2]) % ROOMS
    room, creator = f"room-{number}", f"creator-{number}"
    return room, creator, Display(shown(sender_shown(user.title(), None), details_shown(creator.title(), ROSE)))
