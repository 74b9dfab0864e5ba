"""Paying out: what livegift needs of a bank, and the bank that people talk to with files."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

from livegift.domain.payouts import BankLine, Order
from livegift.errors import RequestError
from livegift.limits import PAYOUT_BATCH_MAX, WHY_LENGTH_MAX


class Bank(Protocol):
    """One way to pay out."""

    name: str

    def instructions(self, orders: Iterable[Order]) -> bytes:
        """What is handed to the bank; the same orders, the same bytes."""

    def results(self, data: bytes) -> Sequence[BankLine]:
        """What the bank says became of them. Raises RequestError('invalid') naming the line."""


class ManualBank:
    """CSV out (payout, holder, iban, amount, currency), CSV in (payout, status, why; status paid or failed)."""

    name = "manual"
    COLUMNS = ("payout", "holder", "iban", "amount", "currency")
    RESULT_COLUMNS = ("payout", "status", "why")

    def instructions(self, orders: Iterable[Order]) -> bytes:
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
        try:
            rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RequestError("invalid", f"expected CSV in UTF-8: {error}") from None
        if not rows or tuple(cell.strip().lower() for cell in rows[0]) != self.RESULT_COLUMNS:
            raise RequestError("invalid", f"line 1: expected the columns {','.join(self.RESULT_COLUMNS)}")
        found: dict[str, BankLine] = {}
        for number, row in enumerate(rows[1:], start=2):
            if not row:
                continue
            line = self._line(number, row)
            if found.setdefault(line.payout_id, line) != line:
                raise RequestError("invalid", f"line {number}: another line says something else of {line.payout_id}")
            if len(found) > PAYOUT_BATCH_MAX:
                raise RequestError("too_large", f"expected at most {PAYOUT_BATCH_MAX} lines")
        return list(found.values())

    @staticmethod
    def _line(number: int, row: Sequence[str]) -> BankLine:
        cells = [cell.strip() for cell in row]
        if len(cells) != len(ManualBank.RESULT_COLUMNS):
            raise RequestError("invalid", f"line {number}: expected 3 columns, got {len(cells)}")
        payout_id, status, why = cells
        if status not in ("paid", "failed") or not payout_id or len(why) > WHY_LENGTH_MAX:
            raise RequestError("invalid", f"line {number}: expected a payout, paid or failed, and a short reason")
        return BankLine(payout_id, status == "paid", why or None)
