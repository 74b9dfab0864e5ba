"""A running system that must stay quiet whatever it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.system import System


@contextmanager
def unharmed(system: System) -> Iterator[System]:
    """With a room 'r1' of bob's; fails when a process has died or logged a traceback meanwhile."""
    system.open_room("r1", "bob")
    before = {name: len(system.log(name)) for name in system.processes}
    yield system
    for name, length in before.items():
        assert "Traceback" not in system.log(name)[length:], f"{name}: {system.log(name)[length:][-3000:]}"
    assert all(process.poll() is None for process in system.processes.values())
