"""A viewer over a real socket, who keeps everything that came."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self
from uuid import uuid4

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


class Viewer:
    """Use as `async with Viewer(address, token) as viewer`. Frames are kept by type, results by ref."""

    decode: Callable[[str | bytes], Any] = staticmethod(json.loads)

    def __init__(self, address: str, token: str | None) -> None:
        self._url = f"ws://{address}/v1/ws"
        self._token = token
        self.frames: list[dict[str, Any]] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.close_code: int | None = None
        self._news = asyncio.Event()
        self.socket: ClientConnection
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.socket = await connect(
            self._url, subprotocols=[Subprotocol("livegift.v1")], compression=None, max_size=None, open_timeout=30
        )
        self._reader = asyncio.create_task(self._read())
        try:
            if self._token is not None:
                await self.send(type="hello", token=self._token)
                await self.expect("welcome")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._reader

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                frame = self.decode(message)
                self.keep(frame)
                if frame["type"] == "gift.result" or (frame["type"] == "error" and "ref" in frame):
                    self.results[frame["ref"]] = frame
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self.socket.close_code
            self._news.set()

    def keep(self, frame: dict[str, Any]) -> None:
        """Remember a frame that came."""
        self.frames.append(frame)

    async def send(self, **command: object) -> None:
        await self.socket.send(orjson.dumps(command).decode())

    async def send_raw(self, data: str | bytes) -> None:
        await self.socket.send(data)

    async def wait_for(self, found: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
        """The first truthy value of `found`, looked at after each frame."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := found()):
                    self._news.clear()
                    if self._reader.done() and not found():
                        raise AssertionError(f"closed with {self.close_code} before {what}; got {self.frames[-3:]}")
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"after {timeout_s} s no {what}; last frames: {self.frames[-3:]}") from None
        return value

    async def expect(self, kind: str, timeout_s: float = 15.0, **fields: object) -> dict[str, Any]:
        """The first frame of a type with these fields, whether it came already or not."""

        def found() -> dict[str, Any] | None:
            return next((f for f in self.frames if f["type"] == kind and fields.items() <= f.items()), None)

        frame: dict[str, Any] = await self.wait_for(found, f"{kind} {fields}", timeout_s)
        return frame

    async def join(self, room: str, **fields: object) -> dict[str, Any]:
        await self.send(type="room.join", room=room, **fields)
        return await self.expect("room.snapshot", room=room)

    async def gift(
        self, room: str, gift_id: str = "rose", *, ref: str | None = None, **fields: object
    ) -> dict[str, Any]:
        """Send one gift and return its result."""
        ref = ref or uuid4().hex
        self.results.pop(ref, None)
        await self.send(type="gift.send", ref=ref, room=room, gift_id=gift_id, **fields)
        result: dict[str, Any] = await self.wait_for(lambda: self.results.get(ref), f"result of {ref}")
        return result

    async def closed(self, timeout_s: float = 15.0) -> int | None:
        """The code with which the server has closed."""
        async with asyncio.timeout(timeout_s):
            await self._reader
        return self.close_code

    def events(self, room: str) -> list[dict[str, Any]]:
        """All events of a room in the order in which they came, those of the snapshot included."""
        kinds = ("room.events", "room.snapshot")
        return [e for f in self.frames if f["type"] in kinds and f["room"] == room for e in f["events"]]

    def gap(self, room: str) -> str | None:
        """What is wrong with the numbering of a room's frames, if anything."""
        last: int | None = None
        for frame in self.frames:
            if frame["type"] == "room.snapshot" and frame["room"] == room:
                last = frame["seq"]
            elif frame["type"] == "room.events" and frame["room"] == room:
                if last is None or frame["first_seq"] != last + 1:
                    return f"frame {frame['first_seq']}..{frame['seq']} after {last}"
                seqs = [event["seq"] for event in frame["events"]]
                if seqs != list(range(frame["first_seq"], frame["seq"] + 1)):
                    return f"frame {frame['first_seq']}..{frame['seq']} has events {seqs}"
                last = frame["seq"]
        return None
