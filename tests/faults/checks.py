"""The final comparison: both stores, read by the harness itself, with what the model expects."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from livegift.domain.partitions import partition_of
from livegift.store.keys import partition_roots, room_root, wallet
from tests.faults.clients import Watcher
from tests.faults.generator import BRANDS, POOR, USERS, creator_of
from tests.faults.model import Event, LedgerGift, Verdict
from tests.faults.world import World
from tests.partitions import balance_and_seq

if TYPE_CHECKING:
    from tests.faults.run import Run

_GIFTS = (
    'SELECT sender, ref, room, receiver, gift_id, "count", coins, diamonds, partition, epoch, n, ts_ms FROM gifts '
    "ORDER BY partition, n"
)

_OTHERS = [f"SELECT partition, n FROM {table}" for table in ("transfers", "streak_ends", "quarantine", "wallet_limits")]  # noqa: S608
VIEW = "view: "  # prefix of errors in what viewers see; all others are about money


async def check(run: "Run") -> Verdict:
    """Check everything, after the system has come to rest and every unknown outcome was asked for."""
    world = run.world
    rows = [
        LedgerGift(*map(str, row[:5]), *map(int, row[5:8]), Event(*row[8:11]), int(row[11]))  # type: ignore[call-arg]  # two stars
        for row in await world.query(_GIFTS)
    ]
    verdict = world.model.compare(rows)
    wrong = verdict.violations
    wrong += await _check_grants(world)
    await run.undoing.read()
    undone = run.undoing.done
    counted = [row for row in rows if row.event not in undone]
    wrong += await run.undoing.check(rows)
    wrong += await _check_matches(world, rows, undone)
    wrong += await run.purchases.check()
    wrong += await run.payouts.check()
    wrong += await run.limited.check(rows)
    wrong += await _check_balances(run, rows)
    wrong += await _check_journal(world, rows)
    wrong += await _check_rooms(world, counted)
    for watcher in run.watchers:
        if watcher.failure is not None:
            wrong.append(f"{VIEW}a viewer could not read a frame: {watcher.failure!r}")
        wrong += [f"{VIEW}{line}" for line in (*watcher.problems, *_check_view(watcher, rows, undone))]
    return verdict


async def _check_grants(world: World) -> list[str]:
    """Check that each grant is one transfer."""
    rows = await world.query("SELECT user_id, ref, amount FROM transfers WHERE reason = 'grant'")
    booked: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for user, ref, amount in rows:
        booked[ref].append((user, int(amount)))
    expected = {f"grant:{ref}": [(grant.user, grant.coins)] for ref, grant in world.model.grants.items()}
    return [
        f"grant {ref}: expected {expected.get(ref)}, the ledger has {booked.get(ref)}"
        for ref in expected.keys() | booked.keys()
        if expected.get(ref) != booked.get(ref)
    ]


async def _check_balances(run: "Run", rows: Sequence[LedgerGift]) -> list[str]:
    """Check that wallets in Redis, and balances and accounts in the ledger, are what was granted less gifts."""
    wrong, world = [], run.world
    expected, entries = world.model.granted(), Counter(grant.user for grant in world.model.grants.values())
    diamonds: Counter[str] = Counter()
    for row in rows:
        expected[row.user] -= row.coins
        entries[row.user] += 1
        diamonds[row.receiver] += row.diamonds * (row.event not in run.undoing.done)
    for user, budget, is_paid, returned in await world.query(
        "SELECT sponsor, budget_coins, partition IS NOT NULL, returned_coins FROM sponsor_matches"
    ):
        expected[user] += returned - (budget if is_paid else 0)
        entries[user] += is_paid
    expected.update(run.purchases.coins())
    expected.update(run.undoing.coins(rows))
    reasons = "('sponsor_return', 'order', 'bonus', 'refund', 'chargeback', 'withdrawal', 'restored', 'revocation')"
    others = f"SELECT user_id FROM transfers WHERE reason IN {reasons}"  # noqa: S608
    entries.update(user for (user,) in await world.query(others))
    receivers = {row.event: row.receiver for row in rows if row.event not in run.undoing.done}
    for partition, epoch, n, more in await world.query("SELECT partition, epoch, n, diamonds FROM gift_matches"):
        if Event(partition, epoch, n) not in run.undoing.done:
            diamonds[receivers.get(Event(partition, epoch, n), "nobody")] += more
    diamonds.subtract(await run.payouts.diamonds())
    heads = {
        user: (balance, seq)
        for user, balance, seq in await world.query("SELECT user_id, balance, seq FROM wallet_heads")
    }
    accounts = dict(await world.query("SELECT name, balance FROM accounts"))
    roots = partition_roots(world.settings.partitions)
    with closing(world.redis.client()) as client:
        for user in (*USERS, *POOR, *BRANDS):
            right = (expected[user], entries[user])
            root = roots[partition_of(user, len(roots))]
            redis = balance_and_seq(client, wallet(root, user))
            account = int(accounts.get(f"coins:user:{user}", 0))
            if not redis == heads.get(user, (0, 0)) == right or account != right[0]:
                wrong.append(
                    f"wallet {user}: expected (balance, seq) {right}, Redis has {redis}, the ledger's head "
                    f"{heads.get(user)}, its account {account}"
                )
    there = {
        name.removeprefix("diamonds:user:"): int(b) for name, b in accounts.items() if name.startswith("diamonds:user:")
    }
    wrong += [
        f"diamonds of {user}: expected {diamonds[user]}, the account has {there.get(user, 0)}"
        for user in diamonds.keys() | there.keys()
        if diamonds[user] != there.get(user, 0)
    ]
    return wrong


async def _check_matches(world: World, rows: Sequence[LedgerGift], undone: Collection[Event]) -> list[str]:
    """Check that each match was requested, or its terms are forgotten, and has paid exactly for its gifts.

    It has not paid for gifts that were taken back.
    """
    gifts = {row.event: row for row in rows}
    asked = {match.match_id: match for match in world.model.matches.values() if match.match_id}
    used: Counter[str] = Counter()
    wrong = []
    terms = {
        row[0]: row[1:]
        for row in await world.query(
            "SELECT id, room, sponsor, gift_id, factor, budget_coins, used_coins FROM sponsor_matches"
        )
    }
    wrong += [f"match {match_id} was promised and is not there" for match_id in asked.keys() - terms.keys()]
    for partition, epoch, n, match_id, units, coins, diamonds in await world.query(
        "SELECT partition, epoch, n, match_id, units, coins, diamonds FROM gift_matches"
    ):
        gift, (room, _, gift_id, factor, _, _) = gifts.get(Event(partition, epoch, n)), terms[match_id]
        used[match_id] += coins * (Event(partition, epoch, n) not in undone)
        if gift is None or gift.room != room or gift_id not in (None, gift.gift_id):
            wrong.append(f"match {match_id} of {room} and {gift_id} has matched {gift}")
        elif not (0 < units <= gift.count * factor and coins * gift.count == units * gift.coins):
            wrong.append(f"match {match_id}: {units} units of {coins} coins for {gift}")
        elif diamonds * gift.count != units * gift.diamonds:
            wrong.append(f"match {match_id}: {units} units of {diamonds} diamonds for {gift}")
    for match_id, (room, sponsor, gift_id, factor, budget, said) in terms.items():
        match = asked.get(match_id)
        if match and (room, sponsor, gift_id, factor, budget) != (
            match.room,
            match.brand,
            match.gift_id,
            match.factor,
            match.budget,
        ):
            wrong.append(f"match {match_id}: {terms[match_id]}, asked for was {match}")
        if not used[match_id] == said <= budget:
            wrong.append(f"match {match_id}: used {said} of {budget}, its rows {used[match_id]}")
    return wrong


async def _check_journal(world: World, rows: Sequence[LedgerGift]) -> list[str]:
    """Check that each n of each partition is booked once, in any table, and that everything in Redis is booked."""
    wrong = []
    checkpoints, said = await world.checkpoints(), await world.said(world.redis)
    ns = Counter((row.event.partition, row.event.n) for row in rows)
    for query in _OTHERS:
        ns.update((p, n) for p, n in await world.query(query))
    wrong += [f"partition {p}: entry {n} is booked {times} times" for (p, n), times in ns.items() if times > 1]
    for p, (epoch, n) in checkpoints.items():
        missing = [i for i in range(1, n + 1) if (p, i) not in ns]
        if missing:
            wrong.append(f"partition {p}: of {n} entries {len(missing)} are nowhere in the ledger: {missing[:20]}")
        if said[p] != (epoch, n):
            wrong.append(f"partition {p}: Redis is at {said[p]}, the ledger at {(epoch, n)}")
    return wrong


async def _check_rooms(world: World, rows: Sequence[LedgerGift]) -> list[str]:
    """Check the totals in Redis, and the receiver."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    wrong = []
    for row in rows:
        for i, more in enumerate((1, row.coins, row.diamonds)):
            sums[row.room][i] += more
        if row.receiver != creator_of(row.room):
            wrong.append(f"{row}: expected the receiver {creator_of(row.room)}")
    with closing(world.redis.client()) as client:
        for (room,) in await world.query("SELECT id FROM rooms"):
            there: Any = client.hmget(f"{room_root(room)}:state", "gifts", "coins", "diamonds")
            totals = [int(value or 0) for value in there]
            if totals != sums[room]:
                wrong.append(f"room {room}: totals (gifts, coins, diamonds) {totals}, the ledger has {sums[room]}")
    return wrong


def _check_view(watcher: Watcher, rows: Sequence[LedgerGift], undone: Collection[Event]) -> list[str]:
    """Check that what a viewer saw in the room's present incarnation is booked or was revoked, and the totals."""
    booked = {row.event for row in rows}
    undone = set(undone) & booked
    wrong = []
    for room, view in watcher.rooms.items():
        ghosts = view.seen.keys() - view.revoked - booked
        if ghosts:
            wrong.append(f"room {room}: a viewer saw gifts that are not booked: {sorted(map(str, ghosts))[:10]}")
        hasty = (view.revoked & booked) - undone
        if hasty:
            wrong.append(f"room {room}: gifts were revoked that are booked: {sorted(map(str, hasty))[:10]}")
        gifts = [row for row in rows if row.room == room and row.event not in undone]
        if view.epoch is not None and view.totals["gifts"] != len(gifts):
            wrong.append(f"room {room}: a viewer's last totals are {view.totals}, the ledger has {len(gifts)} gifts")
    return wrong
