"""A connection's gifts and its answers."""

from typing import Unpack

from msgspec import UNSET

from livegift.contract.bounds import GIFTS_IN_FLIGHT_PER_CONNECTION_MAX
from livegift.contract.commands import GiftSendCommand
from livegift.contract.encoding import encode
from livegift.contract.errors import ERRORS, RequestError
from livegift.contract.messages import About, Error, GiftRejected, Message, answering, gift_accepted
from livegift.contract.parsing import BadCommandError
from livegift.contract.values import CommandId
from livegift.domain.spending import Accepted, GiftSend, Refused
from livegift.hub.command_queue import Work
from livegift.hub.outbound import Outbound
from livegift.hub.sender import Sender
from livegift.hub.services import Services
from livegift.runtime import metrics
from livegift.store.wallets import Display, Outcome


class Giving:
    """A connection's answers and gifts; `Connection` adds its identity and its rooms."""

    def __init__(self, services: Services, outbound: Outbound) -> None:
        """Write to `outbound`, which belongs to this connection alone."""
        self._services = services
        self._outbound = outbound
        self._sender: Sender | None = None
        self._in_flight = 0
        self.gifts = 0
        self.wallet_seq = -1

    # --- Answers ------------------------------------------------------------------------------------------------------

    def write(self, payload: bytes) -> None:
        """Write one frame of this connection's own."""
        self._outbound.write(payload)

    def answer(self, command_id: CommandId | None, message: Message | bytes) -> None:
        """Write `message` as the answer to the command with that id; never blocks."""
        self.write(answering(command_id, message if isinstance(message, bytes) else encode(message)))

    def _error(self, error: RequestError, command_id: CommandId | None = None, **about: Unpack[About]) -> None:
        self.answer(command_id, Error.of(error.kind, error.detail, **about))

    # --- Gifts --------------------------------------------------------------------------------------------------------

    def send_gift(self, command: GiftSendCommand) -> Work | None:
        """Have the gift debited; its result is the answer."""
        sender = self._sender
        assert sender is not None  # noqa: S101 - the command needs a hello
        if self._in_flight >= GIFTS_IN_FLIGHT_PER_CONNECTION_MAX:
            self.answer(command.id, Error.of("rate_limited", ref=command.ref, outcome="unknown"))
            return None
        self._in_flight += 1
        self.gifts += 1
        prepared = sender.prepare_at_once(command)
        if prepared is None:
            return self._ask_and_submit(command, sender)
        self._submit(command, *prepared)
        return None

    def refuse_invalid_gift(self, error: BadCommandError) -> None:
        """Answer an invalid gift, with a result if its ref could be read."""
        if error.ref is None:
            self._error(error, error.id)
            return
        metrics.GIFTS_BY_OUTCOME["rejected"].inc()
        known = error.kind
        rejected = GiftRejected(ref=error.ref, code=known.code, message=error.detail, retryable=known.retryable)
        self.answer(error.id, rejected)

    def leave_gift_unknown(self, command: GiftSendCommand) -> None:
        """Answer that the outcome of a gift is unknown, after an internal error."""
        self._in_flight -= 1
        self.answer(command.id, Error.of("internal", ref=command.ref, outcome="unknown"))

    async def _ask_and_submit(self, command: GiftSendCommand, sender: Sender) -> None:
        self._submit(command, *await sender.prepare(command))

    def _submit(self, command: GiftSendCommand, gift: GiftSend, display: Display) -> None:
        ref, command_id = command.ref, command.id
        self._services.debit_batcher.submit(gift, display, lambda outcome: self._on_outcome(ref, command_id, outcome))

    def _on_outcome(self, ref: str, command_id: CommandId | None, outcome: Outcome) -> None:
        sender = self._sender
        assert sender is not None  # noqa: S101 - nobody else has sent it
        self._in_flight -= 1
        if isinstance(outcome, Accepted):
            self.wallet_seq = max(self.wallet_seq, outcome.wallet_seq)
            self.answer(command_id, self._accepted(ref, outcome))
            if not outcome.duplicate:
                self._services.sessions.tell_others(sender.identity.user, self, outcome.balance, outcome.wallet_seq)
        elif isinstance(outcome, Refused):
            self.answer(command_id, _refused(ref, outcome, sender))
        else:
            self.answer(command_id, Error.of("unavailable", ref=ref, outcome="unknown"))

    def _accepted(self, ref: str, outcome: Accepted) -> bytes:
        ids = self._services.resources.event_ids
        event_id = ids.of(outcome.event_id)
        return gift_accepted(
            ref=ref,
            status="duplicate" if outcome.duplicate else "accepted",
            gift_event_id=event_id,
            coins=outcome.coins,
            balance=outcome.balance,
            wallet_seq=outcome.wallet_seq,
            combo_id=event_id if outcome.combo_id == outcome.event_id else ids.of_streak(outcome.combo_id),
            repeat_count=outcome.repeat_count,
        )


def _refused(ref: str, outcome: Refused, sender: Sender) -> GiftRejected:
    """Return the answer to a gift that the wallet, or what this process knows, has refused."""
    known = ERRORS[outcome.code]
    return GiftRejected(
        ref=ref,
        code=known.code,
        message=known.sentence,
        retryable=known.retryable,
        shortfall=outcome.shortfall or UNSET,
        limit=UNSET if outcome.limit is None else sender.limit(outcome.limit),
        retry_after_ms=UNSET if outcome.retry_after_ms is None else outcome.retry_after_ms,
        balance=UNSET if outcome.code == "unavailable" else outcome.balance,  # then it could not be read
    )
