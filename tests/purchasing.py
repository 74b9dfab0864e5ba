"""Buying in the test's own process: orders that are paid at the sandbox, with relay and aggregator as tasks."""

from livegift.features.earnings.public import RefundTerms
from livegift.features.orders.bodies import OrderRequest
from livegift.features.orders.queries import StoredOrder, read_order
from livegift.features.orders.sandbox import SandboxPayments
from livegift.features.orders.service import apply_provider_event, offer_of, place
from livegift.features.orders.settings import OrderSettings
from livegift.payments.provider import PaymentEvent
from livegift.payments.sandbox import Sandbox
from tests.inprocess import InProcess
from tests.waiting import wait_until

KEEPS = RefundTerms("creator_keeps", 0)


class Shop:
    """Orders of one system. `provider` may be replaced by one that refuses."""

    def __init__(self, system: InProcess) -> None:
        self.system = system
        self.provider = Sandbox([system.settings.of(OrderSettings).sandbox_secrets], SandboxPayments(system.database))

    async def order(self, user: str, package: str = "coins-100", region: str = "CN") -> StoredOrder:
        body = OrderRequest(package_id=package)
        new = await offer_of(self.system.database, self.provider, body, user, region, None)
        return await place(self.system.database, self.provider, new, "http://shop")

    async def pay(self, order: StoredOrder, kind: str = "paid") -> None:
        """What the provider says of it."""
        order_id = order.order.id
        if kind == "paid":
            await self.provider.decide(order.provider_ref or "", "pay")
        said = PaymentEvent(
            f"evt-{order_id}-{kind}", kind, order_id, order.provider_ref, order.order.amount, order.order.currency  # type: ignore[arg-type]
        )  # fmt: skip
        await apply_provider_event(self.system.database, self.system.wallets, "sandbox", said, KEEPS)

    async def becomes(self, order_id: str, status: str) -> StoredOrder:
        async def there() -> bool:
            return (await self.read(order_id)).order.status == status

        await wait_until(there, f"order {order_id} is {status}", 30)
        return await self.read(order_id)

    async def read(self, order_id: str) -> StoredOrder:
        found = await read_order(self.system.database, order_id)
        assert found is not None
        return found

    async def bought(self, user: str, package: str = "coins-100", region: str = "CN") -> StoredOrder:
        """Paid, credited and booked."""
        made = await self.order(user, package, region)
        await self.pay(made)
        return await self.becomes(made.order.id, "credited")
