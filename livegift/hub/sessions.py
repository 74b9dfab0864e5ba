"""A user's connections of this process, and the channel that tells them what happened elsewhere."""

import asyncio
from typing import Protocol

from livegift import wire
from livegift.hub.subscriber import Subscriber
from livegift.store.keys import user_channel
from livegift.store.wallets import Wallets


class Session(Protocol):
    """One connection of a user. `wallet_seq` is the newest state of the wallet that it was told."""

    wallet_seq: int

    def write(self, text: str) -> None:
        """Queue one frame; never blocks."""


class Sessions:
    """Connections by user. The user's channel is subscribed while there is any."""

    def __init__(self, subscriber: Subscriber, wallets: Wallets) -> None:
        """`wallets` tells which partition a user belongs to."""
        self._subscriber = subscriber
        self._wallets = wallets
        self._sessions: dict[str, set[Session]] = {}
        self._subscribing: dict[str, asyncio.Task[None]] = {}

    def _channel(self, user: str) -> str:
        return user_channel(self._wallets.root_of(user), user)

    async def add(self, user: str, session: Session) -> None:
        """From now on `session` hears of the user. Raises StoreUnavailableError."""
        sessions = self._sessions.setdefault(user, set())
        sessions.add(session)
        task = self._subscribing.get(user)
        if task is None:
            work = self._subscriber.subscribe(self._channel(user), lambda message: self._on_message(user, message))
            task = self._subscribing[user] = asyncio.create_task(work, name=f"subscribe user {user}")
        try:
            await asyncio.shield(task)
        except BaseException:
            await self.remove(user, session)
            raise

    async def remove(self, user: str, session: Session) -> None:
        """Forget `session`."""
        sessions = self._sessions.get(user, set())
        sessions.discard(session)
        if not sessions and self._sessions.pop(user, None) is not None:
            task = self._subscribing.pop(user, None)
            if task is not None:
                task.cancel()
            await self._subscriber.unsubscribe(self._channel(user))

    def _on_message(self, user: str, message: bytes) -> None:
        wallet = wire.wallet_seq_of(message)
        text = message.decode()
        for session in self._sessions.get(user, ()):
            if wallet is None:
                session.write(text)
            elif wallet[0] > session.wallet_seq:
                session.wallet_seq = wallet[0]
                session.write(text)

    def tell_others(self, user: str, sender: Session, balance: int, seq: int) -> None:
        """A gift of `sender` changed the wallet: the user's other connections here hear of it."""
        sessions = self._sessions.get(user, ())
        if len(sessions) < 2:  # noqa: PLR2004 - the sender alone
            return
        text = wire.frame("wallet", balance=balance, seq=seq, reason="gift").decode()
        for session in sessions:
            if session is not sender and seq > session.wallet_seq:
                session.wallet_seq = seq
                session.write(text)
