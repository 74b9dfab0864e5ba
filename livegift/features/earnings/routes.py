"""Routes of creators' earnings: balance and statement."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from livegift.contract.bounds import STATEMENT_DAYS_MAX, STATEMENT_PAGE_MAX
from livegift.contract.errors import RequestError
from livegift.features.earnings import statements
from livegift.features.earnings.bodies import (
    EarningsView,
    GroupView,
    LineView,
    Statement,
    StatementGroups,
    StatementLines,
    StatementQuery,
)
from livegift.features.earnings.queries import earnings_of
from livegift.features.earnings.statements import Line, Period
from livegift.http.context import answer, identity_of, public_ref, query_of, resources_of
from livegift.http.routing import Content, Route
from livegift.ledger.engine import Database
from livegift.runtime import tabular
from livegift.runtime.access import BALANCE, EARNINGS, Rate
from livegift.runtime.event_ids import EventIds

LINE_COLUMNS = (
    "at_ms", "what", "ref", "batch_id", "room", "gift_id", "count", "sender", "coins", "diamonds",
)  # fmt: skip


async def balance(request: Request) -> Response:
    """`GET /v1/creator/balance`: earnings in diamonds."""
    identity = identity_of(request)
    resources = resources_of(request)
    async with resources.database.snapshot() as connection:
        found = await earnings_of(connection, identity.user, resources.settings.hold_h)
    return answer(
        request,
        EarningsView(
            diamonds_total=found.total,
            diamonds_pending=found.pending,
            diamonds_available=found.available,
            diamonds_in_payout=found.in_payout,
            diamonds_paid=found.paid,
            next_available_ms=int(found.next_at.timestamp() * 1000) if found.next_at else None,
        ),
    )


# --- Statements -------------------------------------------------------------------------------------------------------


def _period_of(query: StatementQuery) -> Period:
    """Return the period from `from` to `to` (days, UTC; `to` is not included)."""
    days = []
    for name, given in (("from", query.from_), ("to", query.to)):
        try:
            days.append(date.fromisoformat(given))
        except ValueError:
            raise RequestError("invalid", f"{name}: expected a day such as 2026-01-31, got {given[:20]!r}") from None
    if not timedelta(0) < days[1] - days[0] <= timedelta(days=STATEMENT_DAYS_MAX):
        raise RequestError("invalid", f"expected from before to, and at most {STATEMENT_DAYS_MAX} days")
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days)
    return Period(start, end)


def _line(line: Line, ids: EventIds) -> LineView:
    return LineView(
        key=_public_key(line.key, ids),
        what=line.what,
        ref=ids.of(line.ref) if line.what in ("gift", "match") else public_ref(ids, line.ref),
        diamonds=line.diamonds,
        batch_id=line.batch_id,
        room=line.room,
        gift_id=line.gift_id,
        count=line.count,
        coins=line.coins,
        sender=line.sender,
        at_ms=int(line.at.timestamp() * 1000),
    )


def _public_key(key: str, ids: EventIds) -> str:
    """Return the key of a line with public ids instead of a gift's position."""
    at, _, entry = key.rpartition(".")
    return f"{at}.{ids.of(entry)}" if "-" in entry else key


def _key_of(cursor: str, ids: EventIds) -> str:
    """Return the key of a public one. Raises ValueError for anything else."""
    at, _, entry = cursor.rpartition(".")
    if not entry or entry.isdecimal():
        return cursor
    place = ids.place(entry)
    if place is None:
        raise ValueError("expected the key of a line")
    return f"{at}.{place}"


async def statement(request: Request) -> Response:
    """`GET /v1/creator/statement?from=2026-01-01&to=2026-02-01&group=line|day|room`, as JSON or CSV.

    To a `closed` one nothing can be added any more. Lines come in pages in JSON, all at once as CSV.
    """
    identity, query = identity_of(request), query_of(request, StatementQuery)
    period = _period_of(query)
    resources = resources_of(request)
    database, ids = resources.database, resources.event_ids
    wants_csv = query.format == "csv" or "text/csv" in request.headers.get("accept", "")
    if query.group == "line" and wants_csv:
        headers = {"Content-Disposition": 'attachment; filename="statement.csv"'}
        return StreamingResponse(_csv_lines(database, ids, identity.user, period), 200, headers, media_type="text/csv")
    async with database.snapshot() as connection:
        head = Statement(
            period.start.date().isoformat(),
            period.end.date().isoformat(),
            await statements.is_closed(connection, period),
            await statements.balance_at(connection, identity.user, period.start),
            await statements.balance_at(connection, identity.user, period.end),
        )
        if query.group == "line":
            try:
                after = _key_of(query.cursor or "", ids)
                lines = await statements.read_lines(connection, identity.user, period, after, query.limit + 1)
            except ValueError:
                raise RequestError("invalid", "cursor: expected the next_cursor of a page before") from None
            items = [_line(line, ids) for line in lines[: query.limit]]
            next_cursor = items[-1].key if len(lines) > query.limit else None
            return answer(request, StatementLines(**structs.asdict(head), items=items, next_cursor=next_cursor))
        groups = await statements.read_groups(connection, identity.user, period, by_room=query.group == "room")
    if wants_csv:
        rows = [{**asdict(group), "day": date.fromisoformat(group.day)} for group in groups]
        return Response(tabular.write_rows(list(rows[0]) if rows else ["day"], rows), media_type="text/csv")
    sums = [GroupView(**asdict(group)) for group in groups]
    return answer(request, StatementGroups(**structs.asdict(head), items=sums))


async def _csv_lines(database: Database, ids: EventIds, creator: str, period: Period) -> AsyncIterator[bytes]:
    """Yield all lines, read page by page: a closed period does not change in between."""
    yield tabular.write_rows(LINE_COLUMNS, [])
    after = ""
    while True:
        async with database.snapshot() as connection:
            lines = await statements.read_lines(connection, creator, period, after, STATEMENT_PAGE_MAX)
        if lines:
            yield tabular.write_rows(
                LINE_COLUMNS, (structs.asdict(_line(line, ids)) for line in lines), with_head=False
            )
            after = lines[-1].key
        if len(lines) < STATEMENT_PAGE_MAX:
            return


ROUTES = (
    Route(
        "GET",
        "/v1/creator/balance",
        BALANCE,
        Rate.PLAIN,
        balance,
        "Read what has been earned",
        answer=EarningsView,
    ),
    Route(
        "GET",
        "/v1/creator/statement",
        EARNINGS,
        Rate.QUERY,
        statement,
        "List what was earned and paid, as JSON or CSV",
        query=StatementQuery,
        answer=(StatementLines, StatementGroups),
        content=Content("text/csv", "All lines or sums, with a head"),
    ),
)
