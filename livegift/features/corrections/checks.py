"""Invariant 7: corrections, the entries that move their coins, and everything that a revoked gift takes back."""

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.features.corrections.tables import corrections as table
from livegift.features.earnings.public import TAKEN_BACK
from livegift.ledger.audit import EXAMPLES_MAX
from livegift.operations.audit import Seen

_ENTRIES = text(
    "WITH booked AS (SELECT substring(ref FROM length(reason) + 2) AS id, user_id, count(*) AS entries, "
    "sum(CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END) AS coins FROM transfers "
    "WHERE reason IN ('correction', 'revocation') GROUP BY 1, 2), "
    "expected AS (SELECT id, user_id, coins FROM corrections WHERE status = 'applied') "
    "SELECT coalesce(e.id, b.id) AS id, e.coins AS expected, b.coins, b.entries "
    "FROM expected e FULL JOIN booked b USING (id, user_id) "
    "WHERE e.coins IS DISTINCT FROM b.coins OR b.entries <> 1 ORDER BY 1 LIMIT :examples"
)
# Every leg of a gift: the diamonds of the creator, and what sponsors had added in coins and diamonds.
_POSTED = text(
    "WITH posted AS (SELECT ref AS id, coalesce(sum(amount) FILTER (WHERE asset = 'DIAMOND'), 0) AS diamonds, "  # noqa: S608 - our own text
    "coalesce(sum(amount) FILTER (WHERE asset = 'COIN'), 0) AS coins FROM postings WHERE reason = 'revocation' "
    f"GROUP BY 1), expected AS (SELECT c.id, {TAKEN_BACK} AS diamonds, "
    "coalesce((SELECT sum(m.coins) FROM gift_matches m "
    "WHERE c.is_whole AND (m.partition, m.epoch, m.n) = (g.partition, g.epoch, g.n)), 0) AS coins FROM corrections c "
    "LEFT JOIN gifts g ON c.gift_event_id = g.partition || '-' || g.epoch || '-' || g.n "
    "WHERE c.gift_event_id IS NOT NULL AND (c.status = 'applied' OR c.status = 'approved' AND NOT c.is_whole)) "
    "SELECT coalesce(e.id, p.id) AS id, coalesce(e.diamonds, 0) AS due_diamonds, coalesce(e.coins, 0) AS due_coins, "
    "coalesce(p.diamonds, 0) AS diamonds, coalesce(p.coins, 0) AS coins FROM expected e FULL JOIN posted p USING (id) "
    "WHERE coalesce(e.diamonds, 0) <> coalesce(p.diamonds, 0) OR coalesce(e.coins, 0) <> coalesce(p.coins, 0) "
    "ORDER BY 1 LIMIT :examples"
)
# Rooms are compared without the gifts in these rows; each belongs to an applied revocation, and copies its gift.
_ROWS = text(
    "SELECT coalesce(c.id, r.correction_id) AS id, c.gift_event_id AS gift, coalesce(r.entries, 0) AS entries "
    "FROM corrections c FULL JOIN (SELECT correction_id, count(*) AS entries, "
    "min(partition || '-' || gift_epoch || '-' || gift_n) AS gift FROM gift_revocations GROUP BY 1) r "
    "ON r.correction_id = c.id LEFT JOIN gift_revocations v ON v.correction_id = c.id "
    "LEFT JOIN gifts g ON (g.partition, g.epoch, g.n) = (v.partition, v.gift_epoch, v.gift_n) "
    "WHERE (r.entries IS NOT NULL OR c.gift_event_id IS NOT NULL AND c.is_whole AND c.status = 'applied') "
    "AND (r.entries IS DISTINCT FROM 1 OR c.status IS DISTINCT FROM 'applied' "
    "OR r.gift IS DISTINCT FROM c.gift_event_id "
    "OR (v.room, v.sender, v.combo_id, v.count, v.coins, v.diamonds, v.anonymous) IS DISTINCT FROM "
    "(g.room, g.sender, g.combo_id, g.count, g.coins, g.diamonds, g.anonymous)) ORDER BY 1 LIMIT :examples"
)
_LATE = text(
    "SELECT id, user_id, coins FROM corrections WHERE status = 'approved' "
    "AND decided_at < now() - make_interval(secs => :ttl_s) ORDER BY 1 LIMIT :examples"
)


async def wrong_corrections(connection: AsyncConnection, seen: Seen) -> tuple[int, list[str]]:
    """Return the number of corrections, and those that differ from what their status says."""
    examples = {"examples": EXAMPLES_MAX}
    wrong = [
        f"correction {row.id}: {row.entries or 0} entries of {row.coins or 0} coins in all, "
        f"expected {'none' if row.expected is None else f'one of {row.expected}'}"
        for row in await connection.execute(_ENTRIES, examples)
    ]
    wrong += [
        f"correction {row.id}: {row.diamonds} diamonds taken back and {row.coins} coins given back to sponsors, "
        f"expected {row.due_diamonds} and {row.due_coins}"
        for row in await connection.execute(_POSTED, examples)
    ]
    wrong += [
        f"correction {row.id}: gift {row.gift} was taken out of its room {row.entries} times, "
        "expected once, as it was sent, by one that is applied"
        for row in await connection.execute(_ROWS, examples)
    ]
    wrong += [
        f"correction {row.id}: approved, but its {row.coins} coins for {row.user_id} never came"
        for row in await connection.execute(_LATE, {**examples, "ttl_s": seen.ref_ttl_s})
    ]
    return await connection.scalar(select(func.count()).select_from(table)) or 0, wrong
