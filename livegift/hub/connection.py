"""One viewer: hello, commands, results."""

import asyncio
import time
from collections.abc import Callable
from secrets import token_hex
from typing import get_args

import structlog

from livegift.contract import wire
from livegift.contract.bounds import (
    GIFT_COUNT_MAX,
    HELLO_TIMEOUT_S,
    MESSAGE_LENGTH_MAX,
    ROOMS_PER_CONNECTION_MAX,
    TOKEN_RENEW_TIMEOUT_S,
)
from livegift.contract.errors import Close, RequestError, StoreUnavailableError
from livegift.hub.command_queue import Work
from livegift.hub.feed import RoomFeed
from livegift.hub.giving import Giving
from livegift.hub.outbound import TOO_SLOW, Outbound
from livegift.hub.rates import TokenBucket, spread
from livegift.hub.sender import Sender
from livegift.hub.services import Services
from livegift.hub.timer_wheel import Deadline
from livegift.runtime import access, metrics
from livegift.runtime.bounds import (
    HELLO_ANSWER_S,
    HELLOS_BURST_MAX,
    HELLOS_PER_S_MAX,
    JOINS_BURST_MAX,
    JOINS_PER_S_MAX,
    REFUSED_IN_A_ROW_MAX,
    SLOW_VIEWER_S,
    TIMER_WHEEL_TICK_S,
)
from livegift.runtime.identity import Identity

log = structlog.get_logger()
_RULES = {kind: access.COMMANDS[wire.type_of(kind)] for kind in get_args(wire.Command)}


