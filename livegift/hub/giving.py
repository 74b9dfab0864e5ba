"""The gifts of one connection, and how it answers."""

from collections.abc import Mapping

from livegift.contract import wire
from livegift.contract.bounds import GIFTS_IN_FLIGHT_PER_CONNECTION_MAX
from livegift.contract.errors import ERRORS, RequestError
from livegift.domain.spending import Accepted, GiftSend, Refused
from livegift.hub.command_queue import Work
from livegift.hub.outbound import Outbound
from livegift.hub.sender import Sender
from livegift.hub.services import Services
from livegift.runtime import metrics
from livegift.store.wallets import Display, Outcome


class Giving:
    """A connection's answers and gifts; `Connection` adds who it is and which rooms it is in."""

    def __init__(self, services: Services, outbound: Outbound) -> None:
        """`outbound` belongs to this connection alone."""
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

    def answer(self, command_id: wire.CommandId | None, frame: bytes) -> None:
        """Write `frame` as the answer to the command with that id; never blocks."""
        self.write(wire.answering(command_id, frame))

    def _error(self, error: RequestError, command_id: wire.CommandId | None = None, **about: object) -> None:
        self.answer(command_id, wire.error_frame(error.code, error.detail, **about))

    # --- Gifts --------------------------------------------------------------------------------------------------------

    def send_gift(self, command: wire.GiftSendCommand) -> Work | None:
        """Have the gift debited; its result is the answer."""
        sender = self._sender
        assert sender is not None  # noqa: S101 - the command needs a hello
        if self._in_flight >= GIFTS_IN_FLIGHT_PER_CONNECTION_MAX:
            self.answer(command.id, wire.error_frame("rate_limited", ref=command.ref, outcome="unknown"))
            return None
        self._in_flight += 1
        self.gifts += 1
        prepared = sender.prepare_at_once(command)
        if prepared is None:
            return self._ask_and_submit(command, sender)
        self._submit(command, *prepared)
        return None

    def refuse_invalid_gift(self, error: wire.BadCommandError) -> None:
        """Say that a gift is not valid, as its result where its ref could be read."""
        if error.ref is None:
            self._error(error, error.id)
            return
        metrics.GIFTS_BY_OUTCOME["rejected"].inc()
        self._reject(error.ref, error.id, "invalid", message=error.detail)

    def leave_gift_unknown(self, command: wire.GiftSendCommand) -> None:
        """Say that nobody knows what became of a gift, after an internal error."""
        self._in_flight -= 1
        self.answer(command.id, wire.error_frame("internal", ref=command.ref, outcome="unknown"))

    async def _ask_and_submit(self, command: wire.GiftSendCommand, sender: Sender) -> None:
        self._submit(command, *await sender.prepare(command))

    def _submit(self, command: wire.GiftSendCommand, gift: GiftSend, display: Display) -> None:
        ref, command_id = command.ref, command.id
        self._services.debit_batcher.submit(gift, display, lambda outcome: self._on_outcome(ref, command_id, outcome))

    def _on_outcome(self, ref: str, command_id: wire.CommandId | None, outcome: Outcome) -> None:
        sender = self._sender
        assert sender is not None  # noqa: S101 - nobody else has sent it
        self._in_flight -= 1
        if isinstance(outcome, Accepted):
            self.wallet_seq = max(self.wallet_seq, outcome.wallet_seq)
            self.answer(command_id, wire.accepted_frame(ref, outcome, self._services.resources.event_ids))
            if not outcome.duplicate:
                self._services.sessions.tell_others(sender.identity.user, self, outcome.balance, outcome.wallet_seq)
        elif isinstance(outcome, Refused):
            more: dict[str, object] = {"shortfall": outcome.shortfall} if outcome.shortfall else {}
            if outcome.limit is not None:
                more["limit"] = sender.limit(outcome.limit)
            if outcome.retry_after_ms is not None:
                more["retry_after_ms"] = outcome.retry_after_ms
            if outcome.code != "unavailable":  # then nobody could look at the balance
                more["balance"] = outcome.balance
            self._reject(ref, command_id, outcome.code, fields=more)
        else:
            self.answer(command_id, wire.error_frame("unavailable", ref=ref, outcome="unknown"))

    def _reject(
        self,
        ref: str,
        command_id: wire.CommandId | None,
        code: str,
        *,
        message: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """A rejected gift: certainly nothing was charged."""
        known = ERRORS[code]
        self.answer(
            command_id,
            wire.frame(
                "gift.result",
                ref=ref,
                status="rejected",
                code=code,
                message=message or known.sentence,
                retryable=known.retryable,
                **(fields or {}),
            ),
        )
