"""`livegift doctor`: the health of every part, and what to do about one that is unhealthy."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable

from livegift.contract.errors import LivegiftError
from livegift.ledger import schema
from livegift.ledger.engine import Database
from livegift.ledger.journal import read_checkpoints
from livegift.ledger.quarantine import list_quarantined
from livegift.operations.worker_health import PartHealth, examine_workers
from livegift.runtime.bounds import DOCTOR_TIMEOUT_S, QUARANTINE_OPEN_MAX
from livegift.runtime.settings import Settings
from livegift.store import functions
from livegift.store.client import Store
from livegift.store.outbox import Outbox
from livegift.store.server import check_servers, memory_share


async def examine(settings: Settings, url: str) -> list[PartHealth]:
    """Return the health of each part. Web processes are asked at `url`, unless it is empty.

    Raises nothing: a part that can't be asked is reported as unhealthy.
    """
    database = Database(settings.database_url)
    try:
        found = [await _asked("postgresql", lambda: _postgresql(settings, database))]
        try:
            async with asyncio.timeout(DOCTOR_TIMEOUT_S):
                store = await Store.connect(settings.redis_url)
        except (LivegiftError, TimeoutError) as error:
            found.append(PartHealth("redis", is_healthy=False, detail=str(error) or "no answer"))
        else:
            try:
                found += await _with_redis(settings, store, database)
            finally:
                await store.aclose()
        if url:
            found.append(await _asked("web", lambda: asyncio.to_thread(_web, url)))
        return found
    finally:
        await database.aclose()


async def _asked(part: str, question: Callable[[], Awaitable[str]]) -> PartHealth:
    try:
        async with asyncio.timeout(DOCTOR_TIMEOUT_S):
            return PartHealth(part, is_healthy=True, detail=await question())
    except (LivegiftError, OSError) as error:  # TimeoutError is an OSError
        return PartHealth(part, is_healthy=False, detail=str(error) or f"no answer within {DOCTOR_TIMEOUT_S:g} s")


async def _postgresql(settings: Settings, database: Database) -> str:
    await schema.check(database, settings.partitions)
    return f"schema {schema.VERSION}"


async def _with_redis(settings: Settings, store: Store, database: Database) -> list[PartHealth]:
    outbox = Outbox(store, settings.partitions)

    async def redis() -> str:
        await check_servers(store, settings.durability)
        await functions.check(store)
        shares = [f"{node.name} {await memory_share(node):.0%} of its memory" for node in store.nodes]
        return f"functions of version {functions.VERSION}; {', '.join(shares)}"

    found = [
        await _asked("redis", redis),
        await _asked("partitions", lambda: _partitions(outbox, database)),
        await _asked("quarantine", lambda: _quarantine(database)),
    ]
    try:
        async with asyncio.timeout(DOCTOR_TIMEOUT_S):
            return found + await examine_workers(outbox, await outbox.states(outbox.roots))
    except (LivegiftError, TimeoutError) as error:
        return [*found, PartHealth("workers", is_healthy=False, detail=str(error) or "no answer")]


async def _partitions(outbox: Outbox, database: Database) -> str:
    states = await outbox.states(outbox.roots)
    stopped = [str(p) for p, known in (await read_checkpoints(database, None)).items() if known.stopped]
    if stopped:
        raise LivegiftError(f"stopped: {', '.join(stopped)}; `livegift partition show P` says why")
    unarmed = [p for p in outbox.roots if p not in states or not states[p].armed_epoch]
    if unarmed:
        raise LivegiftError(f"{len(unarmed)} of {len(outbox.roots)} take no money: an aggregator has to arm them")
    return f"all {len(states)} take money"


async def _quarantine(database: Database) -> str:
    found = await list_quarantined(database, everything=False, limit=QUARANTINE_OPEN_MAX)
    if found:
        raise LivegiftError(f"{len(found)} entries wait for a decision: `livegift quarantine list`")
    return "empty"


def _web(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise LivegiftError(f"{url}: expected an http:// or https:// address")
    try:
        with urllib.request.urlopen(  # noqa: S310 - the scheme was checked
            f"{url.rstrip('/')}/readyz", timeout=DOCTOR_TIMEOUT_S
        ) as answer:
            return f"{url} answers {answer.read(1_000).decode(errors='replace')}"
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(1_000).decode(errors="replace")
        raise LivegiftError(f"{url} answers {error.code}: {said}") from None
    except (OSError, ValueError) as error:
        raise LivegiftError(f"{url}: {error}") from None
