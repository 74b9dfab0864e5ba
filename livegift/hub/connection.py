"""One viewer: hello, commands, results."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex

import structlog

from livegift import metrics, wire
from livegift.domain.allowances import Exceeded
from livegift.domain.regions import REGIONS, Windows, may_give, region_of, windows
from livegift.domain.spending import Accepted, GiftSend, Refused
from livegift.errors import ERRORS, Close, RequestError, StoreUnavailableError
from livegift.hub.directory import Directory
from livegift.hub.feed import RoomFeed
from livegift.hub.gifting import Gifting
from livegift.hub.inbox import Work
from livegift.hub.message import Message
from livegift.hub.outlet import TOO_SLOW, Outlet
from livegift.hub.rates import Admission, TokenBucket, spread
from livegift.hub.rooms import RoomFeeds
from livegift.hub.sessions import Sessions
from livegift.hub.wheel import Deadline, Wheel
from livegift.identity import Identity, Tokens
from livegift.ledger.rooms import Room
from livegift.limits import (
    GIFT_COUNT_MAX,
    GIFTS_IN_FLIGHT_PER_CONNECTION_MAX,
    HELLO_ANSWER_S,
    HELLO_TIMEOUT_S,
    MESSAGE_LENGTH_MAX,
    REFUSED_IN_A_ROW_MAX,
    ROOMS_PER_CONNECTION_MAX,
    SLOW_VIEWER_S,
    TOKEN_RENEW_TIMEOUT_S,
    WHEEL_TICK_S,
)
from livegift.settings import Settings
from livegift.store.wallets import Display, Outcome, Wallets, payload_hash

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What every connection uses."""

    settings: Settings
    tokens: Tokens
    wallets: Wallets
    directory: Directory
    gifting: Gifting
    feeds: RoomFeeds
    sessions: Sessions
    wheel: Wheel
    admission: Admission
    connections: "set[Connection]"


