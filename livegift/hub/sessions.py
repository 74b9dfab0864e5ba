"""A user's connections in this process, and the channel of what happens elsewhere."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Protocol

import structlog

from livegift.contract.channels import parse_wallet
from livegift.contract.encoding import encode
from livegift.contract.errors import StoreUnavailableError
from livegift.contract.messages import Wallet
from livegift.hub.arrivals import Arrivals
from livegift.hub.rates import TokenBucket
from livegift.hub.subscriber import Handler, Subscriber
from livegift.store.client import Store
from livegift.store.keys import partition_channel, user_channel
from livegift.store.wallets import Balance, Wallets

log = structlog.get_logger()


class Session(Protocol):
    """A connection of a user. `wallet_seq` is the newest state of the wallet that it was told."""

    wallet_seq: int

    def write(self, payload: bytes) -> None:
        """Write one frame; never blocks."""


class Sessions:
    """The connections by user. A user's channel is subscribed while there are any."""

    def __init__(self, store: Store, subscriber: Subscriber, wallets: Wallets, commands_per_s_max: int) -> None:
        """Use `wallets` to find users' partitions. The rate is for all connections of a user here."""
        self._subscriber = subscriber
        self._wallets = wallets
        self._arrivals = Arrivals(store, subscriber, wallets, self._unsubscribed)
        self._commands_per_s_max = commands_per_s_max
        self._sessions: dict[str, set[Session]] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._partitions: dict[str, str] = {}  # channel -> root, of all partitions that had users here: they are few
        self._resyncing: dict[str, asyncio.Task[None]] = {}

    def _channel(self, user: str) -> str:
        return user_channel(self._wallets.root_of(user), user)

    def _unsubscribed(self, users: Iterable[str]) -> dict[str, Handler]:
        """Return the channels that have still to be subscribed to for `users`: theirs, and those of partitions.

        A user who has left meanwhile needs none, and nobody would end it.
        """
        found: dict[str, Handler] = {}
        for user in users:
            root = self._wallets.root_of(user)
            channel = user_channel(root, user)
            if channel not in self._subscriber and user in self._sessions:
                found[channel] = partial(self._on_message, user)
            partition = partition_channel(root)
            if partition not in self._subscriber:
                self._partitions[partition] = root
                found[partition] = partial(self._on_armed, root)
        return found

    def _on_armed(self, root: str, _: bytes) -> None:
        self._resync(root)

    async def add(self, user: str, session: Session) -> Balance:
        """Add a session, which is told the user's news from now on, and return the wallet as it is then.

        For a session that was added before, only the wallet is read. Raises StoreUnavailableError.
        """
        sessions = self._sessions.setdefault(user, set())
        is_new = session not in sessions
        sessions.add(session)
        try:
            return await self._arrivals.wallet_of(user)
        except BaseException:
            if is_new:
                self.remove(user, session)
            raise

    def bucket(self, user: str) -> TokenBucket:
        """Return the bucket that all connections of `user` share while there are any."""
        return self._buckets.setdefault(user, TokenBucket(self._commands_per_s_max))

    def remove(self, user: str, session: Session) -> None:
        """Remove a session."""
        sessions = self._sessions.get(user, set())
        sessions.discard(session)
        if not sessions and self._sessions.pop(user, None) is not None:
            self._buckets.pop(user, None)
            self._subscriber.unsubscribe(self._channel(user))

    def _on_message(self, user: str, message: bytes) -> None:
        wallet = parse_wallet(message)
        for session in self._sessions.get(user, ()):
            if wallet is None:
                session.write(message)
            elif wallet.seq > session.wallet_seq:
                session.wallet_seq = wallet.seq
                session.write(message)

    def tell_others(self, user: str, sender: Session, balance: int, seq: int) -> None:
        """Tell the user's other connections here of the wallet's change by a gift of `sender`."""
        sessions = self._sessions.get(user, ())
        if len(sessions) < 2:  # noqa: PLR2004 - the sender alone
            return
        payload = encode(Wallet(balance=balance, seq=seq, reason="gift"))
        for session in sessions:
            if session is not sender and seq > session.wallet_seq:
                session.wallet_seq = seq
                session.write(payload)

    # --- Wallets that are not what they were --------------------------------------------------------------------------

    def restored(self, channel: str) -> None:
        """Compare wallets after a channel was subscribed again: messages may have been missed."""
        root = self._partitions.get(channel)
        if root is not None:
            self._resync(root)

    def _resync(self, root: str) -> None:
        """Compare the wallets of a partition that was armed again, or whose messages were missed."""
        if root not in self._resyncing:
            task = self._resyncing[root] = asyncio.create_task(self._compare(root), name=f"resync {root}")
            task.add_done_callback(lambda _: self._resyncing.pop(root, None))

    async def _compare(self, root: str) -> None:
        try:
            if not await self._wallets.is_armed(root):
                return  # its wallets may be older than what was told; its arming starts this again
        except StoreUnavailableError as error:
            log.warning("sessions.resync_failed", root=root, error=str(error))
            return  # when it is back, another message starts this again
        for user in [user for user in self._sessions if self._wallets.root_of(user) == root]:
            # A session can't know a newer state than the wallet that is read afterwards, unless the wallet was set
            # back.
            known = {session: session.wallet_seq for session in self._sessions.get(user, ())}
            try:
                wallet = await self._wallets.read(user)
            except StoreUnavailableError as error:
                log.warning("sessions.resync_failed", root=root, error=str(error))
                return
            payload = encode(Wallet(balance=wallet.balance, seq=wallet.seq, reason="resync"))
            for session, seq in known.items():
                if session.wallet_seq == seq != wallet.seq:
                    session.wallet_seq = wallet.seq
                    session.write(payload)

    async def aclose(self) -> None:
        """Stop comparing, and reading for those who arrive."""
        await self._arrivals.aclose()
        for task in list(self._resyncing.values()):
            task.cancel()
        await asyncio.gather(*self._resyncing.values(), return_exceptions=True)
