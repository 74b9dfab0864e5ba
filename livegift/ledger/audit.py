"""The audit's queries to the ledger, all within one snapshot. Violations are returned as sentences."""

from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from livegift.domain.partitions import Position

EXAMPLES_MAX = 20

# All legs of all transfers, from the core's rows alone.
_LEGS = """
    SELECT 'coins:user:' || sender AS name, -coins AS change FROM gifts
    UNION ALL SELECT 'coins:spent:p' || partition, coins FROM gifts
    UNION ALL SELECT 'diamonds:issued:p' || partition, -diamonds FROM gifts
    UNION ALL SELECT 'diamonds:user:' || receiver, diamonds FROM gifts
    UNION ALL SELECT debit, -amount FROM transfers
    UNION ALL SELECT credit, amount FROM transfers
    UNION ALL SELECT debit, -amount FROM postings
    UNION ALL SELECT credit, amount FROM postings
    UNION ALL SELECT 'coins:user:' || user_id, coins FROM quarantine WHERE user_id IS NOT NULL AND status <> 'booked'
    UNION ALL SELECT 'coins:suspense:p' || partition, -coins FROM quarantine
    WHERE user_id IS NOT NULL AND status <> 'booked'
"""
# All changes of all wallets.
_ENTRIES = """
    SELECT sender AS user_id, wallet_seq AS seq, -coins AS delta, balance FROM gifts
    UNION ALL
    SELECT user_id, wallet_seq, CASE WHEN credit = 'coins:user:' || user_id THEN amount ELSE -amount END, balance
    FROM transfers
    UNION ALL
    SELECT user_id, wallet_seq, coins, balance FROM quarantine WHERE user_id IS NOT NULL AND status <> 'booked'
"""
# Gifts with room and position, those in quarantine that can be read included: the relay has published them.
_GIFTS = """
    SELECT partition, epoch, n, room, coins, diamonds FROM gifts
    UNION ALL
    SELECT partition, epoch, n, room, -coins, diamonds FROM quarantine WHERE room IS NOT NULL AND status <> 'booked'
"""

