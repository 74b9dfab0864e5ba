"""After the faults: the system comes to rest, unknown outcomes are asked for, then everything is compared."""

import asyncio
import time
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import psycopg

from livegift.audit import audit
from livegift.errors import LivegiftError
from livegift.store.keys import partition_roots, room_root
from tests.faults.checks import check
from tests.faults.model import Verdict
from tests.faults.world import PROCESSES, World
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.faults.runner import Run

ARMED_TIMEOUT_S = 60.0
RESTED_TIMEOUT_S = 15.0
ASK_AGAIN_MAX = 400  # accepted refs that are repeated in the end, to see that they are remembered
ROUNDS_MAX = 40


async def settle_and_check(run: "Run") -> Verdict:
    """The verdict on a run whose operations have all been begun and answered."""
    world = run.world
    await world.heal()
    violations = await _wait_armed(world)
    if violations:
        return Verdict(violations + await _why_not(world))
    violations += await _settle(run)
    violations += await settle_grants(run)
    violations += await _settle_matches(run)
    violations += await run.limited.settle(ROUNDS_MAX)
    violations += await run.payouts.settle()
    violations += await run.purchases.settle(ROUNDS_MAX)
    violations += await _finish_purchases(run)
    violations += await _ask_again(run)
    violations += await _wait_quiet(world)
    try:
        report = await audit(world.settings, 30)
    except LivegiftError as error:
        violations.append(f"audit: {error}")
    else:
        violations += [f"audit {c.number}: {text}" for c in report.checks for text in c.violations]
    await _wait_watchers(run)
    verdict = await check(run)
    verdict.violations += violations
    return verdict


async def rested(world: World) -> bool:
    """Whether the system takes money again, within some time."""

    async def armed() -> bool:
        try:
            return not await world.unarmed()
        except (OSError, psycopg.Error):
            return False

    try:
        await wait_until(armed, "all partitions are armed", RESTED_TIMEOUT_S)
    except AssertionError:
        return False
    return True


async def _wait_armed(world: World) -> list[str]:
    async def armed() -> bool:
        return not await world.unarmed()

    try:
        for name in world.names("web"):
            await world.web_ready(name)
        await wait_until(armed, "all partitions are armed", ARMED_TIMEOUT_S)
    except AssertionError as error:
        return [str(error)]
    return []


async def _why_not(world: World) -> list[str]:
    lines = [f"partition {p} is stopped: {why}" for p, why in (await world.stopped()).items()]
    lines += await world.unarmed()
    for name in PROCESSES:
        lines.append(f"{name}, end of its log: {world.system.log(name)[-600:]}")
    return lines


async def _settle(run: "Run") -> list[str]:
    """Repeat every ref of which some attempt's outcome is unknown, until it is known."""
    refs = run.model.unsettled()
    run.result.unknown = len(refs)
    for turn in range(ROUNDS_MAX):
        left = [ref for ref in refs if not ref.is_settled]
        if not left:
            break

        async def ask(ref: object, web: int = turn % 2) -> None:
            answers = await run.senders[ref.user, web].gift(ref.ref, ref.attempts[0].payload)  # type: ignore[attr-defined]
            ref.is_settled = bool(answers) and answers[-1].kind != "unknown"  # type: ignore[attr-defined]

        for start in range(0, len(left), 500):
            await asyncio.gather(*(ask(ref) for ref in left[start : start + 500]))
        await asyncio.sleep(0.1)  # a pause between attempts
    left = [ref for ref in refs if not ref.is_settled]
    run.result.resolved = len(refs) - len(left)
    # A ref with several payloads: the first may have been refused because another one was accepted. Ask for each.
    several = [ref for ref in refs if len({a.payload for a in ref.attempts}) > 1]
    for ref in several:
        for payload in {attempt.payload for attempt in ref.attempts[1:]} - {ref.attempts[0].payload}:
            await run.senders[ref.user, 0].gift(ref.ref, payload)
    return [f"ref {ref.ref} of {ref.user} never got an answer: {ref.attempts[-3:]}" for ref in left[:10]]


async def settle_grants(run: "Run") -> list[str]:
    """All of them again: a ledger that was set back may not know some. The ref makes it harmless."""
    for grant in run.model.grants.values():
        grant.is_certain = False
    # What was noted as short of memory takes nothing new until somebody has its lease again and looks.
    deadline = time.monotonic() + ARMED_TIMEOUT_S
    while time.monotonic() < deadline:
        left = [ref for ref, grant in run.model.grants.items() if not grant.is_certain]
        if not left:
            return []
        await asyncio.gather(*(run.grant(ref) for ref in left))
        await asyncio.sleep(0.05)  # a pause between attempts
    return [f"grant {ref} never succeeded" for ref, grant in run.model.grants.items() if not grant.is_certain]


