"""Model checking: all that may happen to a partition, its rooms and the ledger, in every order, without a server.

`state.py` is the world: a few small values for one partition of wallets in one Redis, rooms in another, one ledger, and
the workers between them. `actions.py` lists the atomic steps: `traffic.py` (clients, relays, bookings, trims),
`arming.py` and `checking.py` (recovery, docs/decisions/007), `faults.py`. `partition.py`, `rooms.py` and `ledger.py`
are the effects of a Redis function or a transaction. The comparisons are the real ones of livegift/domain/recovery.py.

After each step `invariants.py` checks what must always hold. Whenever the system is at rest it checks what an audit
checks: wallets, refs and rooms equal the ledger, the partition is armed, the gate is open, and nothing accepted is gone
unless the Redis that had it has lost it. As each schedule ends at rest, it also shows that the system always recovers
by itself.

`search.py` visits every state of the small worlds in `scenarios.py` and draws schedules of the large ones at random.
Each mechanism of the design can be left out (`state.Design`); the tests check that this is noticed.

    python -m tests.simulation --seed 1 --schedules 10000

The model leaves out amounts (a gift costs 1), streaks, credits and corrections, ranks, several partitions (no step
touches two), expiry, functions that fail halfway, and commands that arrive long after their sender gave up, except from
a worker that was paused before it sent them.
"""
