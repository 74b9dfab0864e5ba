"""A viewer's connection: hello, commands, results."""

import time
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import structlog
from msgspec import UNSET

from livegift.contract.bounds import (
    HELLO_TIMEOUT_S,
    ROOMS_PER_CONNECTION_MAX,
    TOKEN_RENEW_TIMEOUT_S,
)
from livegift.contract.commands import Identified, Ping, RoomJoin, RoomLeave
from livegift.contract.encoding import encode
from livegift.contract.errors import Close, RequestError, StoreUnavailableError
from livegift.contract.events import User
from livegift.contract.messages import About, Bye, Error, Pong, Welcome
from livegift.contract.parsing import BadCommandError, BadFrameError
from livegift.contract.values import CommandId
from livegift.hub.command_queue import Work
from livegift.hub.commands import Command
from livegift.hub.feed import RoomFeed
from livegift.hub.giving import Giving
from livegift.hub.outbound import TOO_SLOW, Outbound
from livegift.hub.rates import TokenBucket, spread
from livegift.hub.sender import Sender
from livegift.hub.services import Services
from livegift.hub.timer_wheel import Deadline
from livegift.ledger.engine import LedgerUnavailableError
from livegift.resources.resources import Resources
from livegift.runtime import access, metrics
from livegift.runtime.bounds import (
    REFUSED_IN_A_ROW_MAX,
    SLOW_VIEWER_S,
    TIMER_WHEEL_TICK_S,
)
from livegift.runtime.identity import Identity
from livegift.store.wallets import Balance

log = structlog.get_logger()


