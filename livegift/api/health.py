"""Whether this process lives, and whether it can serve."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livegift.api.context import context_of, json_response
from livegift.errors import StoreUnavailableError
from livegift.ledger.engine import LedgerUnavailableError
from livegift.limits import READY_TIMEOUT_S


async def healthz(_: Request) -> Response:
    """`GET /healthz`: this process answers."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """`GET /readyz`: 200 when gifts can be sent, else 503 with what is missing."""
    context = context_of(request)
    missing = {}
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            states = await context.outbox.states(context.outbox.roots)
        unarmed = [p for p in context.outbox.roots if p not in states or states[p].armed_epoch == 0]
        if not states:
            missing["redis"] = "no answer"
        elif unarmed:
            missing["partitions"] = f"{len(unarmed)} of {len(context.outbox.roots)} take no money: is an aggregator up?"
    except (StoreUnavailableError, TimeoutError) as error:
        missing["redis"] = str(error) or "no answer"
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await context.database.ping()
    except (LedgerUnavailableError, TimeoutError) as error:
        missing["postgresql"] = str(error) or "no answer"
    if missing:
        return json_response({"status": "unavailable", "missing": missing}, 503)
    return json_response({"status": "ok"})


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz)]
