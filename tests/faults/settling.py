"""Settling after the faults: the system comes to rest, unknown outcomes are asked for, then everything is compared.

What is not at rest in time is reported apart from what is wrong: a system can't be judged amid its work.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import psycopg

from livegift.contract.errors import LivegiftError
from livegift.store import keys
from livegift.store.functions import VERSION
from livegift.store.keys import partition_roots, room_root
from tests.booking import audit
from tests.faults.checks import check
from tests.faults.model import Payload, Ref, Verdict
from tests.faults.patience import NotInTimeError, Patience, wait_patiently
from tests.faults.world import PROCESSES, World
from tests.partitions import counters

if TYPE_CHECKING:
    from tests.faults.run import Run

ARMED_TIMEOUT_S = 60.0
RESTED_TIMEOUT_S = 15.0
ASK_AGAIN_MAX = 400  # accepted refs to repeat in the end, to see that they are remembered
SETTLE_TIMEOUT_S = 60.0  # for each kind of request that is repeated until it is answered
BOOKED_TIMEOUT_S = 15.0
VIEWERS_TIMEOUT_S = 15.0
LOOKS_MAX = 4
# Matches that will move their sponsor's wallet: unpaid, in a room that is over, or over with coins left.
MATCHES_DUE = (
    "SELECT m.id FROM sponsor_matches m LEFT JOIN rooms r ON r.id = m.room WHERE m.status = 'funding' "
    "OR m.status = 'active' AND (r.id IS NULL OR r.status <> 'live') "
    "OR m.status IN ('exhausted', 'ended') AND m.partition IS NOT NULL "
    "AND m.returned_coins < m.budget_coins - m.used_coins"
)


async def settle_and_check(run: "Run") -> Verdict:
    """Return the verdict on a run whose operations have all been begun and answered."""
    world = run.world
    await world.heal()
    late = await _wait_armed(world)
    if late:
        return Verdict(late=late + await _why_not(world))
    late += await _settle(run)
    late += await settle_grants(run)
    late += await _settle_matches(run)
    late += await run.limited.settle(Patience(SETTLE_TIMEOUT_S))
    late += await run.purchases.settle(Patience(SETTLE_TIMEOUT_S))
    late += await _finish_purchases(run)
    forgotten, unanswered = await _ask_again(run)
    late += unanswered
    verdict = await _look(run)
    verdict.violations += forgotten
    verdict.late = late + verdict.late
    if verdict.late:
        verdict.unjudged, verdict.violations = verdict.violations, []
    return verdict


async def _look(run: "Run") -> Verdict:
    """Compare everything at one moment; look again at what has moved meanwhile."""
    world = run.world
    for _ in range(LOOKS_MAX):
        late = await _wait_quiet(world)
        before = await world.said(world.redis)
        late += await _wait_watchers(run)
        try:
            report = await audit(world.settings, ARMED_TIMEOUT_S)
            verdict = await check(run)
        except (LivegiftError, NotInTimeError) as error:
            return Verdict(late=[*late, str(error)])
        if late or await world.said(world.redis) == before:
            verdict.violations += [f"audit {c.number}: {text}" for c in report.checks for text in c.violations]
            verdict.late += late
            return verdict
    return Verdict(late=[f"wallets still moved after {LOOKS_MAX} looks"])


async def rested(world: World) -> bool:
    """Wait until the system accepts money again. Returns whether it does within some time."""

    async def armed() -> bool:
        try:
            return not await world.unarmed()
        except (OSError, psycopg.Error):
            return False

    return not await _in_time(armed, "all partitions are armed", RESTED_TIMEOUT_S)


async def _in_time(predicate: Callable[[], object], what: str, calm_s: float) -> list[str]:
    """Wait for `predicate`. Returns what to report when it did not become true in time."""
    try:
        await wait_patiently(predicate, what, calm_s)
    except NotInTimeError as error:
        return [str(error)]
    return []


async def _wait_armed(world: World) -> list[str]:
    async def armed() -> bool:
        return not await world.unarmed()

    try:
        for name in world.names("web"):
            await world.web_ready(name)
    except NotInTimeError as error:
        return [str(error)]
    return await _in_time(armed, "all partitions are armed", ARMED_TIMEOUT_S)


async def _why_not(world: World) -> list[str]:
    lines = [f"partition {p} is stopped: {why}" for p, why in (await world.stopped()).items()]
    lines += await world.unarmed()
    for name in PROCESSES:
        lines.append(f"{name}, end of its log: {world.system.log(name)[-600:]}")
    return lines


async def _settle(run: "Run") -> list[str]:
    """Repeat every ref with an attempt of unknown outcome, with each of its payloads, until all are known.

    With each, because the first may have been refused for another one that was accepted without an answer.
    """
    refs = run.model.unsettled()
    run.result.unknown = len(refs)
    left = [(ref, payload) for ref in refs for payload in dict.fromkeys(attempt.payload for attempt in ref.attempts)]
    patience, turn = Patience(SETTLE_TIMEOUT_S), 0

    async def is_answered(ref: Ref, payload: Payload, web: int) -> bool:
        answers = await run.senders[ref.user, web].gift(ref.ref, payload)
        return bool(answers) and answers[-1].kind != "unknown"

    while left and not patience.is_over:
        answered: list[bool] = []
        for start in range(0, len(left), 500):
            asked = (is_answered(ref, payload, turn % 2) for ref, payload in left[start : start + 500])
            answered += await asyncio.gather(*asked)
        left = [one for one, done in zip(left, answered, strict=True) if not done]
        turn += 1
        await asyncio.sleep(0.1)  # a pause between attempts
    unknown = {(ref.user, ref.ref) for ref, _ in left}
    for ref in refs:
        ref.is_settled = (ref.user, ref.ref) not in unknown
    run.result.resolved = len(refs) - len(unknown)
    return [f"{patience}: ref {ref.ref} of {ref.user} never got an answer: {ref.attempts[-3:]}" for ref, _ in left[:10]]


async def settle_grants(run: "Run") -> list[str]:
    """Repeat all grants: a ledger that was set back may not know some. The ref makes that harmless."""
    for grant in run.model.grants.values():
        grant.is_certain = False
    # A partition marked as short of memory accepts nothing new until its next owner looks.
    patience = Patience(SETTLE_TIMEOUT_S)
    while not patience.is_over:
        left = [ref for ref, grant in run.model.grants.items() if not grant.is_certain]
        if not left:
            return []
        await asyncio.gather(*(run.grant(ref) for ref in left))
        await asyncio.sleep(0.05)  # a pause between attempts
    return [
        f"{patience}: grant {ref} never succeeded" for ref, grant in run.model.grants.items() if not grant.is_certain
    ]


async def settle_limits(run: "Run") -> list[str]:
    """Wait, before anything fails, until the limit is booked, so that it can't be lost."""
    late = await run.limited.settle(Patience(SETTLE_TIMEOUT_S))
    return late + await _in_time(run.limited.booked, "the limit is booked", BOOKED_TIMEOUT_S)


