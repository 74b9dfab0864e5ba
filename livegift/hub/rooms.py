"""The rooms that have viewers in this process."""

import asyncio
from collections.abc import Callable

from livegift.hub.conflation import Conflation
from livegift.hub.feed import RoomFeed
from livegift.hub.subscriber import Subscriber
from livegift.resources.directory import Directory
from livegift.store.keys import room_channel
from livegift.store.rooms import Rooms


class RoomFeeds:
    """The rooms that have viewers in this process."""

    def __init__(
        self,
        rooms: Rooms,
        subscriber: Subscriber,
        directory: Directory,
        *,
        flush_s: float,
        conflation: Callable[[], Conflation],
        parts: tuple[str, ...],
        process: str,
    ) -> None:
        """Create no feeds yet.

        `conflation` is called for each room; `parts` are the features' parts of snapshots; `process` names this process
        in viewer counts.
        """
        self._rooms = rooms
        self._subscriber = subscriber
        self._directory = directory
        self._flush_s = flush_s
        self._conflation = conflation
        self._parts = parts
        self._process = process
        self._feeds: dict[str, RoomFeed] = {}
        self._opening: dict[str, asyncio.Task[RoomFeed]] = {}
        self._heads: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    async def feed(self, room: str) -> RoomFeed:
        """Return the feed of a room, subscribed. Raises StoreUnavailableError."""
        feed = self._feeds.get(room)
        if feed is not None:
            return feed
        task = self._opening.get(room)
        if task is None:
            task = self._opening[room] = asyncio.create_task(self._open(room), name=f"open {room}")
            task.add_done_callback(lambda _: self._opening.pop(room, None))
        return await asyncio.shield(task)

    async def _open(self, room: str) -> RoomFeed:
        feed = RoomFeed(room, self._rooms, self._directory, self._flush_s, self._conflation(), self._parts)
        await self._subscriber.subscribe(room_channel(room), feed.on_message)
        self._feeds[room] = feed
        return feed

    def restored(self, channel: str) -> None:
        """Catch up after a channel was subscribed again: what was published meanwhile is in the log."""
        for room, feed in self._feeds.items():
            if room_channel(room) == channel:
                feed.catch_up(feed.seq)

    async def poll_heads(self) -> None:
        """Compare with the rooms' heads, so that a lost last message is noticed."""
        before, self._heads = self._heads, await self._rooms.heads(self._feeds)
        for room, head in before.items():
            feed = self._feeds.get(room)
            if feed is not None:
                feed.on_head(*head)

    async def pulse(self) -> None:
        """Exchange viewer counts with other processes; the rooms tell their viewers."""
        counts = await self._rooms.pulse(self._process, {r: feed.present for r, feed in self._feeds.items()})
        for room, count in counts.items():
            feed = self._feeds.get(room)
            if feed is not None:
                feed.pulse(count)

    def close_idle(self, linger_s: float) -> None:
        """Stop following rooms that have had no viewers for a while."""
        now = asyncio.get_running_loop().time()
        for room, feed in list(self._feeds.items()):
            if not feed.is_idle:
                feed.idle_since = None
            elif feed.idle_since is None:
                feed.idle_since = now
            elif now - feed.idle_since >= linger_s:
                del self._feeds[room]
                feed.close()
                self._subscriber.unsubscribe(room_channel(room))

    def close(self) -> None:
        """Close all feeds."""
        for feed in self._feeds.values():
            feed.close()
