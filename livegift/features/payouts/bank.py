"""The interface of banks, and a bank that an operator exchanges files with."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from livegift.contract.bounds import WHY_LENGTH_MAX
from livegift.contract.errors import RequestError
from livegift.contract.values import is_id
from livegift.domain.texts import visible
from livegift.features.payouts.rules import BankLine, PaymentInstruction
from livegift.runtime import tabular
from livegift.runtime.bounds import PAYOUT_BATCH_MAX


class Bank(Protocol):
    """A way to pay out."""

    name: str

    def instructions(self, orders: Iterable[PaymentInstruction]) -> bytes:
        """Return the file for the bank; the same orders give the same bytes."""

    def results(self, data: bytes) -> Sequence[BankLine]:
        """Parse the bank's results. Raises RequestError('invalid') naming the line."""


class ManualBank:
    """CSV out (payout, holder, iban, amount, currency), CSV in (payout, status, why; status paid or failed)."""

    name = "manual"
    COLUMNS = ("payout", "holder", "iban", "amount", "currency")
    RESULT_COLUMNS = ("payout", "status", "why")

    def instructions(self, orders: Iterable[PaymentInstruction]) -> bytes:
        """See `Bank`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
        writer.writerow(self.COLUMNS)
        for order in orders:
            amount = f"{order.amount // 100}.{order.amount % 100:02}"
            writer.writerow((order.payout_id, order.holder, order.iban, amount, order.currency))
        return text.getvalue().encode()

    def results(self, data: bytes) -> list[BankLine]:
        """See `Bank`."""
        found: dict[str, BankLine] = {}
        for number, row in tabular.read_rows(data, self.RESULT_COLUMNS):
            line = self._line(number, row)
            if found.setdefault(line.payout_id, line) != line:
                raise RequestError("invalid", f"line {number}: another line says something else of {line.payout_id}")
            if len(found) > PAYOUT_BATCH_MAX:
                raise RequestError("too_large", f"expected at most {PAYOUT_BATCH_MAX} lines")
        return list(found.values())

    @staticmethod
    def _line(number: int, row: Mapping[str, str]) -> BankLine:
        payout_id, status, why = (row[column] for column in ManualBank.RESULT_COLUMNS)
        if status not in ("paid", "failed") or not is_id(payout_id) or len(why) > WHY_LENGTH_MAX:
            raise RequestError("invalid", f"line {number}: expected a payout, paid or failed, and a short reason")
        return BankLine(payout_id, status == "paid", visible(why, WHY_LENGTH_MAX) or None)
