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
        """`argv` are its arguments. Returns when it sends."""
        self._stack = stack
        run = f"p{time.monotonic_ns()}"
        self._said = stack.folder / f"producer-{run}.said"
        argv = ("-m", "loadtests.clients.producer", "--run", run, *argv)
        with self._said.open("wb") as stdout, stack.log("producer").open("ab") as log:
            self.process = processes.start(argv, stack.environ(), stdout=stdout, stderr=log)
        stack.wait_until(
            lambda: self._said.read_text().startswith("sending") or self.process.poll() is not None,
            "the producer sends",
        )

    def end(self, timeout_s: float, *, now: bool) -> Run:
        """Return what it says in the end; `now` tells it to stop. Raises LoadTestError when it fails."""
        if now:
            self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LoadTestError(f"the producer did not end within {timeout_s:g} s") from None
        if self.process.returncode:
            raise LoadTestError(
                f"the producer ended with {self.process.returncode}\n{tail(self._stack.log('producer'))}"
            )
        found: Run = orjson.loads(self._said.read_bytes().splitlines()[-1])
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
