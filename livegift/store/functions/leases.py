"""The signatures of leases.lua."""

from livegift.store.functions.signature import Integer, Key, Text, redis_function


@redis_function(allow_oom=True)
def lease_take(root: Key, role: Text, owner: Text, ttl_ms: Integer) -> None:
    """Take a free or expired lease, or renew one's own. Returns the fencing token, or 0 when another owner has it."""


@redis_function(allow_oom=True)
def lease_release(root: Key, role: Text, owner: Text) -> None:
    """Release a lease. Returns 1, or 0 when another owner has it; then it is left unchanged."""


@redis_function(allow_oom=True)
def worker_seen(registry: Key, worker: Text, ttl_ms: Integer) -> None:
    """Record that a worker of a role is alive or, with a `ttl_ms` of 0, that it leaves. Returns how many are alive."""
