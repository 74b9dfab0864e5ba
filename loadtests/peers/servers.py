"""What people would pick instead, as servers that take events from the same Redis: how each is started and joined."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.clients.publisher import CHANNEL, SOCKETIO_ROOM
from loadtests.harness.processes import LoadTestError
from loadtests.harness.recorder import build
from loadtests.harness.stack import Stack

NODE = Path(__file__).with_name("node")
INSTALL_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, and how a viewer joins its room."""

    name: str
    pid: int
    address: str
    path: str
    scripts: list[list[str]]  # what viewers say at first, in turn
    frames_until_ready: int
    way: str  # how the publisher reaches it


def install_node_peers() -> str:
    """Install the locked npm packages once; returns `node`'s path. Raises LoadTestError when that can't be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise LoadTestError("Socket.IO and ws need node and npm, which are not on PATH: left out")
    installed, lock = NODE / "node_modules" / ".package-lock.json", NODE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        argv = [npm, "ci", "--omit=dev", "--no-audit", "--no-fund"]
        done = subprocess.run(argv, cwd=NODE, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if done.returncode:
            raise LoadTestError(f"npm ci failed, Socket.IO and ws are left out: {done.stderr[-500:]}")
        installed.touch()
    return node


def socketio(stack: Stack) -> Server:
    """Socket.IO with the Redis adapter."""
    pid, address = stack.start_server(
        "socketio", [str(NODE / "socketio.js"), "{fd}"], _env(stack), install_node_peers()
    )
    path = f"/socket.io/?EIO=4&transport=websocket&room={SOCKETIO_ROOM}"
    # 40 joins the default namespace; 0 (open), 40 (joined) and the event `welcome` come back.
    return Server("Socket.IO", pid, address, path, [["40"]], 3, "socketio")


def ws(stack: Stack) -> Server:
    """`ws` and ioredis."""
    pid, address = stack.start_server("ws", [str(NODE / "ws.js"), "{fd}"], _env(stack), install_node_peers())
    return Server("ws", pid, address, "/", [], 1, "plain")


def starlette_loop(stack: Stack) -> Server:
    """Starlette, a send for each viewer."""
    return _python(stack, "Starlette loop", "loadtests.peers.starlette_loop")


def websockets_broadcast(stack: Stack) -> Server:
    """`websockets` and its broadcast."""
    return _python(stack, "websockets.broadcast", "loadtests.peers.websockets_broadcast")


def c_program(stack: Stack) -> Server:
    """A C program that only calls send()."""
    redis = urlsplit(stack.settings.redis_url)
    argv = ["{fd}", redis.hostname or "", str(redis.port), redis.password or "", CHANNEL]
    pid, address = stack.start_server("broadcast", argv, {}, str(build("broadcast", stack.folder)))
    return Server("C, send()", pid, address, "/", [], 1, "plain")


PEERS: dict[str, Callable[[Stack], Server]] = {
    "Socket.IO": socketio,
    "ws": ws,
    "websockets.broadcast": websockets_broadcast,
    "Starlette loop": starlette_loop,
    "C, send()": c_program,
}


def _python(stack: Stack, name: str, module: str) -> Server:
    pid, address = stack.start_server(module.rpartition(".")[2], ["-m", module, "--fd", "{fd}"], _env(stack))
    return Server(name, pid, address, "/", [], 1, "plain")


def _env(stack: Stack) -> dict[str, str]:
    return {"LIVEGIFT_REDIS_URL": stack.settings.redis_url}


def start_peers(stack: Stack, names: Iterable[str]) -> tuple[list[Server], list[str]]:
    """Start those that can be started here, and why the others can't."""
    servers, left_out = [], []
    with closing(stack.redis.client()) as client:

        def subscriptions() -> int:
            return int(client.pubsub_numsub(CHANNEL)[0][1]) + int(client.pubsub_numpat())

        for name in names:
            before = subscriptions()
            try:
                server = PEERS[name](stack)
                stack.wait_until(lambda: subscriptions() > before, f"{name} listens to Redis")  # noqa: B023 - at once
                servers.append(server)
            except LoadTestError as error:
                left_out.append(f"{name}: {error}")
    return servers, left_out