_ASSETS = text("SELECT asset, sum(balance) AS total, count(*) AS accounts FROM accounts GROUP BY asset")
_ACCOUNTS = (
    "WITH legs AS ({legs}), sums AS (SELECT name, sum(change) AS total FROM legs GROUP BY name) "
    "SELECT coalesce(a.name, s.name) AS name, a.balance, s.total "
    "FROM accounts a FULL JOIN sums s ON s.name = a.name "
    "WHERE coalesce(a.balance, 0) <> coalesce(s.total, 0) ORDER BY 1 LIMIT :examples"
)
_CHAINS = text(
    f"WITH entries AS ({_ENTRIES}), chain AS ("  # noqa: S608 - our own text
    "SELECT user_id, seq, delta, balance, "
    "lag(seq, 1, 0) OVER w AS before_seq, lag(balance, 1, 0) OVER w AS before_balance "
    "FROM entries WINDOW w AS (PARTITION BY user_id ORDER BY seq)) "
    "SELECT user_id, seq, before_seq, before_balance, delta, balance FROM chain "
    "WHERE seq <> before_seq + 1 OR balance <> before_balance + delta ORDER BY user_id, seq LIMIT :examples"
)
_HEADS = text(
    f"WITH entries AS ({_ENTRIES}), last AS ("  # noqa: S608 - our own text
    "SELECT DISTINCT ON (user_id) user_id, seq, balance FROM entries ORDER BY user_id, seq DESC) "
    "SELECT coalesce(h.user_id, l.user_id) AS user_id, h.seq AS head_seq, h.balance AS head_balance, l.seq, l.balance, "
    "a.balance AS account_balance FROM wallet_heads h FULL JOIN last l ON l.user_id = h.user_id "
    "LEFT JOIN accounts a ON a.name = 'coins:user:' || coalesce(h.user_id, l.user_id) "
    "WHERE h.seq IS DISTINCT FROM l.seq OR h.balance IS DISTINCT FROM l.balance "
    "OR coalesce(a.balance, 0) <> coalesce(h.balance, 0) ORDER BY 1 LIMIT :examples"
)
_AT_SEQ = text(
    "SELECT v.user_id, coalesce(g.balance, t.balance, q.balance) AS balance "
    "FROM unnest(CAST(:users AS text[]), CAST(:seqs AS bigint[])) AS v(user_id, seq) "
    "LEFT JOIN gifts g ON g.sender = v.user_id AND g.wallet_seq = v.seq "
    "LEFT JOIN transfers t ON t.user_id = v.user_id AND t.wallet_seq = v.seq "
    "LEFT JOIN quarantine q ON q.user_id = v.user_id AND q.wallet_seq = v.seq"
)
_ACCEPTED = text(
    "SELECT v.partition, count(g.n) AS gifts, coalesce(sum(g.coins), 0) AS coins "  # noqa: S608 - our own text
    "FROM unnest(CAST(:partitions AS int[]), CAST(:ns AS bigint[])) AS v(partition, n) "
    f"LEFT JOIN ({_GIFTS}) g ON g.partition = v.partition AND g.n <= v.n GROUP BY v.partition"
)
_UNREAD = text(
    "SELECT partition, count(*) AS entries FROM quarantine WHERE room IS NULL AND status <> 'booked' GROUP BY partition"
)
_ROOM_SUMS = text(
    "SELECT g.room, sum(g.gifts) AS gifts, sum(g.coins) AS coins, sum(g.diamonds) AS diamonds "  # noqa: S608 - our own text
    f"FROM (SELECT *, 1 AS gifts FROM ({_GIFTS}) e UNION ALL SELECT partition, epoch, n, room, -coins, -diamonds, -1 "
    "FROM gift_revocations) g "
    "JOIN unnest(CAST(:rooms AS text[]), CAST(:partitions AS int[]), CAST(:epochs AS bigint[]), "
    "CAST(:ns AS bigint[])) AS w(room, partition, epoch, n) ON g.room = w.room AND g.partition = w.partition "
    "WHERE (g.epoch, g.n) <= (w.epoch, w.n) GROUP BY g.room"
)
_ROOM_LASTS = text(
    "SELECT g.room, g.partition, max(g.n) AS n FROM (SELECT room, partition, n FROM gifts UNION ALL "
    "SELECT room, partition, n FROM gift_revocations) g "
    "JOIN unnest(CAST(:partitions AS int[]), CAST(:ns AS bigint[])) AS v(partition, n) "
    "ON g.partition = v.partition AND g.n <= v.n GROUP BY g.room, g.partition"
)
_REFS = text(
    "SELECT sender, ref, count(*) AS gifts FROM gifts GROUP BY sender, ref "
    "HAVING count(*) > 1 AND max(ts_ms) - min(ts_ms) < :ttl_ms ORDER BY 1, 2 LIMIT :examples"
)
_ROOMS = text(
    "SELECT id, status FROM rooms UNION SELECT DISTINCT room, 'unknown' FROM gifts "
    "WHERE NOT EXISTS (SELECT 1 FROM rooms WHERE rooms.id = gifts.room) ORDER BY 1"
)


_BELOW = text(
    "SELECT DISTINCT user_id FROM transfers WHERE user_id = ANY(CAST(:users AS text[])) AND balance < 0 "
    "AND reason = ANY(CAST(:reasons AS text[]))"
)


async def unbalanced_assets(connection: AsyncConnection) -> tuple[int, list[str]]:
    """Check invariant 1. Returns the number of accounts, and each asset whose accounts do not sum to zero."""
    rows = (await connection.execute(_ASSETS)).all()
    wrong = [f"asset {row.asset}: all accounts sum to {row.total}, expected 0" for row in rows if row.total != 0]
    return sum(row.accounts for row in rows), wrong


async def wrong_accounts(connection: AsyncConnection, legs: Iterable[str]) -> list[str]:
    """Return the accounts whose balance is not the sum of their gifts, transfers and the `legs` of features' rows."""
    query = text(_ACCOUNTS.format(legs=" UNION ALL ".join([_LEGS, *legs])))
    rows = (await connection.execute(query, {"examples": EXAMPLES_MAX})).all()
    return [f"account {row.name}: balance {row.balance}, its transfers sum to {row.total}" for row in rows]


