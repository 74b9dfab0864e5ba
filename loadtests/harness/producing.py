"""A client process that debits gifts straight in Redis while something else is watched (clients/producer.py)."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from loadtests.harness import processes
from loadtests.harness.fault_stack import FaultStack
from loadtests.harness.processes import LoadTestError, tail

Run = dict[str, Any]


class Producer:
    """A running clients/producer.py."""

    def __init__(self, stack: FaultStack, *argv: str) -> None:
        """`argv` are its arguments."""
        self._stack = stack
        with stack.log("producer").open("ab") as log:
            run = f"p{time.monotonic_ns()}"
            argv = ("-m", "loadtests.clients.producer", "--run", run, *argv)
            self.process = processes.start(argv, stack.environ(), stdout=subprocess.PIPE, stderr=log)

    def end(self, timeout_s: float, *, now: bool) -> Run:
        """What it says in the end; `now` tells it to stop. Raises LoadTestError when it fails."""
        if now:
            self.process.terminate()
        try:
            out, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LoadTestError(f"the producer did not end within {timeout_s:g} s") from None
        if self.process.returncode:
            raise LoadTestError(f"the producer failed\n{tail(self._stack.log('producer'))}")
        found: Run = orjson.loads(out)
        return found


@contextmanager
def producing(stack: FaultStack, *argv: str) -> Iterator[Producer]:
    """A producer that does not outlive the block."""
    producer = Producer(stack, *argv)
    try:
        yield producer
    finally:
        if producer.process.poll() is None:
            producer.process.kill()
            producer.process.wait()
