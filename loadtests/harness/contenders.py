"""livegift's web process and its peers as servers of the same room."""

from collections.abc import Iterable

from loadtests.harness.stack import Stack
from loadtests.peers.servers import Server, start_peers

ROOM = "bench"
USERS = 1_000
CONNECTS_PER_S = 500
DRAIN_S = 1.5
PUBLISH_GRACE_S = 60.0


def start_with_peers(stack: Stack, names: Iterable[str]) -> tuple[list[Server], list[str]]:
    """A web process of livegift with its room open and nothing beside it, then those that `start_peers` can start."""
    web = stack.start("web")
    stack.start("aggregator")
    stack.wait_ready()
    stack.open_room(ROOM, "bench-creator")
    stack.stop("aggregator")
    peers, left_out = start_peers(stack, names)
    return [livegift(stack, web), *peers], left_out


def livegift(stack: Stack, web: int, name: str = "web") -> Server:
    """A web process as one of the servers: viewers say hello and join."""
    return Server(
        "livegift",
        web,
        stack.addresses[name],
        "/v1/ws",
        [
            [
                f'{{"type":"hello","token":"{stack.tokens.sign(f"viewer-{number}", age_verified=True)}"}}',
                f'{{"type":"room.join","room":"{ROOM}"}}',
            ]
            for number in range(USERS)
        ],
        2,
        "livegift",
    )
