"""What a user's other devices hear of gifts: the relay tells them the wallet's new balance, as it reads the journal."""

import asyncio
from itertools import islice

import structlog

from livegift.contract.encoding import encode
from livegift.contract.errors import StoreUnavailableError
from livegift.contract.journal import GiftSent
from livegift.contract.messages import Wallet
from livegift.runtime.bounds import RELAY_BALANCES_PER_EXCHANGE_MAX
from livegift.store.client import Node, refused
from livegift.store.keys import user_channel
from livegift.store.link import Command
from livegift.store.outbox import Outbox

log = structlog.get_logger()


class BalanceTeller:
    """Tells users' devices of the newest balances, at most once per user and turn.

    The sender's own process has told the sender's connections there. Most users have no others, so in each turn a node
    is asked first which channels more than one process listens to. Processes pass over what is older than they know,
    and compare with the wallet when they may have missed something; so nothing is repeated here.
    """

    def __init__(self, outbox: Outbox) -> None:
        """Tell the users whose wallets are in the partitions of `outbox`."""
        self._outbox = outbox
        self._news: dict[tuple[int, str], GiftSent] = {}
        self._work = asyncio.Event()

    def note(self, partition: int, gift: GiftSent) -> None:
        """Note a gift that was read; a later one of the same wallet replaces it."""
        self._news[partition, gift.user] = gift
        self._work.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._work.wait()
            await self.tell_once()

    async def tell_once(self) -> None:
        """Tell what was noted since the last time."""
        self._work.clear()
        news, self._news = self._news, {}
        by_node: dict[Node, dict[str, GiftSent]] = {}
        for (partition, user), gift in news.items():
            channel = user_channel(self._outbox.roots[partition], user)
            by_node.setdefault(self._outbox.node_of(partition), {})[channel] = gift
        await asyncio.gather(*(self._tell(node, gifts) for node, gifts in by_node.items()))

    async def _tell(self, node: Node, gifts: dict[str, GiftSent]) -> None:
        channels = iter(gifts)
        try:
            while chunk := list(islice(channels, RELAY_BALANCES_PER_EXCHANGE_MAX)):
                (counts,) = await node.exchange([("PUBSUB", "SHARDNUMSUB", *chunk)])
                if (message := refused(counts)) is not None:
                    raise StoreUnavailableError(message, executed=False)
                heard = [
                    bytes(name).decode() for name, count in zip(counts[::2], counts[1::2], strict=True) if count > 1
                ]
                commands: list[Command] = [("SPUBLISH", name, _message(gifts[name])) for name in heard]
                if commands:
                    await node.exchange(commands)
        except StoreUnavailableError as error:
            log.warning("relay.balances_not_told", node=node.name, count=len(gifts), error=str(error))


def _message(gift: GiftSent) -> bytes:
    return encode(Wallet(balance=gift.balance, seq=gift.wallet_seq, reason="gift"))
