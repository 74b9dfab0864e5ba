"""`livegift dev` on a data folder, and commands on it."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.processes import running
from tests.system import command
from tests.waiting import wait_until

READY_TIMEOUT_S = 120  # on a machine that is busy with other tests; it takes seconds
READY = re.compile(r"^livegift ready: (http://\S+)$", re.MULTILINE)


class Dev:
    """One `livegift dev` on a data folder."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self._output = data.parent / f"output-{len(list(data.parent.iterdir()))}"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command("dev", "--port", "0", "--data", str(data), *options),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environ(),
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def logs(self) -> dict[str, str]:
        """What the processes have logged, by the file's name."""
        return {path.stem: path.read_text() for path in (self.data / "logs").glob("*.log")}

    async def ready(self) -> str:
        """The address, once it serves."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.output
            return READY.search(self.output)

        match = await wait_until(found, "livegift dev is ready", READY_TIMEOUT_S)
        assert isinstance(match, re.Match)
        return str(match[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def pids(self, *words: str) -> list[int]:
        """Processes that belong to the data folder, or whose parent is this one, with `words` in their command."""
        mine = (
            each
            for each in running()
            if str(self.data) in each.command or f"LIVEGIFT_REDIS_URL={self.redis_url}" in each.environ
        )
        return [each.pid for each in mine if all(word in each.command for word in words)]

    @property
    def redis_url(self) -> str:
        path = self.data / "env"
        text = path.read_text() if path.exists() else ""
        match = re.search(r"LIVEGIFT_REDIS_URL=(\S+)", text)
        return match[1] if match else "none yet"


def clean_environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LIVEGIFT_")}


def run(data: Path, *args: str) -> str:
    """A command on the system of a data folder."""
    done = subprocess.run(
        command(*args, "--data", str(data)), capture_output=True, text=True, env=clean_environ(), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "settings.from_file" not in done.stderr
    return done.stdout.strip()


def get(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())
