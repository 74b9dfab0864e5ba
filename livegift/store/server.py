"""The health of a Redis server: its memory, and whether its settings can be trusted with money."""

import asyncio
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from livegift.contract.errors import ConfigError, StoreUnavailableError
from livegift.runtime.bounds import FILE_REWRITE_POLL_S, FILE_REWRITE_TIMEOUT_S
from livegift.store.client import Node, Store

log = structlog.get_logger()


async def _info(node: Node, section: str) -> dict[str, Any]:
    try:
        return dict(await node.commands.info(section))
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(f"{node.name} does not answer: {error}", executed=False) from error


async def memory_share(node: Node) -> float:
    """Return used memory as a share of `maxmemory`; 0 when there is no limit. Raises StoreUnavailableError."""
    memory = await _info(node, "memory")
    # Buffers of replicas and of the append-only file do not count towards the limit.
    used = int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0))
    limit = int(memory.get("maxmemory", 0))
    return used / limit if limit else 0.0


async def settle_file(node: Node) -> None:
    """Have a node that has just started rewrite its append-only file, if it may have loaded a torn one.

    With `aof-load-truncated yes`, Redis (7 and 8) cuts a file that ends within a transaction after the last whole
    command and leaves the transaction open: at the restart after the next, its beginning is executed as if it were
    whole. With `no`, Redis refuses to start on such a file, and `redis-check-aof --fix` cuts it in the right place.
    Raises StoreUnavailableError.
    """
    if not int((await _info(node, "persistence")).get("aof_enabled", 0)) or not await _loads_truncated(node):
        return
    hint = "set aof-load-truncated to no: see docs/concepts/durability.md"
    log.info("redis.rewriting_file", node=node.name, hint=hint)
    try:
        await node.commands.execute_command("BGREWRITEAOF")
    except ResponseError as error:
        log.warning("redis.file_not_rewritten", node=node.name, error=str(error))  # a rewrite is in progress already
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(f"{node.name} does not rewrite its file: {error}") from error
    deadline = asyncio.get_running_loop().time() + FILE_REWRITE_TIMEOUT_S
    while True:
        state = await _info(node, "persistence")
        if not int(state["aof_rewrite_in_progress"]) and not int(state.get("aof_rewrite_scheduled", 0)):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise StoreUnavailableError(f"{node.name} has not rewritten its file within {FILE_REWRITE_TIMEOUT_S:g} s")
        await asyncio.sleep(FILE_REWRITE_POLL_S)


async def _loads_truncated(node: Node) -> bool:
    try:
        reply = await node.commands.config_get("aof-load-truncated")
    except ResponseError:
        return True  # this user may not ask; Redis' default is yes
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(f"{node.name} does not answer: {error}", executed=False) from error
    return reply.get("aof-load-truncated", "yes") != "no"


async def check_servers(store: Store, durability: str) -> None:
    """Raise ConfigError for a Redis that may drop keys, or lacks the append-only file on which bookings rely."""
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
