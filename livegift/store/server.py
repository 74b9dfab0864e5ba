"""What a Redis server says of itself: memory, and whether its settings can be trusted with money."""

from typing import Any

from redis.exceptions import RedisError

from livegift.errors import ConfigError, StoreUnavailableError
from livegift.store.client import Node, Store


async def _info(node: Node, section: str) -> dict[str, Any]:
    try:
        return dict(await node.commands.info(section))
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(f"{node.name} does not answer: {error}", executed=False) from error


async def memory_share(node: Node) -> float:
    """Used memory as a share of `maxmemory`; 0 when there is no limit. Raises StoreUnavailableError."""
    memory = await _info(node, "memory")
    # Buffers of replicas and of the append-only file do not count towards the limit.
    used = int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0))
    limit = int(memory.get("maxmemory", 0))
    return used / limit if limit else 0.0


async def check_servers(store: Store, durability: str) -> None:
    """Raise ConfigError for a Redis that may drop keys, or has no append-only file although bookings rely on one."""
    for node in store.nodes:
        policy = str((await _info(node, "memory")).get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise ConfigError(
                f"Redis at {node.name} has maxmemory-policy {policy}, which may drop wallets: set it to noeviction"
            )
        if durability != "none" and not int((await _info(node, "persistence")).get("aof_enabled", 0)):
            raise ConfigError(
                f"Redis at {node.name} has no append-only file, but LIVEGIFT_DURABILITY is {durability}: "
                "set appendonly to yes, or LIVEGIFT_DURABILITY to none"
            )
