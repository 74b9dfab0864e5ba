"""Gifts booked per CPU-second of the aggregator: the outboxes are filled while none runs, then one catches up.

What it uses before it says `worker.leases` (imports, connections, checks) is not counted: it begins to read right after
that line. It ends when the checkpoints have reached the journals' ends. Gifts are debited by the same function call as
the web process makes, by many senders in many rooms, so that bookings touch many wallets and creators.
"""

import time
from collections.abc import Iterator
from functools import cache
from itertools import islice
from statistics import median
from typing import Any

import psycopg

from livegift.contract.wire import details_json, user_json
from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.domain.partitions import partition_of
from livegift.domain.spending import Accepted, GiftSend
from livegift.ledger.engine import Database
from livegift.runtime.bounds import GIFTS_PER_CALL_MAX
from livegift.store.client import Command, Store
from livegift.store.keys import partition_roots
from livegift.store.wallets import Display, batch_outcomes, gift_send, payload_hash
from loadtests.measure import cpu_s, tree_cpu_s
from loadtests.processes import LoadTestError
from loadtests.results import Result, Row
from loadtests.stack import Stack

SENDERS = 1_000
ROOMS = 100
COINS = 10**7
CALLS_PER_EXCHANGE = 32
FILL_DEADLINE_S = 10.0
START_POLL_S = 0.002
TAIL_POLL_S = 0.05
BOOK_TIMEOUT_S = 180.0
COMBO_TIMEOUT_MS = 60_000  # no relay runs, so nothing sweeps streaks; a round is shorter than that

PAYLOAD_HASH = payload_hash("the same for all: refs differ")
ROSE = next(gift for gift in DEFAULT_GIFTS if gift.id == "rose")
Run = dict[str, Any]


def aggregator(rounds: int, gifts: int) -> Result:
    """Book about `gifts` per round. Raises LoadTestError when the ledger does not have each of them in the end."""
    with Stack() as stack:
        stack.start("web")
        stack.start("aggregator")
        stack.wait_ready()
        stack.stop("web")
        stack.grant({f"sender-{number}": COINS for number in range(SENDERS)})
        stack.stop("aggregator")
        runs = []
        for number in range(rounds):
            sent = fill(stack, f"r{number}", gifts)
            runs.append(_book(stack, sent))
        with psycopg.connect(stack.postgres.url) as connection:
            row = connection.execute("SELECT count(*) FROM gifts").fetchone()
        if row is None or row[0] != sum(run["gifts"] for run in runs):
            raise LoadTestError(f"{sum(run['gifts'] for run in runs)} gifts were sent, the ledger has {row}")
    return _result(runs, rounds, gifts)


# --- Filling ----------------------------------------------------------------------------------------------------------


def fill(stack: Stack, run: str, gifts: int, senders: int = SENDERS) -> int:
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


def gift_calls(partitions: int, run: str, gifts: int, senders: int = SENDERS) -> Iterator[tuple[Command, int]]:
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
    return room, creator, Display(user_json(user, user.title(), None), details_json(creator, creator.title(), ROSE))


# --- Booking ----------------------------------------------------------------------------------------------------------


def _book(stack: Stack, gifts: int) -> Run:
    """Start an aggregator, wait until it has booked everything, stop it."""
    log = stack.log("aggregator")
    begin = log.stat().st_size
    ends = _journal_ends(stack)
    with psycopg.connect(stack.postgres.url, autocommit=True) as connection:
        pid = stack.start("aggregator")
        deadline = time.monotonic() + BOOK_TIMEOUT_S
        while b'"worker.leases"' not in log.read_bytes()[begin:]:
            _require_time(deadline, "the aggregator has its leases")
            time.sleep(START_POLL_S)
        since, start_up_s = time.perf_counter(), cpu_s(pid)
        postgres_s, redis_s = tree_cpu_s(stack.postgres.pid), cpu_s(stack.redis.pid)
        while not _is_booked(connection, ends):
            _require_time(deadline, "the checkpoints have reached the journals' ends")
            time.sleep(TAIL_POLL_S)
        used = {
            "aggregator": cpu_s(pid) - start_up_s,
            "postgresql": tree_cpu_s(stack.postgres.pid) - postgres_s,
            "redis": cpu_s(stack.redis.pid) - redis_s,
        }
        took_s = time.perf_counter() - since
    stack.stop("aggregator")
    if b'"aggregator.retry"' in log.read_bytes()[begin:]:
        raise LoadTestError("the aggregator had to repeat a batch: what it used says nothing")
    return {
        "gifts": gifts,
        "seconds": took_s,
        "cpu_s": used,
        "start_up_cpu_s": start_up_s,
        "gifts_per_cpu_s": gifts / max(used["aggregator"], 1e-9),
        "gifts_per_s": gifts / took_s,
    }


def _require_time(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise LoadTestError(f"after {BOOK_TIMEOUT_S:g} s still not: {what}")


def _journal_ends(stack: Stack) -> dict[int, int]:
    """Partition -> number of its last entry."""
    return {partition: state.n for partition, state in stack.partition_states().items()}


def _is_booked(connection: "psycopg.Connection[tuple[int, int]]", ends: dict[int, int]) -> bool:
    booked = dict(connection.execute("SELECT partition, n FROM checkpoints").fetchall())
    return all(booked[partition] >= n for partition, n in ends.items())


def _result(runs: list[Run], rounds: int, gifts: int) -> Result:
    def per_million(name: str) -> float:
        return float(median(run["cpu_s"][name] / run["gifts"] for run in runs)) * 1e6

    rows = [
        Row(
            "gifts booked per CPU-second of the aggregator",
            median(run["gifts_per_cpu_s"] for run in runs),
            "gifts",
            ">= 20,000",
        ),
        Row("aggregator", per_million("aggregator"), "CPU-s per million gifts"),
        Row("PostgreSQL", per_million("postgresql"), "CPU-s per million gifts"),
        Row("Redis", per_million("redis"), "CPU-s per million gifts"),
        Row(
            "gifts booked per second of wall time",
            median(run["gifts_per_s"] for run in runs),
            "gifts",
            note="with the durability barrier (fsync), which waits up to a second",
        ),
        Row("start-up, not counted above", median(run["start_up_cpu_s"] for run in runs), "CPU-s"),
    ]
    setup: dict[str, object] = {
        "gifts_per_round": gifts,
        "rounds": rounds,
        "senders": SENDERS,
        "rooms_and_creators": ROOMS,
        "durability": "fsync",
        "pinned": False,
    }
    return Result(rows, setup, runs)
