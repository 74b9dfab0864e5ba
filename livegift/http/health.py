"""Health checks: whether this process is alive, and whether it can serve."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from livegift.contract.errors import StoreUnavailableError
from livegift.http.context import answer, resources_of
from livegift.http.routing import Route
from livegift.ledger.engine import LedgerUnavailableError
from livegift.operations.worker_health import examine_workers
from livegift.resources.resources import Resources
from livegift.runtime.access import PUBLIC, Rate
from livegift.runtime.bounds import READY_TIMEOUT_S

Missing = dict[str, str]
_UNAVAILABLE = 503


class Liveness(Struct, frozen=True):
    """A process that answers."""

    status: Literal["ok"]


class Readiness(Struct, frozen=True):
    """The readiness to send gifts, and what is `missing`, part by part."""

    status: Literal["ok", "degraded", "unavailable"]
    missing: Missing | UnsetType = UNSET


async def healthz(request: Request) -> Response:
    """`GET /healthz`: this process answers. It asks no store, as a restart would not bring one back."""
    return answer(request, Liveness("ok"))


async def readyz(request: Request) -> Response:
    """`GET /readyz`: 200 when gifts can be sent, else 503 with what is missing; within a few seconds.

    Gifts in known rooms work without PostgreSQL, a relay or an aggregator: that is `degraded` with 200. Otherwise a
    load balancer would stop them everywhere at once.
    """
    in_redis, in_postgresql = await asyncio.gather(
        _asked_once(request, "redis", _missing_in_redis), _asked_once(request, "postgresql", _missing_in_postgresql)
    )
    missing = in_redis | in_postgresql
    if in_redis.keys() & {"redis", "partitions"}:
        return answer(request, Readiness("unavailable", missing), _UNAVAILABLE)
    return answer(request, Readiness("degraded", missing) if missing else Readiness("ok"))


async def _asked_once(request: Request, store: str, question: Callable[[Resources], Awaitable[Missing]]) -> Missing:
    """Return the answer to `question`, or that there is none yet.

    A question that a store leaves hanging is not asked again before it has ended, which may take longer than its own
    time-out (psycopg tries to cancel in the server first), so probes that come every second do not pile up.
    """
    state = request.app.state
    if not hasattr(state, "health_questions"):
        state.health_questions = {}
    asked: dict[str, asyncio.Task[Missing]] = state.health_questions
    if store not in asked:
        asked[store] = asyncio.create_task(_in_time(store, question(resources_of(request))), name=f"readyz {store}")
        asked[store].add_done_callback(lambda _: asked.pop(store))
    done, _ = await asyncio.wait({asked[store]}, timeout=READY_TIMEOUT_S)
    return done.pop().result() if done else {store: "no answer"}


async def _in_time(store: str, question: Awaitable[Missing]) -> Missing:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await question
    except (StoreUnavailableError, LedgerUnavailableError, TimeoutError) as error:
        return {store: str(error) or "no answer"}


async def _missing_in_redis(resources: Resources) -> Missing:
    states = await resources.outbox.states(resources.outbox.roots)
    unarmed = [p for p in resources.outbox.roots if p not in states or states[p].armed_epoch == 0]
    if not states:
        return {"redis": "no answer"}
    if unarmed:
        return {"partitions": f"{len(unarmed)} of {len(resources.outbox.roots)} take no money: is an aggregator up?"}
    return {part.part: part.detail for part in await examine_workers(resources.outbox, states) if not part.is_healthy}


async def _missing_in_postgresql(resources: Resources) -> Missing:
    await resources.database.ping()
    return {}


ROUTES = (
    Route("GET", "/healthz", PUBLIC, Rate.PROBE, healthz, "Tell that this process answers", answer=Liveness),
    Route(
        "GET",
        "/readyz",
        PUBLIC,
        Rate.PROBE,
        readyz,
        "Tell whether gifts can be sent",
        answer=Readiness,
        also=(_UNAVAILABLE,),
    ),
)