async def _finish_purchases(run: "Run") -> list[str]:
    async def finished() -> bool:
        return not await run.purchases.unfinished()

    late = await _in_time(finished, "orders are what they are to be", SETTLE_TIMEOUT_S)
    late = late and late + await run.purchases.unfinished()

    async def moved() -> bool:
        return not await run.undoing.open()

    undone = await _in_time(moved, "gifts that are to be taken back are", SETTLE_TIMEOUT_S)
    return late + (undone and undone + await run.undoing.open())


async def _settle_matches(run: "Run") -> list[str]:
    """Repeat all matches until each was answered; then end every other one, so that what is due is given back."""
    for match in run.model.matches.values():
        match.match_id = None
    patience = Patience(SETTLE_TIMEOUT_S)
    while True:
        left = [key for key, match in run.model.matches.items() if match.match_id is None]
        if not left:
            break
        if patience.is_over:
            return [f"{patience}: match {key} was never answered" for key in left]
        await asyncio.gather(*(run.fund_match(key) for key in left))
        await asyncio.sleep(0.05)  # a pause between attempts

    async def ended() -> bool:
        odd = "SELECT room, id FROM sponsor_matches WHERE status IN ('funding', 'active') AND number % 2 = 1"
        there = await run.world.query(odd)
        for room, match_id in there:
            await run.end_match(room, match_id)
        return not there and not await run.world.query(MATCHES_DUE)

    late = await _in_time(ended, "what is left of matches is given back", SETTLE_TIMEOUT_S)
    return late and late + [f"match {row}" for row in await run.world.query("SELECT * FROM sponsor_matches")]


async def _ask_again(run: "Run") -> tuple[list[str], list[str]]:
    """Check that accepted refs are remembered, including those that Redis got back from the ledger.

    Returns what is wrong, and what had no answer in time.
    """
    accepted = [ref for ref in run.model.refs.values() if ref.events]
    rng = Random(run.result.seed)  # noqa: S311 - repeatable on purpose
    chosen = rng.sample(accepted, min(len(accepted), ASK_AGAIN_MAX))

    patience = Patience(SETTLE_TIMEOUT_S)
    wrong, late = [], []

    async def ask(ref: Ref) -> None:
        last = max(ref.events)
        while True:
            answers = await run.senders[ref.user, 0].gift(ref.ref, ref.events[last].payload)
            if answers and answers[-1].kind != "unknown":
                break
            if patience.is_over:
                late.append(f"{patience}: a repeat of ref {ref.ref} of {ref.user} never got an answer")
                return
            await asyncio.sleep(0.1)  # a pause between attempts
        if answers[-1].event != last and not run.model.may_be_lost(last):
            wrong.append(f"ref {ref.ref} of {ref.user} was accepted as {last}, a repeat got {answers}")

    await asyncio.gather(*(ask(ref) for ref in chosen))
    return wrong, late[:10]


async def _wait_quiet(world: World) -> list[str]:
    """Wait until streaks have ended, both readers have everything, and nothing due would move a wallet by itself."""

    async def quiet() -> bool:
        if await world.query(MATCHES_DUE):
            return False
        with closing(world.redis.client()) as client:
            for root in partition_roots(world.settings.partitions):
                cursors = client.hmget(keys.meta(root), "relayed_n", "booked_n")
                n = counters(client, root).get("n", 0)
                if client.exists(keys.due(root)) or {int(cursor or 0) for cursor in cursors} != {n}:
                    return False
        return True

    return await _in_time(quiet, "streaks have ended and the readers have everything", SETTLE_TIMEOUT_S)


async def _wait_watchers(run: "Run") -> list[str]:
    """Wait until viewers have what the rooms have."""

    late: dict[str, str] = {}

    def up_to_date() -> bool:
        with closing(run.world.redis.client()) as client:
            for watcher in run.watchers:
                for room, view in watcher.rooms.items():
                    head = client.fcall(f"room_head_{VERSION}", 1, room_root(room))
                    if head and [str(view.epoch), str(view.seq)] != head:
                        late[room] = f"{room}: {view.epoch}, {view.seq}, but Redis has {head}"
                        return False
        return True

    late_ones = await _in_time(up_to_date, "viewers are up to date", VIEWERS_TIMEOUT_S)
    return late_ones and late_ones + list(late.values())
