"""The JavaScript client outside a browser: Node, with and without a WebSocket of its own."""

import json
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

from tests.system import System

LIBRARY = Path(__file__).parent.parent / "client_demo" / "livegift.js"
NODE = compute_driver_executable()[0]  # Playwright brings one: nothing is left out where the system has none


def run(script: str) -> list[object]:
    """What a module prints as JSON, a line each. A process that dies of an error fails the test."""
    head = f"""
        const print = (value) => console.log(JSON.stringify(value));
        const {{ LiveGift }} = await import({json.dumps(LIBRARY.as_uri())});
    """
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", head + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# A socket as the package `ws` makes it: an 'error' without a listener ends the process, and closing one that is not
# open yet is an error too.
LIKE_WS = """
    const { EventEmitter } = await import("node:events");
    class Socket extends EventEmitter {
      readyState = 0;
      constructor() {
        super();
        setTimeout(() => {
          this.readyState = 3;
          this.emit("error", new Error("connect ECONNREFUSED"));
          this.emit("close", { code: 1006, reason: "" });
        }, 10);
      }
      set onerror(listener) { this.on("error", listener); }
      set onclose(listener) { this.on("close", listener); }
      set onopen(listener) { this.on("open", listener); }
      set onmessage(listener) { this.on("message", listener); }
      close() { if (this.readyState === 0) setTimeout(() => this.emit("error", new Error("closed before open"))); }
    }
"""


def test_a_runtime_without_a_websocket_is_told_what_to_pass() -> None:
    (said,) = run("""
        delete globalThis.WebSocket;
        try { new LiveGift({ url: "ws://127.0.0.1:1/v1/ws", getToken: async () => "t" }); }
        catch (error) { print(`${error.name}: ${error.message}`); }
    """)
    assert isinstance(said, str)
    assert said.startswith("TypeError: LiveGift needs a WebSocket class")


def test_a_refused_connection_is_tried_again() -> None:
    states = run(
        LIKE_WS
        + """
        const client = new LiveGift({ url: "ws://x/v1/ws", getToken: async () => "t", WebSocketClass: Socket });
        const seen = [];
        client.addEventListener("state", ({ detail }) => {
          seen.push(detail.state);
          if (detail.state === "closed") print(seen);
          else if (seen.filter((state) => state === "waiting").length === 2) client.close();
        });
        client.connect();
    """
    )
    assert states == [["connecting", "waiting", "connecting", "waiting", "closed"]]


def test_an_address_that_is_none_stops_the_client() -> None:
    (detail,) = run("""
        const client = new LiveGift({ url: "no address", getToken: async () => "t" });
        client.addEventListener("state", ({ detail }) => { if (detail.state === "stopped") print(detail); });
        client.connect();
    """)
    assert isinstance(detail, dict)
    assert detail["reason"]


async def test_a_reminder_of_a_limit_reaches_the_page(system: System) -> None:
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 100})
    token = system.token("alice")
    assert system.http("PUT", "/v1/wallet/limits", {"day": 10}, token=token)[0] == 200
    script = """
        const client = new LiveGift({ url: URL, getToken: async () => TOKEN });
        client.addEventListener("reminder", ({ detail }) => { print(detail); client.close(); });
        client.connect();
        client.sendGift({ room: "r1", gift_id: "rose", count: 5 }).then((result) => print(result.status));
    """
    script = script.replace("URL", json.dumps(f"ws://{system.address()}/v1/ws")).replace("TOKEN", json.dumps(token))
    said = run(script)
    assert "accepted" in said
    (reminder,) = (line for line in said if isinstance(line, dict))
    assert {name: reminder[name] for name in ("kind", "percent", "allowed", "used")} == {
        "kind": "day",
        "percent": 50,
        "allowed": 10,
        "used": 5,
    }