async def broken_chains(connection: AsyncConnection) -> list[str]:
    """Return the wallets whose entries have a gap in `seq`, or a balance that does not follow from the one before."""
    rows = (await connection.execute(_CHAINS, {"examples": EXAMPLES_MAX})).all()
    wrong = [
        f"wallet {row.user_id}: gap in seq, entry {row.seq} follows {row.before_seq}"
        if row.seq != row.before_seq + 1
        else f"wallet {row.user_id}: entry {row.seq} says {row.balance}, "
        f"expected {row.before_balance} + {row.delta} = {row.before_balance + row.delta}"
        for row in rows
    ]
    rows = (await connection.execute(_HEADS, {"examples": EXAMPLES_MAX})).all()
    wrong += [
        f"wallet {row.user_id}: head at seq {row.head_seq} with {row.head_balance}, last entry at seq {row.seq} with "
        f"{row.balance}, account with {row.account_balance}"
        for row in rows
    ]
    return wrong


async def balances_at(connection: AsyncConnection, seqs: Mapping[str, int]) -> dict[str, int | None]:
    """Return each wallet's balance after its entry `seq`; None when there is no such entry."""
    parameters = {"users": list(seqs), "seqs": list(seqs.values())}
    return {row.user_id: row.balance for row in await connection.execute(_AT_SEQ, parameters)}


async def accepted_until(connection: AsyncConnection, ns: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Return the number of gifts and their coins in the ledger, per partition up to entry n."""
    parameters = {"partitions": list(ns), "ns": list(ns.values())}
    return {row.partition: (row.gifts, int(row.coins)) for row in await connection.execute(_ACCEPTED, parameters)}


async def unread_entries(connection: AsyncConnection) -> dict[int, int]:
    """Return how many entries of each partition are in quarantine with unknown contents."""
    return {row.partition: row.entries for row in await connection.execute(_UNREAD)}


async def all_rooms(connection: AsyncConnection) -> dict[str, str]:
    """Return every room that exists or has gifts, with its status ('unknown' when only gifts name it)."""
    return {row.id: row.status for row in await connection.execute(_ROOMS)}


async def room_sums(
    connection: AsyncConnection, watermarks: Mapping[str, Mapping[int, Position]]
) -> dict[str, tuple[int, int, int]]:
    """Return gifts, coins and diamonds of each room up to its watermarks, less gifts revoked up to there."""
    flat = [(room, p, at) for room, marks in watermarks.items() for p, at in marks.items()]
    parameters = {
        "rooms": [room for room, _, _ in flat],
        "partitions": [p for _, p, _ in flat],
        "epochs": [at.epoch for _, _, at in flat],
        "ns": [at.n for _, _, at in flat],
    }
    rows = await connection.execute(_ROOM_SUMS, parameters)
    return {row.room: (int(row.gifts), int(row.coins), int(row.diamonds)) for row in rows}


async def last_gifts(connection: AsyncConnection, until: Mapping[int, int]) -> dict[tuple[str, int], int]:
    """Return the n of the last gift or revocation that each room got from each partition, of entries up to `until`."""
    parameters = {"partitions": list(until), "ns": list(until.values())}
    return {(row.room, row.partition): row.n for row in await connection.execute(_ROOM_LASTS, parameters)}


async def taken_below_zero(connection: AsyncConnection, users: Iterable[str], reasons: Iterable[str]) -> set[str]:
    """Return those of `users` from whom an entry with one of `reasons` has taken coins that they did not have."""
    rows = await connection.execute(_BELOW, {"users": list(users), "reasons": sorted(reasons)})
    return {row.user_id for row in rows}


async def repeated_refs(connection: AsyncConnection, ref_ttl_s: int) -> list[str]:
    """Return the refs that were accepted twice while they were remembered."""
    rows = (await connection.execute(_REFS, {"examples": EXAMPLES_MAX, "ttl_ms": ref_ttl_s * 1000})).all()
    return [f"sender {row.sender}: ref {row.ref} has {row.gifts} gifts, expected 1" for row in rows]
