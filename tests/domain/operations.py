"""Hypothesis strategies for what can happen to a partition, and a way to let it happen to the pure model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from livegift.contract.bounds import AMOUNT_MAX
from livegift.contract.journal import GiftRevoked
from livegift.domain.allowances import NO_POLICY, Caps, Policy
from livegift.domain.spending import (
    Accepted,
    Change,
    GiftSend,
    LimitsSet,
    Partition,
    Refused,
    SetLimits,
    change_wallet,
    send_gift,
    set_limits,
)
from livegift.domain.spending import sweep_streaks as sweep_partition

# A host product's ids may have the separator of keys: "0|ann" to "auth0" must not be "ann" to "auth0|0".
USERS = ("ann", "0|ann", "c:3@x.example")
ROOMS = ("r1", "r1:x", "r2")
REFS = tuple("abcdefghijklmnopqrst")
HASHES = ("aa", "bb")
VERDICTS = ("room_ended", "price_changed", "gift_not_found")
EDGES = (AMOUNT_MAX - 1, AMOUNT_MAX, AMOUNT_MAX + 1, 2**53 - 1, 2**53, 2**53 + 1)

Outcome = Accepted | Refused | LimitsSet
T = TypeVar("T")
TIMEOUT_MS = 1000
quick = settings(max_examples=30, deadline=None)


@dataclass(frozen=True)
class Gifts:
    """One call with several gifts."""

    sends: tuple[GiftSend, ...]
    timeout_ms: int


@dataclass(frozen=True)
class Sweep:
    """The streaks that are over, or all of `room`."""

    room: str = ""


@dataclass(frozen=True)
class Pass:
    """Time passes."""

    ms: int


Operation = Gifts | Change | SetLimits | Sweep | Pass
POLICIES = (
    Policy(20261130, Caps()),
    Policy(20261130, Caps(None, 2_000, 9_000)),
    Policy(20261201, Caps(500, None, 3_000), 6),
    Policy(20261129, Caps(None, 100, None)),
)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """`usual` four times as often as all others together."""
    return st.sampled_from((*(usual,) * 4 * len(others), *others))


def amounts() -> st.SearchStrategy[int]:
    """Mostly small, so that gifts are accepted; sometimes at a limit."""
    return st.sampled_from((1, 1, 2, 5, 7, 30, 100, 199, 999, 5000) * 3 + EDGES)


def gift_sends() -> st.SearchStrategy[GiftSend]:
    """A gift of one of few users, with one of some refs, so that streaks grow and refs collide."""
    return st.builds(
        GiftSend,
        user=st.sampled_from(USERS),
        ref=st.sampled_from(REFS),
        payload_hash=mostly(*HASHES),
        room=mostly(*ROOMS),
        to=mostly("dan", "auth0", "auth0|0"),
        gift_id=mostly("rose", "heart"),
        price=amounts(),
        count=mostly(1, 2, 3, 999),
        diamond_count=mostly(1, 0, 5, *EDGES),
        streakable=mostly(True, False),
        anonymous=mostly(False, True),
        verdict=mostly("", *VERDICTS),
        policy=mostly(NO_POLICY, *POLICIES),
    )


def deposits() -> st.SearchStrategy[Change]:
    """A credit."""
    return st.builds(
        Change, st.sampled_from(USERS), st.sampled_from(REFS), mostly(*HASHES), amounts(), st.just("grant")
    )


def corrections() -> st.SearchStrategy[Change]:
    """A change of any sign."""
    deltas = st.tuples(amounts(), st.sampled_from((1, -1, -1))).map(lambda pair: pair[0] * pair[1])
    return st.builds(
        Change,
        st.sampled_from(USERS),
        st.sampled_from(REFS),
        mostly(*HASHES),
        deltas,
        st.just("correction"),
        overdraw=st.booleans(),
    )


def revocations() -> st.SearchStrategy[Change]:
    """The coins of a gift come back; its streak may go on, be over or be another one by now."""
    gifts = st.builds(
        GiftRevoked,
        event_id=st.just("3-1-4"),
        room=mostly(*ROOMS),
        to=mostly("dan", "eve"),
        gift_id=mostly("rose", "heart"),
        combo_id=st.sampled_from([f"{partition}-1-{n}" for partition in (3, 7) for n in range(3, 9)]),
        count=mostly(1, 2, 3, 999),
        coins=st.just(5),
        diamonds=st.just(5),
        anonymous=mostly(False, True),
    )
    return st.builds(
        Change,
        st.sampled_from(USERS),
        st.sampled_from(REFS),
        mostly(*HASHES),
        amounts(),
        st.just("revocation"),
        revokes=gifts,
    )


def limit_changes() -> st.SearchStrategy[SetLimits]:
    """A viewer's change of limits or an operator's freeze, often of a version that is not the one there is."""
    caps = st.one_of(st.none(), st.sampled_from((0, 10, 300, 5_000)))
    return st.builds(
        SetLimits,
        user=st.sampled_from(USERS),
        version=mostly(0, 1, 2),
        wanted=st.one_of(st.none(), st.builds(Caps, caps, caps, caps)),
        delay_ms=st.sampled_from((0, 10**9)),
        frozen=mostly(None, False, True),
        why=st.sampled_from(("", 'a "reason"')),
        by=st.sampled_from(("", "root")),
    )


def operations(timeouts: Sequence[int], others: Sequence[Operation] = ()) -> st.SearchStrategy[list[Operation]]:
    """A history. `timeouts` are those of streaks, `others` are sweeps and pauses that may fall in between."""
    gifts = st.builds(
        Gifts, st.lists(gift_sends(), min_size=2, max_size=5).map(tuple), st.sampled_from(tuple(timeouts))
    )
    kinds: list[st.SearchStrategy[Operation]] = [gifts, gifts, gifts, deposits(), corrections(), revocations()]
    kinds.append(limit_changes())
    if others:
        kinds.append(st.sampled_from(tuple(others)))
    coins = st.sampled_from((50_000, 50_000, 50_000, 1_000, 20, AMOUNT_MAX - 1, AMOUNT_MAX))
    opening = st.tuples(
        *(st.builds(Change, st.just(u), st.just("start"), st.just("aa"), coins, st.just("grant")) for u in USERS)
    )
    return st.tuples(opening, st.lists(st.one_of(kinds), min_size=5, max_size=16)).map(
        lambda pair: [*pair[0], *pair[1]]
    )


def apply(partition: Partition, operation: Operation, now_ms: int) -> tuple[Partition, list[Outcome]]:
    """The model after one operation, and what was answered."""
    if isinstance(operation, Change):
        partition, outcome = change_wallet(partition, operation)
        return partition, [outcome]
    if isinstance(operation, SetLimits):
        partition, said = set_limits(partition, operation, now_ms)
        return partition, [said]
    if isinstance(operation, Sweep):
        return sweep_partition(partition, now_ms, operation.room), []
    outcomes: list[Outcome] = []
    if isinstance(operation, Gifts):
        for send in operation.sends:
            partition, outcome = send_gift(partition, send, now_ms, operation.timeout_ms)
            outcomes.append(outcome)
    return partition, outcomes


def play(history: list[Operation], partition: Partition | None = None) -> tuple[Partition, list[Outcome], int]:
    """The partition after a history, everything that was answered, and the time."""
    partition = partition or Partition(3)
    outcomes: list[Outcome] = []
    now_ms = 1_000_000
    for operation in history:
        if isinstance(operation, Pass):
            now_ms += operation.ms
        partition, answers = apply(partition, operation, now_ms)
        outcomes += answers
    return partition, outcomes, now_ms


def gift(**fields: object) -> GiftSend:
    plain: dict[str, object] = {
        "user": "ann",
        "ref": "ref",
        "payload_hash": "aa",
        "room": "r1",
        "to": "dan",
        "gift_id": "rose",
        "price": 5,
        "count": 2,
        "diamond_count": 3,
        "streakable": False,
    }
    return GiftSend(**{**plain, **fields})  # type: ignore[arg-type]


def rich(coins: int = 1000, user: str = "ann") -> Partition:
    partition, outcome = change_wallet(Partition(3), Change(user, "start", "aa", coins, "grant"))
    assert isinstance(outcome, Accepted)
    return partition
