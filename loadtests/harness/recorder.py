"""Many viewers in one C process (`native/recorder.c`), and what they have recorded."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any

from livegift.dev.embedded.process import dies_with_parent
from loadtests.harness import processes
from loadtests.harness.measure import pin
from loadtests.harness.processes import LoadTestError

NATIVE = Path(__file__).with_name("native")
BUILD_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 60.0
WRITE_TIMEOUT_S = 120.0
SEPARATOR = "\x1e"  # between the messages that one connection sends

_HEAD, _CONNECTION, _TEXT = Struct("=QQQ"), Struct("=QQQQ"), Struct("=II")
_SNAPSHOT = b'{"type":"room.snapshot"'
_MEANT_AT = re.compile(rb'"(?:id|message)":"t-(\d+)-')


def build(name: str, folder: Path) -> Path:
    """Compile a program of `native/` into `folder`. Raises LoadTestError when there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise LoadTestError("the load client is written in C so that it costs little: install a C compiler (`cc`)")
    binary = folder / name
    argv = [compiler, "-O2", "-o", str(binary), str(NATIVE / f"{name}.c")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    if done.returncode:
        raise LoadTestError(f"{name}.c was not compiled: {done.stderr[-1000:]}")
    return binary


@dataclass(slots=True)
class Text:
    """One text that came, maybe to many."""

    payload: bytes  # as it travelled
    is_deflated: bool

    def opened(self) -> bytes:
        """The JSON. Each text is compressed on its own (RFC 7692, no context takeover)."""
        if not self.is_deflated:
            return self.payload
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.payload + b"\0\0\xff\xff")


@dataclass(frozen=True, slots=True)
class Connected:
    """One connection's moments (ns of the monotonic clock, 0: never) and how it ended (0: it was open)."""

    asked_ns: int
    upgraded_ns: int
    ready_ns: int
    close_code: int


@dataclass
class Recording:
    """Who got what and when: three arrays of the same length."""

    connections: "array[int]"
    texts: "array[int]"
    at_ns: "array[int]"
    connected: list[Connected]
    all_texts: list[Text]
    summary: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, summary: dict[str, Any]) -> "Recording":
        """As the recorder has written it."""
        data = memoryview(path.read_bytes())
        frames, texts, connections = _HEAD.unpack_from(data)
        at = _HEAD.size
        arrays = [array(kind) for kind in "IIQ"]
        for values in arrays:
            size = frames * values.itemsize
            values.frombytes(data[at : at + size])
            at += size
        connected = []
        for _ in range(connections):
            connected.append(Connected(*_CONNECTION.unpack_from(data, at)))
            at += _CONNECTION.size
        found = []
        for _ in range(texts):
            size, is_deflated = _TEXT.unpack_from(data, at)
            at += _TEXT.size
            found.append(Text(bytes(data[at : at + size]), bool(is_deflated)))
            at += size
        connections_of, texts_of, at_ns = arrays
        return cls(connections_of, texts_of, at_ns, connected, found, summary)

    @cached_property
    def meant_at_ns(self) -> list[list[int]]:
        """For each text, when its events were meant to be sent; nothing for other texts, snapshots among them."""
        opened = (text.opened() for text in self.all_texts)
        return [[] if text.startswith(_SNAPSHOT) else [int(at) for at in _MEANT_AT.findall(text)] for text in opened]

    def shown(self) -> "Shown":
        """What of the publishers' events has arrived."""
        events = [len(found) for found in self.meant_at_ns]
        oldest_ns = [min(found, default=0) for found in self.meant_at_ns]
        sizes = [len(text.payload) for text in self.all_texts]
        late_ms = array("d")
        frames = deliveries = size = 0
        for text, at in zip(self.texts, self.at_ns, strict=True):
            if events[text]:
                frames += 1
                deliveries += events[text]
                size += sizes[text]
                late_ms.append((at - oldest_ns[text]) / 1e6)
        return Shown(frames, deliveries, size, late_ms)

    def byte_sequences(self) -> Counter[str]:
        """How many connections got each sequence of frames with events, told apart by their bytes."""
        hashes = [blake2b(digest_size=16) for _ in self.connected]
        has_events = [bool(found) for found in self.meant_at_ns]
        for connection, text in zip(self.connections, self.texts, strict=True):
            if has_events[text]:
                hashes[connection].update(text.to_bytes(4, "little"))
        return Counter(found.hexdigest() for found in hashes)

    def frames_of(self, connection: int) -> Iterator[tuple[int, bytes]]:
        """What one connection got: (ns, JSON)."""
        for number, text, at in zip(self.connections, self.texts, self.at_ns, strict=True):
            if number == connection:
                yield at, self.all_texts[text].opened()


@dataclass(frozen=True, slots=True)
class Shown:
    """Frames with events, the events in them, their payloads' bytes, and how late each frame's oldest event was."""

    frames: int
    deliveries: int
    payload_bytes: int
    late_ms: Sequence[float]


class Recorder:
    """A running recorder."""

    def __init__(self, process: "subprocess.Popen[bytes]", out: Path, connections: int, address: str) -> None:
        """Made by `recorder`."""
        self._process = process
        self._out = out
        self._address = address
        self.connections = connections
        self.pid = process.pid

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until all have got what they were to get first. Raises LoadTestError."""
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(self._process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        reader.join(timeout_s)
        if lines != [b"ready\n"]:
            said = b"".join(lines).decode().strip() or f"not within {timeout_s:g} s"
            raise LoadTestError(f"not all of {self.connections} viewers of {self._address} got ready: {said}")

    def wake(self) -> None:
        """Let the stalled read again."""
        self._process.send_signal(signal.SIGUSR1)

    def stop(self) -> Recording:
        """Everything that came. Raises LoadTestError."""
        self._process.terminate()
        try:
            out, _ = self._process.communicate(timeout=WRITE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise LoadTestError("the recorder does not write down what it has") from None
        if self._process.returncode:
            raise LoadTestError(f"the recorder ended with {self._process.returncode}")
        return Recording.load(self._out, json.loads(out.splitlines()[-1]))


@contextmanager
def recorder(
    address: str,
    path: str,
    connections: int,
    scripts: Sequence[Sequence[str]],
    frames_until_ready: int,
    *,
    deflate: bool = False,
    stalled: int = 0,
    per_s: float = 0,
    cores: set[int] | None = None,
) -> Iterator[Recorder]:
    """Start `connections` viewers; connection i sends the messages `scripts[i % len(scripts)]` at first.

    `per_s` spreads the connecting (0: all at once). The first `stalled` stop reading once all are ready.
    """
    host, _, port = address.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="livegift-recorder-") as name:
        folder = Path(name)
        script = folder / "script"
        script.write_text("".join(SEPARATOR.join(messages) + "\n" for messages in scripts))
        argv = [str(build("recorder", folder)), host, port, path, str(connections), str(frames_until_ready)]
        argv += [str(script), str(folder / "out"), "--stalled", str(stalled), "--per-s", str(per_s)]
        argv += ["--deflate"] if deflate else []
        process = subprocess.Popen([*dies_with_parent(signal.SIGKILL), *argv], stdout=subprocess.PIPE, process_group=0)
        with processes.running(process):
            if cores is not None:
                pin(process.pid, cores)
            yield Recorder(process, folder / "out", connections, address)
