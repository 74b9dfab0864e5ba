"""Processes that are kept running, their logs, and their end with whoever keeps them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from livegift.dev import supervisor
from livegift.dev.embedded.process import bound_log
from livegift.dev.supervisor import Child, Supervisor
from livegift.runtime import lifeline
from tests.waiting import wait_until

DYING = "print('first'); raise RuntimeError('no luck')"
KEEPER = """
import sys, time
from livegift.dev import supervisor
supervisor.dies_with_parent = lambda number: []  # as on a system whose kernel has no such thing
keeper = supervisor.Supervisor(print)
command = [sys.executable, "-c", sys.argv[1]]
child = supervisor.Child("child", command, supervisor.child_environ())
keeper.start([child])
print(child.process.pid, flush=True)
time.sleep(600)
"""
HELD = """
import time
from livegift.runtime import lifeline
lifeline.hold()
print('holding', flush=True)
time.sleep(600)
"""


@contextmanager
def keeping(child: Child) -> Iterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    keeper = Supervisor(said.append)
    keeper.start([child])
    try:
        yield keeper, said
    finally:
        keeper.stop()


def polling(keeper: Supervisor, found: Callable[[], object]) -> Callable[[], object]:
    def polled() -> object:
        keeper.poll()
        return found()

    return polled


async def test_a_process_that_dies_is_started_again_and_its_last_words_are_told(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = Child("child", [sys.executable, "-c", DYING], supervisor.child_environ(), log=log)
    with keeping(child) as (keeper, said):
        await wait_until(polling(keeper, lambda: said), "its end is told")
        assert said[0] == f"child ended with exit code 1, starting it again; {log} ends with: RuntimeError: no luck"
        await wait_until(polling(keeper, lambda: log.read_text().count("first") > 1), "it is there again")


async def test_a_process_that_says_nothing_dies_with_a_line_as_well(tmp_path: Path) -> None:
    child = Child("child", ["/bin/sh", "-c", "kill -9 $$"], supervisor.child_environ(), log=tmp_path / "child.log")
    with keeping(child) as (keeper, said):
        await wait_until(polling(keeper, lambda: said), "its end is told")
        assert re.fullmatch(r"child ended with signal SIGKILL, starting it again; \S+ ends with: nothing", said[0])


async def test_a_log_stays_small_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    with log.open("ab") as writer:
        writer.write(b"old " * 100)
        writer.flush()
        bound_log(log, 400)
        assert log.stat().st_size == 400, "not before it is too long"
        writer.write(b"end\n")
        writer.flush()
        bound_log(log, 400)
        writer.write(b"new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "child.log.1").read_text() == "old " * 100 + "end\n"


def test_children_end_with_a_killed_keeper_without_the_kernels_help() -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER, HELD], stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        child = int(keeper.stdout.readline())
        assert keeper.stdout.readline() == "holding\n"
        os.kill(child, 0)
        keeper.send_signal(signal.SIGKILL)
        # The child has the other end of our pipe: that ends when both are gone.
        assert keeper.stdout.read() == ""


@pytest.mark.parametrize("number", ["", "x", "987654"])
def test_nobody_gave_a_lifeline(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lifeline.VARIABLE, number)
    ended: list[bool] = []
    lifeline.hold(lambda: ended.append(True))
    assert not ended
    assert lifeline.VARIABLE not in os.environ
