"""The sandbox provider's own storage: `livegift.payments.sandbox.SandboxBook` in a table."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from livegift.features.orders.tables import sandbox_payments as table
from livegift.ledger.engine import Database
from livegift.payments.sandbox import SandboxPayment, State


class SandboxPayments:
    """The payments of the sandbox."""

    def __init__(self, database: Database) -> None:
        """Use the ledger's database, which a real provider would not have."""
        self._database = database

    async def open(self, payment: SandboxPayment) -> SandboxPayment:
        """Store a payment; returns the first one that was stored for this order."""
        values = {
            "ref": payment.ref,
            "order_id": payment.order_id,
            "amount": payment.amount,
            "currency": payment.currency,
        }
        async with self._database.begin() as connection:
            await connection.execute(insert(table).values(values).on_conflict_do_nothing())
            row = (await connection.execute(select(table).where(table.c.order_id == payment.order_id))).one()
        return _payment(row)

    async def read(self, ref: str) -> SandboxPayment | None:
        """Return the payment with that name."""
        async with self._database.begin() as connection:
            row = (await connection.execute(select(table).where(table.c.ref == ref))).one_or_none()
        return _payment(row) if row else None

    async def change(self, ref: str, state: State, only_from: Sequence[State]) -> SandboxPayment | None:
        """Change a payment's state if it is one of `only_from`; returns the payment as it is then."""
        change = update(table).where(table.c.ref == ref, table.c.status.in_(only_from)).values(status=state)
        async with self._database.begin() as connection:
            await connection.execute(change)
        return await self.read(ref)

    async def ref_of(self, order_id: str) -> str | None:
        """Return the name of an order's payment."""
        async with self._database.begin() as connection:
            return await connection.scalar(select(table.c.ref).where(table.c.order_id == order_id))

    async def since(self, since_s: float) -> AsyncIterator[SandboxPayment]:
        """Yield all payments begun since `since_s`."""
        query = select(table).where(table.c.created_at >= func.to_timestamp(since_s)).order_by(table.c.created_at)
        async with self._database.begin() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            yield _payment(row)


def _payment(row: Row[tuple[object, ...]]) -> SandboxPayment:
    return SandboxPayment(row.ref, row.order_id, row.amount, row.currency, row.status)