class Connection:
    """State of one WebSocket. `on_text` is called with one frame after the other."""

    def __init__(self, services: Services, outlet: Outlet) -> None:
        """`outlet` belongs to this connection alone."""
        self._services = services
        self._outlet = outlet
        self._identity: Identity | None = None
        self._user_json = b""
        self._feeds: dict[str, RoomFeed] = {}
        self._bucket = TokenBucket(services.settings.commands_per_s_max)
        self._user_bucket: TokenBucket | None = None
        self._in_flight = 0
        self._deadline: Deadline | None = None
        self._slow: Deadline | None = None
        self._token_expired = False
        self._region = REGIONS["default"]
        self._windows: Windows | None = None
        self.wallet_seq = -1
        self.session_id = token_hex(8)
        self.received = self.gifts = 0
        self._refused = 0
        self._set_deadline(HELLO_TIMEOUT_S, self._no_hello)
        services.connections.add(self)

    # --- Writing ------------------------------------------------------------------------------------------------------

    def write(self, payload: bytes) -> None:
        """Write one frame of this connection's own."""
        self._outlet.write(payload)

    def write_shared(self, message: Message) -> bool:
        """Write what others get too; False while this connection does not keep up."""
        if self._outlet.write_shared(message):
            return True
        if self._slow is None:
            metrics.LAGGING.inc()
            self._slow = self._services.wheel.after(SLOW_VIEWER_S, self._too_slow)
        return False

    def on_writable(self) -> None:
        """It keeps up again: it gets what it has missed."""
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        for feed in self._feeds.values():
            feed.recover(self)

    def _too_slow(self) -> None:
        metrics.SLOW_CLOSED.inc()
        self._outlet.close(Close.TOO_SLOW, TOO_SLOW)

    def _set_deadline(self, after_s: float, action: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._services.wheel.after(after_s, action)

    def _no_hello(self) -> None:
        self._outlet.close(Close.UNAUTHENTICATED, f"no hello within {HELLO_TIMEOUT_S:g} s")

    # --- Commands -----------------------------------------------------------------------------------------------------

    def on_text(self, text: str) -> Work | None:
        """Handle one frame; what has to wait for something is returned, to be awaited before the next frame.

        Whatever is wrong with it is answered; nothing is raised.
        """
        self.received += 1
        try:
            command = wire.parse_command(text)
        except wire.BadFrameError as error:
            self._outlet.close(Close.BAD_FRAME, str(error))
            return None
        except wire.BadCommandError as error:
            self._on_bad_command(error)
            return None
        if isinstance(command, wire.Ping):
            if self._allowed(None):
                self.write(wire.pong_frame(bytes(command.t), int(time.time() * 1000)))
            return None
        if isinstance(command, wire.Hello):
            return self.hello(command.token)
        identity = self._identity
        if identity is None:
            self._outlet.close(Close.UNAUTHENTICATED, "say hello with a token first")
            return None
        ref = command.ref if isinstance(command, wire.GiftSendCommand) else None
        if self._token_expired:
            self._error(RequestError("token_expired"), ref)
        elif self._allowed(ref):
            return self._run(command, identity)
        return None

    def refuse_binary(self) -> None:
        """A binary frame came."""
        self._outlet.close(Close.BAD_FRAME, "expected a text frame with a JSON object, got a binary one")

    def _run(self, command: wire.Command, identity: Identity) -> Work | None:
        if isinstance(command, wire.GiftSendCommand):
            return self._send_gift(command, identity)
        if isinstance(command, wire.RoomJoin):
            return self._join_or_say_why(command, identity)
        if isinstance(command, wire.RoomLeave):
            feed = self._feeds.pop(command.room, None)
            if feed is not None:
                feed.leave(self)
        return None

    async def _join_or_say_why(self, command: wire.RoomJoin, identity: Identity) -> None:
        try:
            await self._join(command, identity)
        except RequestError as error:
            self._error(error, room=command.room)
        except StoreUnavailableError:
            self._error(RequestError("unavailable"), room=command.room)

    def _on_bad_command(self, error: wire.BadCommandError) -> None:
        if self._identity is None and error.kind_of_command not in ("hello", "ping"):
            self._outlet.close(Close.UNAUTHENTICATED, "say hello with a token first")
        elif not self._allowed(error.ref):
            return
        elif error.kind_of_command == "gift.send" and error.ref is not None:
            self._reject(error.ref, "invalid", message=error.detail)
        else:
            self._error(error, error.ref)

    def _allowed(self, ref: str | None) -> bool:
        wait_ms = self._bucket.take() or (self._user_bucket.take() if self._user_bucket else 0)
        if wait_ms == 0:
            self._refused = 0
            return True
        self._refused += 1
        if self._refused > REFUSED_IN_A_ROW_MAX:
            self._outlet.close(Close.TOO_FAST, f"{self._refused} commands were refused, and still more came")
            return False
        # Not a rejection, which would say that nothing was charged: nobody has looked whether this ref was accepted.
        about = {} if ref is None else {"ref": ref, "outcome": "unknown"}
        self.write(wire.error_frame("rate_limited", retry_after_ms=wait_ms, **about))
        return False

    def _error(self, error: RequestError, ref: str | None = None, room: str | None = None) -> None:
        fields = {name: value for name, value in (("ref", ref), ("room", room)) if value is not None}
        self.write(wire.error_frame(error.code, error.detail, **fields))

    # --- Hello --------------------------------------------------------------------------------------------------------

    async def hello(self, token: str) -> None:
        """Learn who it is; the answer is `welcome`, or 4401."""
        services = self._services
        try:
            identity = services.tokens.verify(token)
        except RequestError as error:
            self._error(error)
            self._outlet.close(Close.UNAUTHENTICATED, error.detail[:100])
            return
        if self._identity is not None and identity.user != self._identity.user:
            self._outlet.close(Close.FORBIDDEN, "a connection can't change its user")
            return
        try:
            async with asyncio.timeout(HELLO_ANSWER_S):
                if self._identity is None:
                    await services.sessions.add(identity.user, self)
                # Read after the subscription was confirmed: no change can fall between the two.
                wallet = await services.wallets.read(identity.user)
        except (StoreUnavailableError, TimeoutError):
            if self._identity is None:
                await services.sessions.remove(identity.user, self)
            self._error(RequestError("unavailable"))
            self._outlet.close(Close.RESTARTING, "the balance can't be read at the moment")
            return
        self._identity, self._token_expired = identity, False
        self._region, self._windows = region_of(identity.region), None
        self._user_bucket = services.sessions.bucket(identity.user)
        self._user_json = wire.user_json(identity.user, identity.shown_name, identity.shown_avatar_url)
        self.wallet_seq = max(self.wallet_seq, wallet.seq)
        self._set_deadline(max(identity.exp - time.time(), 0), self._on_token_expired)
        self.write(
            wire.frame(
                "welcome",
                user={"id": identity.user, "name": identity.shown_name},
                balance=wallet.balance,
                wallet_seq=wallet.seq,
                session_id=self.session_id,
                server_ms=int(time.time() * 1000),
                limits=self._limits(),
            )
        )

    def _limits(self) -> dict[str, int]:
        settings = self._services.settings
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
            lambda: self._outlet.close(Close.UNAUTHENTICATED, "the token has expired and no new one came"),
        )

    # --- Rooms --------------------------------------------------------------------------------------------------------

    async def _join(self, command: wire.RoomJoin, identity: Identity) -> None:
        room = command.room
        if not identity.may_enter(room):
            raise RequestError("forbidden", f"this token is not for room {room}")
        if room not in self._feeds and len(self._feeds) >= ROOMS_PER_CONNECTION_MAX:
            raise RequestError(
                "too_many_rooms", f"a connection may join up to {ROOMS_PER_CONNECTION_MAX} rooms: leave one first"
            )
        if await self._services.directory.room(room) is None:
            raise RequestError("room_not_found")
        feed = await self._services.feeds.feed(room)
        feed.leave(self)  # joining again begins with a new snapshot
        self._feeds[room] = feed
        try:
            await feed.join(self, command.since, command.since_epoch)
        except StoreUnavailableError:
            self._feeds.pop(room, None)
            raise

    # --- Gifts --------------------------------------------------------------------------------------------------------

    def _send_gift(self, command: wire.GiftSendCommand, identity: Identity) -> Work | None:
        if identity.role == "overlay" or not identity.may_enter(command.room):
            self._error(RequestError("forbidden"), command.ref)
            return None
        if self._in_flight >= GIFTS_IN_FLIGHT_PER_CONNECTION_MAX:
            self.write(wire.error_frame("rate_limited", ref=command.ref, outcome="unknown"))
            return None
        self._in_flight += 1
        self.gifts += 1
        directory = self._services.directory
        room = directory.fresh_room(command.room)
        if room is None or not directory.knows_receiver(command.to, room):
            return self._ask_and_submit(command, identity)
        self._submit(command, identity, room, self._verdict(command, identity, room, is_receiver=True))
        return None

    async def _ask_and_submit(self, command: wire.GiftSendCommand, identity: Identity) -> None:
        directory = self._services.directory
        room: Room | None = None
        try:
            room = await directory.room(command.room)
            is_receiver = room is not None and await directory.is_receiver(command.to or room.creator_id, room)
            verdict = self._verdict(command, identity, room, is_receiver=is_receiver)
        except RequestError as error:
            is_old_enough = may_give(self._region, identity.age, age_verified=identity.age_verified)
            verdict = error.code if is_old_enough else "age_restricted"
        self._submit(command, identity, room, verdict)

    def _submit(self, command: wire.GiftSendCommand, identity: Identity, room: Room | None, verdict: str) -> None:
        gift, display = self._prepare(command, identity, room, verdict)
        self._services.gifting.submit(gift, display, lambda outcome: self._on_outcome(command.ref, outcome))

    def _prepare(
        self, command: wire.GiftSendCommand, identity: Identity, room: Room | None, verdict: str
    ) -> tuple[GiftSend, Display]:
        """The gift with everything this process knows about it.

        What speaks against it goes along as a verdict, because only the wallet knows whether this ref was accepted
        before; then the first answer is repeated, whatever has changed since.
        """
        kind = self._services.directory.gifts.get(command.gift_id)
        to = command.to or (room.creator_id if room else "")
        gift = GiftSend(
            user=identity.user,
            ref=command.ref,
            payload_hash=payload_hash(
                command.room,
                command.gift_id,
                command.count,
                command.to,
                command.price,
                command.message,
                command.anonymous,
            ),
            room=command.room,
            to=to,
            gift_id=command.gift_id,
            price=kind.coins if kind else 0,
            count=command.count,
            diamond_count=kind.diamond_count if kind else 0,
            streakable=kind.streakable if kind else False,
            anonymous=command.anonymous,
            verdict=verdict,
            policy=self._windows_now(identity).policy,
        )
        if kind is None or room is None:
            return gift, Display(b"{}", b"{}")
        to_name = room.creator_name if to == room.creator_id else to
        message = wire.dumps(command.message) if command.message else b"null"
        user_json = wire.ANONYMOUS_JSON if command.anonymous else self._user_json
        return gift, Display(user_json, self._services.directory.details(to, to_name, kind), message)

    def _windows_now(self, identity: Identity) -> Windows:
        """Day and month of this viewer; looked up anew when the day is over."""
        now_ms = int(time.time() * 1000)
        found = self._windows
        if found is None or now_ms >= found.day_ends_ms:
            found = self._windows = windows(
                self._region, now_ms, identity.age, self._services.settings.gifts_per_minute_max or None
            )
        return found

    def _verdict(
        self, command: wire.GiftSendCommand, identity: Identity, room: Room | None, *, is_receiver: bool
    ) -> str:
        kind = self._services.directory.gifts.get(command.gift_id)
        if not may_give(self._region, identity.age, age_verified=identity.age_verified):
            return "age_restricted"
        if room is None:
            return "room_not_found"
        if not room.is_live and room.kind == "live":
            return "room_ended"
        if kind is None:
            return "gift_not_found"
        to = command.to or room.creator_id
        to_oneself = to == identity.user and not self._services.settings.self_gifts
        if to_oneself or not is_receiver:
            return "receiver_not_found"
        return "price_changed" if command.price not in (None, kind.coins) else ""

    def _on_outcome(self, ref: str, outcome: Outcome) -> None:
        self._in_flight -= 1
        if isinstance(outcome, Accepted):
            status = "duplicate" if outcome.duplicate else "accepted"
            metrics.GIFTS_BY_OUTCOME[status].inc()
            self.wallet_seq = max(self.wallet_seq, outcome.wallet_seq)
            self.write(wire.accepted_frame(ref, outcome))
            if not outcome.duplicate and self._identity is not None:
                self._services.sessions.tell_others(self._identity.user, self, outcome.balance, outcome.wallet_seq)
        elif isinstance(outcome, Refused):
            more: dict[str, object] = {"shortfall": outcome.shortfall} if outcome.shortfall else {}
            if outcome.limit is not None:
                more["limit"] = self._limit(outcome.limit)
            if outcome.retry_after_ms is not None:
                more["retry_after_ms"] = outcome.retry_after_ms
            if outcome.code != "unavailable":  # then nobody could look at the balance
                more["balance"] = outcome.balance
            self._reject(ref, outcome.code, fields=more)
        else:
            metrics.GIFTS_BY_OUTCOME["unknown"].inc()
            self.write(wire.error_frame("unavailable", ref=ref, outcome="unknown"))

    def _limit(self, limit: Exceeded) -> dict[str, object]:
        """Which limit it was, and when it begins anew."""
        ends = (
            {}
            if self._windows is None
            else {
                "day": self._windows.day_ends_ms,
                "month": self._windows.month_ends_ms,
            }
        )
        return {**limit._asdict(), "resets_ms": ends.get(limit.kind)}

    def _reject(
        self, ref: str, code: str, *, message: str | None = None, fields: Mapping[str, object] | None = None
    ) -> None:
        """A rejected gift: certainly nothing was charged."""
        metrics.GIFTS_BY_OUTCOME["rejected"].inc()
        known = ERRORS[code]
        self.write(
            wire.frame(
                "gift.result",
                ref=ref,
                status="rejected",
                code=code,
                message=message or known.sentence,
                retryable=known.retryable,
                **(fields or {}),
            )
        )

    # --- The end ------------------------------------------------------------------------------------------------------

    def drain(self, window_s: float) -> None:
        """Tell when to come back, to another process, and close then; until then everything goes on."""
        after_s = spread(window_s)
        self.write(wire.frame("bye", reason="restarting", reconnect_in_ms=int(after_s * 1000)))
        self._services.wheel.after(after_s, self._close_for_restart)

    def _close_for_restart(self) -> None:
        if self._in_flight:
            # What is in flight has an answer within its own deadline.
            self._services.wheel.after(WHEEL_TICK_S, self._close_for_restart)
        else:
            self._outlet.close(Close.RESTARTING, "this process is restarting")

    async def aclose(self) -> None:
        """Leave everything."""
        self._services.connections.discard(self)
        for deadline in (self._deadline, self._slow):
            if deadline is not None:
                deadline.cancel()
        for feed in self._feeds.values():
            feed.leave(self)
        self._feeds.clear()
        if self._identity is not None:
            await self._services.sessions.remove(self._identity.user, self)
