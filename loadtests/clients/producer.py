"""Debits gifts straight in Redis, by the function calls of the web process: at a rate, or as many as it can.

`python -m loadtests.clients.producer --gifts N [--rate R]` prints `sending`, and one JSON object at the end, which
SIGTERM brings about earlier. The environment has the settings. Senders are granted their coins
before (see harness/debits.py).
"""

import argparse
import asyncio
import signal
import time
from itertools import islice

import orjson
import uvloop

from livegift import composition
from livegift.domain.spending import Accepted
from livegift.store.client import Store
from livegift.store.wallets import batch_outcomes
from loadtests.harness.debits import CALLS_PER_EXCHANGE, FILL_DEADLINE_S, gift_calls

PACED_CALLS_PER_EXCHANGE = 4  # about 60 gifts at once: at a low rate nothing is to come in bursts
SLEEP_MIN_S = 0.001


async def main(options: argparse.Namespace) -> dict[str, object]:
    """Send until all are sent or somebody says stop. What is behind its rate catches up."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = composition.load_settings()
    store = await Store.connect(settings.redis_url)
    link = await store.nodes[0].link().open()
    calls = gift_calls(settings.partitions, options.run, options.gifts, options.senders)
    at_once = PACED_CALLS_PER_EXCHANGE if options.rate else CALLS_PER_EXCHANGE
    print("sending", flush=True)
    since, sent, refused, late_max_s = time.monotonic(), 0, 0, 0.0
    try:
        while not stop.is_set() and (batch := list(islice(calls, at_once))):
            replies = await link.exchange([command for command, _ in batch], FILL_DEADLINE_S)
            for reply, (_, count) in zip(replies, batch, strict=True):
                accepted = sum(isinstance(one, Accepted) for one in batch_outcomes(reply, count))
                sent, refused = sent + accepted, refused + count - accepted
            if options.rate:
                ahead_s = (sent + refused) / options.rate - (time.monotonic() - since)
                late_max_s = max(late_max_s, -ahead_s)
                await asyncio.sleep(max(ahead_s, SLEEP_MIN_S))
    finally:
        await link.close()
        await store.aclose()
    return {
        "accepted": sent,
        "refused": refused,
        "seconds": time.monotonic() - since,
        "late_max_s": late_max_s,
        "cpu_s": time.process_time(),
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True, help="a part of every ref, new for each run")
    parser.add_argument("--gifts", type=int, default=10**9)
    parser.add_argument("--rate", type=float, default=0.0, help="gifts per second; 0 for as many as it can")
    parser.add_argument("--senders", type=int, default=1_000, help="who have been granted coins")
    return parser.parse_args()


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(main(arguments()))).decode())
