"""A cluster's layout, as reported by one of its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from livegift.store.keys import SLOTS

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """The primary that owns each slot. Of two layouts the one with the higher epoch is newer.

    `members` are all nodes that serve slots, including replicas.
    """

    epoch: int
    owners: tuple[Address, ...]
    members: tuple[Address, ...]


def parse_layout(asked_host: str, info: object, rows: object) -> Layout | None:
    """Parse the replies of CLUSTER INFO and CLUSTER SLOTS. Returns None unless they name an owner for every slot."""
    if not isinstance(info, bytes) or not isinstance(rows, list):
        return None
    owners: list[Address | None] = [None] * SLOTS
    members: list[Address] = []
    for low, high, *nodes in rows:
        addresses = [_address(node, asked_host) for node in nodes]
        members += addresses
        owners[low : high + 1] = [addresses[0]] * (high - low + 1)
    known = tuple(owner for owner in owners if owner is not None)
    if len(known) < SLOTS:
        return None
    facts = dict(line.split(":", 1) for line in info.decode().split())
    return Layout(int(facts["cluster_current_epoch"]), known, tuple(dict.fromkeys(members)))


def _address(node: Sequence[bytes | int | None], asked_host: str) -> Address:
    host, port, *_ = node
    # A node that does not know its own address is at the one where it was asked.
    return host.decode() if isinstance(host, bytes) and host else asked_host, int(port or 0)