class Connection(Giving):
    """State of one WebSocket. `on_text` is called with one frame after the other."""

    def __init__(self, services: Services, outbound: Outbound) -> None:
        """`outbound` belongs to this connection alone."""
        super().__init__(services, outbound)
        self.socket_writer = outbound.socket_writer
        self.write_shared = outbound.write_shared
        self._feeds: dict[str, RoomFeed] = {}
        self._bucket = TokenBucket(services.resources.settings.commands_per_s_max)
        self._hello_bucket = TokenBucket(HELLOS_PER_S_MAX, HELLOS_BURST_MAX)
        self._join_bucket = TokenBucket(JOINS_PER_S_MAX, JOINS_BURST_MAX)
        self._user_bucket: TokenBucket | None = None
        self._deadline: Deadline | None = None
        self._slow: Deadline | None = None
        self._token_expired = False
        self.session_id = token_hex(8)
        self.received = 0
        self._refused = 0
        self._set_deadline(HELLO_TIMEOUT_S, self._no_hello)
        services.connections.add(self)

    # --- Writing ------------------------------------------------------------------------------------------------------

    def lag(self) -> None:
        """A frame was not written because this connection does not keep up."""
        if self._slow is None:
            metrics.LAGGING.inc()
            self._slow = self._services.timer_wheel.after(SLOW_VIEWER_S, self._too_slow)

    def on_writable(self) -> None:
        """It keeps up again: it gets what it has missed."""
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
        """Handle one frame; what has to wait for something is returned, to be awaited before the next frame.

        Whatever is wrong with it is answered; nothing is raised.
        """
        self.received += 1
        try:
            command = wire.parse_command(text)
        except wire.BadFrameError as error:
            self._outbound.close(Close.BAD_FRAME, str(error))
            return None
        except wire.BadCommandError as error:
            self._on_bad_command(error)
            return None
        if isinstance(command, wire.Ping):
            if self._allowed(command.id):
                self._answer(command.id, wire.pong_frame(bytes(command.t), int(time.time() * 1000)))
            return None
        if isinstance(command, wire.Hello):
            may_pass = self._allowed(command.id, costly=self._hello_bucket)
            return self.hello(command.token, command.id) if may_pass else None
        if self._sender is None:
            self._outbound.close(Close.UNAUTHENTICATED, "say hello with a token first")
            return None
        ref = command.ref if isinstance(command, wire.GiftSendCommand) else None
        room, costly = (command.room, self._join_bucket) if isinstance(command, wire.RoomJoin) else (None, None)
        if not self._allowed(command.id, ref, costly=costly, room=room):
            return None
        if self._token_expired:
            self._error(RequestError("token_expired"), command.id, ref=ref, room=room)
            return None
        try:
            work = self._run(command, self._sender)
        except Exception:  # an internal error: it is answered, so that nobody waits for ever
            log.exception("connection.command_failed")
            self._on_fault(command)
            return None
        return None if work is None else self._answering_faults(work, command)

    async def _answering_faults(self, work: Work, command: wire.Command) -> None:
        try:
            await work
        except Exception:
            log.exception("connection.command_failed")
            self._on_fault(command)

    def _on_fault(self, command: wire.Command) -> None:
        if isinstance(command, wire.GiftSendCommand):
            self._in_flight -= 1
            self._answer(command.id, wire.error_frame("internal", ref=command.ref, outcome="unknown"))
        else:
            self._error(RequestError("internal"), command.id, room=getattr(command, "room", None))

    def refuse_binary(self) -> None:
        """A binary frame came."""
        self._outbound.close(Close.BAD_FRAME, "expected a text frame with a JSON object, got a binary one")

    def too_fast(self, why: str) -> None:
        """More came than a connection may send."""
        self._outbound.close(Close.TOO_FAST, why)

    def _run(self, command: wire.Command, sender: Sender) -> Work | None:
        room = getattr(command, "room", None)
        try:
            access.require(_RULES[type(command)], sender.identity, room)
        except RequestError as error:
            self._error(error, command.id, ref=getattr(command, "ref", None), room=room)
            return None
        if isinstance(command, wire.GiftSendCommand):
            return self._send_gift(command, sender)
        if isinstance(command, wire.RoomJoin):
            return self._join_or_say_why(command, sender.identity)
        if isinstance(command, wire.RoomLeave):
            feed = self._feeds.pop(command.room, None)
            if feed is not None:
                feed.leave(self)
        return None

    async def _join_or_say_why(self, command: wire.RoomJoin, identity: Identity) -> None:
        try:
            await self._join(command, identity)
        except RequestError as error:
            self._error(error, command.id, room=command.room)
        except StoreUnavailableError:
            self._error(RequestError("unavailable"), command.id, room=command.room)

    def _on_bad_command(self, error: wire.BadCommandError) -> None:
        if self._sender is None and error.kind_of_command not in ("hello", "ping"):
            self._outbound.close(Close.UNAUTHENTICATED, "say hello with a token first")
        elif not self._allowed(error.id, error.ref):
            return
        elif error.kind_of_command == "gift.send" and error.ref is not None:
            metrics.GIFTS_BY_OUTCOME["rejected"].inc()
            self._reject(error.ref, error.id, "invalid", message=error.detail)
        else:
            self._error(error, error.id, ref=error.ref)

    def _allowed(
        self,
        command_id: wire.CommandId | None,
        ref: str | None = None,
        *,
        costly: TokenBucket | None = None,
        room: str | None = None,
    ) -> bool:
        """Count a command, a costly one also in the budget of its kind; answer it when that is too much."""
        wait_ms = self._bucket.take() or (self._user_bucket.take() if self._user_bucket else 0)
        if wait_ms == 0 and costly is not None:
            wait_ms = costly.take()
        if wait_ms == 0:
            self._refused = 0
            return True
        self._refused += 1
        if self._refused > REFUSED_IN_A_ROW_MAX:
            self._outbound.close(Close.TOO_FAST, f"{self._refused} commands were refused, and still more came")
            return False
        # Not a rejection, which would say that nothing was charged: nobody has looked whether this ref was accepted.
        about = {} if ref is None else {"ref": ref, "outcome": "unknown"}
        if room is not None:
            about["room"] = room  # otherwise a client that joins several can't tell which one to retry
        self._answer(command_id, wire.error_frame("rate_limited", retry_after_ms=wait_ms, **about))
        return False

    # --- Hello --------------------------------------------------------------------------------------------------------

    async def hello(self, token: str, command_id: wire.CommandId | None = None) -> None:
        """Learn who it is; the answer is `welcome`, or 4401."""
        services = self._services
        try:
            identity = services.resources.tokens.verify(token)
            access.require(access.COMMANDS["hello"], identity)
        except RequestError as error:
            self._error(error, command_id)
            is_known = error.code == "forbidden"
            self._outbound.close(Close.FORBIDDEN if is_known else Close.UNAUTHENTICATED, error.detail[:100])
            return
        # Overlays' tokens are in addresses that streams show: no wallet for them.
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
            async with asyncio.timeout(HELLO_ANSWER_S):
                if self._sender is None:
                    await services.sessions.add(identity.user, self)
                # Read after the subscription was confirmed: no change can fall between the two.
                wallet = await services.resources.wallets.read(identity.user)
        except (StoreUnavailableError, TimeoutError):
            if self._sender is None:
                await services.sessions.remove(identity.user, self)
            self._error(RequestError("unavailable"), command_id)
            self._outbound.close(Close.RESTARTING, "the balance can't be read at the moment")
            return
        self._user_bucket = services.sessions.bucket(identity.user)
        self.wallet_seq = max(self.wallet_seq, wallet.seq)
        self._welcome(command_id, identity, balance=wallet.balance, wallet_seq=wallet.seq)

    def _welcome(self, command_id: wire.CommandId | None, identity: Identity, **wallet: int) -> None:
        services = self._services
        self._sender, self._token_expired = Sender(identity, services.resources), False
        self._set_deadline(max(identity.exp - time.time(), 0), self._on_token_expired)
        self._answer(
            command_id,
            wire.frame(
                "welcome",
                user={"id": identity.user, "name": identity.shown_name},
                **wallet,
                session_id=self.session_id,
                server_ms=int(time.time() * 1000),
                limits=self._limits(),
            ),
        )

    def _limits(self) -> dict[str, int]:
        settings = self._services.resources.settings
        return {
            "rooms_max": ROOMS_PER_CONNECTION_MAX,
            "gift_count_max": GIFT_COUNT_MAX,
            "message_length_max": MESSAGE_LENGTH_MAX,
            "frame_bytes_max": settings.frame_bytes_max,
            "commands_per_s_max": settings.commands_per_s_max,
            "combo_timeout_ms": settings.combo_timeout_ms,
        }

    def _on_token_expired(self) -> None:
        self._token_expired = True
        self._error(RequestError("token_expired"))
        self._set_deadline(
            TOKEN_RENEW_TIMEOUT_S,
            lambda: self._outbound.close(Close.UNAUTHENTICATED, "the token has expired and no new one came"),
        )

    def _leave_all_but(self, identity: Identity) -> None:
        """Leave the rooms that the new token is not for."""
        for room in [room for room in self._feeds if not identity.may_enter(room)]:
            self._feeds.pop(room).leave(self)

    # --- Rooms --------------------------------------------------------------------------------------------------------

    async def _join(self, command: wire.RoomJoin, identity: Identity) -> None:
        room = command.room
        if room not in self._feeds and len(self._feeds) >= ROOMS_PER_CONNECTION_MAX:
            raise RequestError(
                "too_many_rooms", f"a connection may join up to {ROOMS_PER_CONNECTION_MAX} rooms: leave one first"
            )
        known = await self._services.resources.directory.room(room)
        if known is None:
            raise RequestError("room_not_found")
        feed = await self._services.feeds.feed(room)
        feed.leave(self)  # joining again begins with a new snapshot
        self._feeds[room] = feed
        wants_all = identity.role == "overlay" or identity.user == known.creator_id
        try:
            await feed.join(self, command.since, command.since_epoch, wants_all=wants_all, command_id=command.id)
        except StoreUnavailableError:
            self._feeds.pop(room, None)
            feed.leave(self)
            raise

    # --- The end ------------------------------------------------------------------------------------------------------

    def drain(self, window_s: float) -> None:
        """Tell when to come back, to another process, and close then; until then everything goes on."""
        after_s = spread(window_s)
        self.write(wire.frame("bye", reason="restarting", reconnect_in_ms=int(after_s * 1000)))
        self._services.timer_wheel.after(after_s, self._close_for_restart)

    def _close_for_restart(self) -> None:
        if self._in_flight:
            # What is in flight has an answer within its own deadline.
            self._services.timer_wheel.after(TIMER_WHEEL_TICK_S, self._close_for_restart)
        else:
            self._outbound.close(Close.RESTARTING, "this process is restarting")

    async def aclose(self) -> None:
        """Leave everything."""
        self._services.connections.discard(self)
        for deadline in (self._deadline, self._slow):
            if deadline is not None:
                deadline.cancel()
        for feed in self._feeds.values():
            feed.leave(self)
        self._feeds.clear()
        if self._sender is not None:
            await self._services.sessions.remove(self._sender.identity.user, self)