async def settle_limits(run: "Run") -> list[str]:
    """Before anything fails: the limit is booked, so whatever is lost, it is not."""
    wrong = await run.limited.settle(ROUNDS_MAX)
    try:
        await wait_until(run.limited.booked, "the limit is booked")
    except AssertionError as error:
        wrong.append(str(error))
    return wrong


async def _finish_purchases(run: "Run") -> list[str]:
    async def finished() -> bool:
        return not await run.purchases.unfinished()

    try:
        await wait_until(finished, "orders are what they are to be", ARMED_TIMEOUT_S)
    except AssertionError:
        return await run.purchases.unfinished()
    return []


async def _settle_matches(run: "Run") -> list[str]:
    """All of them again, until each was answered; then every other one ends, and what is due is given back."""
    for match in run.model.matches.values():
        match.match_id = None
    for _ in range(ROUNDS_MAX):
        left = [key for key, match in run.model.matches.items() if match.match_id is None]
        if not left:
            break
        await asyncio.gather(*(run.fund_match(key) for key in left))
        await asyncio.sleep(0.05)  # a pause between attempts
    else:
        return [f"match {key} was never answered" for key in left]

    async def ended() -> bool:
        odd = "SELECT room, id FROM sponsor_matches WHERE status IN ('funding', 'active') AND number % 2 = 1"
        there = await run.world.query(odd)
        for room, match_id in there:
            await run.end_match(room, match_id)
        due = (
            "SELECT id FROM sponsor_matches WHERE status = 'funding' OR status IN ('exhausted', 'ended') "
            "AND partition IS NOT NULL AND returned_coins < budget_coins - used_coins"
        )
        return not there and not await run.world.query(due)

    try:
        await wait_until(ended, "what is left of matches is given back", 60)
    except AssertionError as error:
        return [str(error), *(f"match {row}" for row in await run.world.query("SELECT * FROM sponsor_matches"))]
    return []


async def _ask_again(run: "Run") -> list[str]:
    """Accepted refs are remembered, also those that Redis had lost and got back from the ledger."""
    accepted = [ref for ref in run.model.refs.values() if ref.events]
    rng = Random(run.result.seed)  # noqa: S311 - repeatable on purpose
    chosen = rng.sample(accepted, min(len(accepted), ASK_AGAIN_MAX))

    async def ask(ref: object) -> str | None:
        last = max(ref.events)  # type: ignore[attr-defined]
        payload = ref.events[last].payload  # type: ignore[attr-defined]
        answers = await run.senders[ref.user, 0].gift(ref.ref, payload)  # type: ignore[attr-defined]
        if run.model.may_be_lost(last) or not answers or answers[-1].event == last:
            return None
        return f"ref {ref.ref} of {ref.user} was accepted as {last}, a repeat got {answers}"  # type: ignore[attr-defined]

    found = await asyncio.gather(*(ask(ref) for ref in chosen))
    return [line for line in found if line is not None]


async def _wait_quiet(world: World) -> list[str]:
    """Streaks have ended, and both readers have everything."""

    def quiet() -> bool:
        with closing(world.redis.client()) as client:
            for root in partition_roots(world.settings.partitions):
                row = client.hmget(f"{root}:meta", "n", "relayed_n", "booked_n")
                if client.exists(f"{root}:due") or len(set(row)) > 1:  # type: ignore[arg-type]
                    return False
        return True

    try:
        await wait_until(quiet, "streaks have ended and the readers have everything", 30)
    except AssertionError as error:
        return [str(error)]
    return []


async def _wait_watchers(run: "Run") -> None:
    """Viewers have what the rooms have, if that can be; the checks tell what they lack."""

    late: dict[str, str] = {}

    def up_to_date() -> bool:
        with closing(run.world.redis.client()) as client:
            for watcher in run.watchers:
                for room, view in watcher.rooms.items():
                    head = client.fcall("room_head_1", 1, room_root(room))
                    if head and [str(view.epoch), str(view.seq)] != head:
                        late[room] = f"{room}: {view.epoch}, {view.seq}, but Redis has {head}"
                        return False
        return True

    try:
        await wait_until(up_to_date, "viewers are up to date", 15)
    except AssertionError:
        run.world.notes.append(f"some viewer did not get a room's last state: {list(late.values())[-1]}")