class Connection(Giving):
    """The state of one WebSocket. `on_text` is called with one frame after the other."""

    def __init__(self, services: Services, outbound: Outbound) -> None:
        """Write to `outbound`, which belongs to this connection alone."""
        super().__init__(services, outbound)
        self.socket_writer = outbound.socket_writer
        self.write_shared = outbound.write_shared
        self._feeds: dict[str, RoomFeed] = {}
        self._bucket = TokenBucket(services.resources.settings.commands_per_s_max)
        self._budgets: dict[type[Identified], TokenBucket] = {}
        self._user_bucket: TokenBucket | None = None
        self._deadline: Deadline | None = None
        self._slow: Deadline | None = None
        self._token_expired = False
        self.session_id = token_hex(8)
        self.received = 0
        self._refused = 0
        self._set_deadline(HELLO_TIMEOUT_S, self._no_hello)
        services.connections.add(self)

    @property
    def identity(self) -> Identity:
        """Return the claims of the newest token. There are none before hello."""
        assert self._sender is not None  # noqa: S101 - commands that ask for it need a hello
        return self._sender.identity

    @property
    def resources(self) -> Resources:
        """Return this process's resources."""
        return self._services.resources

    # --- Writing ------------------------------------------------------------------------------------------------------

    def lag(self) -> None:
        """Start the time limit for a connection that does not keep up, after a frame was not written."""
        if self._slow is None:
            metrics.LAGGING.inc()
            self._slow = self._services.timer_wheel.after(SLOW_VIEWER_S, self._too_slow)

    def on_writable(self) -> None:
        """Write what was missed, when the connection keeps up again."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        for feed in self._feeds.values():
            feed.recover(self)

    def _too_slow(self) -> None:
        metrics.SLOW_CLOSED.inc()
        self._outbound.close(Close.TOO_SLOW, TOO_SLOW)

    def _set_deadline(self, after_s: float, action: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._services.timer_wheel.after(after_s, action)

    def _no_hello(self) -> None:
        self._outbound.close(Close.UNAUTHENTICATED, f"no hello within {HELLO_TIMEOUT_S:g} s")

    # --- Commands -----------------------------------------------------------------------------------------------------

    def on_text(self, text: str) -> Work | None:
        """Handle one frame. Returns work that has to be awaited before the next frame.

        All errors are answered; nothing is raised.
        """
        self.received += 1
        try:
            command = self._services.commands.parse(text)
        except BadFrameError as error:
            self._outbound.close(Close.BAD_FRAME, str(error))
            return None
        except BadCommandError as error:
            self._on_bad_command(error)
            return None
        offered = self._services.commands.by_kind[type(command)]
        if self._sender is None and offered.needs_hello:
            self._outbound.close(Close.UNAUTHENTICATED, "say hello with a token first")
            return None
        if wait_ms := self._wait_ms(offered):
            self._refuse_rate(command.id, wait_ms, offered.about(command))
            return None
        if offered.needs_hello and not self._is_allowed(offered, command):
            return None
        try:
            work = offered.handler(self, command)
        except Exception as error:  # noqa: BLE001 - it is answered, and logged unless it was raised on purpose
            self._on_failure(error, offered, command)
            return None
        return None if work is None else self._answering_failures(work, offered, command)

    def _is_allowed(self, offered: Command[Any], command: Identified) -> bool:
        if self._token_expired:
            self._error(RequestError("token_expired"), command.id, **offered.about(command))
            return False
        room = getattr(command, "room", None)
        try:
            access.require(offered.rule, self.identity, room)
        except RequestError as error:
            about = offered.about(command)
            if room is not None:
                about["room"] = room
            self._error(error, command.id, **about)
            return False
        return True

    async def _answering_failures(self, work: Work, offered: Command[Any], command: Identified) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            self._on_failure(error, offered, command)

    def _on_failure(self, error: Exception, offered: Command[Any], command: Identified) -> None:
        """Answer any exception, so that no client waits for ever."""
        if offered.on_failure is None and isinstance(error, StoreUnavailableError | LedgerUnavailableError):
            error = RequestError("unavailable")
        if offered.on_failure is None and isinstance(error, RequestError):
            self._error(error, command.id, **offered.about(command))
            return
        log.error("connection.command_failed", exc_info=error)
        if offered.on_failure is not None:
            offered.on_failure(self, command)
        else:
            self._error(RequestError("internal"), command.id, **offered.about(command))

    def refuse_binary(self) -> None:
        """Close the connection, which sent a binary frame."""
        self._outbound.close(Close.BAD_FRAME, "expected a text frame with a JSON object, got a binary one")

    def too_fast(self, why: str) -> None:
        """Close the connection, which sent more than it may."""
        self._outbound.close(Close.TOO_FAST, why)

    def _on_bad_command(self, error: BadCommandError) -> None:
        offered = self._services.commands.by_type.get(error.kind_of_command)
        if self._sender is None and (offered is None or offered.needs_hello):
            self._outbound.close(Close.UNAUTHENTICATED, "say hello with a token first")
            return
        about: About = {} if error.ref is None else {"ref": error.ref}
        if wait_ms := self._wait_ms():
            self._refuse_rate(error.id, wait_ms, about)
        elif offered is not None and offered.on_invalid is not None:
            offered.on_invalid(self, error)
        else:
            self._error(error, error.id, **about)

    def _wait_ms(self, offered: Command[Any] | None = None) -> int:
        """Count a command, in the budget of its type too. Returns how many ms it would have to wait; 0: it passes."""
        wait_ms = self._bucket.take() or (self._user_bucket.take() if self._user_bucket else 0)
        if wait_ms == 0 and offered is not None and offered.budget is not None:
            bucket = self._budgets.get(offered.kind)
            if bucket is None:
                bucket = self._budgets[offered.kind] = TokenBucket(*offered.budget)
            wait_ms = bucket.take()
        if wait_ms == 0:
            self._refused = 0
        return wait_ms

    def _refuse_rate(self, command_id: CommandId | None, wait_ms: int, about: About) -> None:
        self._refused += 1
        if self._refused > REFUSED_IN_A_ROW_MAX:
            self._outbound.close(Close.TOO_FAST, f"{self._refused} commands were refused, and still more came")
            return
        if "ref" in about:
            # Not a rejection, which would say that nothing was charged: whether it was accepted was not checked.
            about["outcome"] = "unknown"
        self.answer(command_id, Error.of("rate_limited", retry_after_ms=wait_ms, **about))

    def ping(self, command: Ping) -> None:
        """Answer with a pong."""
        self.answer(command.id, Pong(t=command.t, server_ms=int(time.time() * 1000)))

    # --- Hello --------------------------------------------------------------------------------------------------------

    async def hello(self, token: str, command_id: CommandId | None = None) -> None:
        """Authenticate the connection. The answer is `welcome`, or 4401."""
        services = self._services
        try:
            identity = services.resources.tokens.verify(token)
            access.require(access.CONNECT, identity)
        except RequestError as error:
            self._error(error, command_id)
            is_known = error.code == "forbidden"
            self._outbound.close(Close.FORBIDDEN if is_known else Close.UNAUTHENTICATED, error.detail[:100])
            return
        # Overlays' tokens are in addresses that streams show, so they get no wallet.
        has_wallet = access.may(access.WALLET, identity)
        if self._sender is not None:
            before = self._sender.identity
            if (identity.user, has_wallet) != (before.user, access.may(access.WALLET, before)):
                self._outbound.close(Close.FORBIDDEN, "a connection can't change its user or become an overlay")
                return
            self._leave_all_but(identity)
        if not has_wallet:
            self._welcome(command_id, identity)
            return
        try:
            wallet = await services.sessions.add(identity.user, self)
        except StoreUnavailableError:
            self._error(RequestError("unavailable"), command_id)
            self._outbound.close(Close.RESTARTING, "the balance can't be read at the moment")
            return
        self._user_bucket = services.sessions.bucket(identity.user)
        self.wallet_seq = max(self.wallet_seq, wallet.seq)
        self._welcome(command_id, identity, wallet)

    def _welcome(self, command_id: CommandId | None, identity: Identity, wallet: Balance | None = None) -> None:
        services = self._services
        self._sender, self._token_expired = Sender(identity, services.resources), False
        self._set_deadline(max(identity.exp - time.time(), 0), self._on_token_expired)
        self.answer(
            command_id,
            Welcome(
                user=User(id=identity.user, name=identity.shown_name),
                balance=UNSET if wallet is None else wallet.balance,
                wallet_seq=UNSET if wallet is None else wallet.seq,
                session_id=self.session_id,
                server_ms=int(time.time() * 1000),
                limits=self._services.limits,
            ),
        )

    def _on_token_expired(self) -> None:
        self._token_expired = True
        self._error(RequestError("token_expired"))
        self._set_deadline(
            TOKEN_RENEW_TIMEOUT_S,
            lambda: self._outbound.close(Close.UNAUTHENTICATED, "the token has expired and no new one came"),
        )

    def _leave_all_but(self, identity: Identity) -> None:
        """Leave the rooms that the new token does not allow."""
        for room in [room for room in self._feeds if not identity.may_enter(room)]:
            self._feeds.pop(room).leave(self)

    # --- Rooms --------------------------------------------------------------------------------------------------------

    async def join(self, command: RoomJoin) -> None:
        """Answer with the room's state, then write its frames. Raises RequestError or StoreUnavailableError."""
        room, identity = command.room, self.identity
        if room not in self._feeds and len(self._feeds) >= ROOMS_PER_CONNECTION_MAX:
            raise RequestError(
                "too_many_rooms", f"a connection may join up to {ROOMS_PER_CONNECTION_MAX} rooms: leave one first"
            )
        known = await self._services.resources.directory.room(room)
        if known is None:
            raise RequestError("room_not_found")
        feed = await self._services.feeds.feed(room)
        if room in self._feeds:
            feed.leave(self)  # joining again begins with a new snapshot
        self._feeds[room] = feed
        wants_all = identity.role == "overlay" or identity.user == known.creator_id
        try:
            await feed.join(self, command.since, command.since_epoch, wants_all=wants_all, command_id=command.id)
        except StoreUnavailableError:
            self._feeds.pop(room, None)
            feed.leave(self)
            raise

    def leave(self, command: RoomLeave) -> None:
        """Stop writing the room's frames."""
        feed = self._feeds.pop(command.room, None)
        if feed is not None:
            feed.leave(self)

    # --- The end ------------------------------------------------------------------------------------------------------

    def drain(self, window_s: float) -> None:
        """Tell the client when to come back, to another process, and close then. Until then everything works."""
        after_s = spread(window_s)
        self.write(encode(Bye(reason="restarting", reconnect_in_ms=int(after_s * 1000))))
        self._services.timer_wheel.after(after_s, self._close_for_restart)

    def _close_for_restart(self) -> None:
        if self._in_flight:
            # Gifts in flight are answered within their own deadline.
            self._services.timer_wheel.after(TIMER_WHEEL_TICK_S, self._close_for_restart)
        else:
            self._outbound.close(Close.RESTARTING, "this process is restarting")

    def close(self) -> None:
        """Leave all rooms and remove the session."""
        self._services.connections.discard(self)
        for deadline in (self._deadline, self._slow):
            if deadline is not None:
                deadline.cancel()
        for feed in self._feeds.values():
            feed.leave(self)
        self._feeds.clear()
        if self._sender is not None:
            self._services.sessions.remove(self._sender.identity.user, self)
