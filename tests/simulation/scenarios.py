"""The worlds to explore, and which of them shows an error when a mechanism is left out."""

from dataclasses import replace
from typing import Any

from tests.simulation.state import Config, Design


def _kinds(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


_WALLETS = Config(checkers=0)
_ROOMS = Config(armers=0, kinds=_kinds("room"))
_ONE: dict[str, Any] = {"users": (0,), "rooms": (0,), "sends": 1}  # a single gift
_ENTRY: dict[str, Any] = {"together": True}  # two gifts in a call
_FAILOVER: dict[str, Any] = {"kinds": _kinds("promote", "room"), "faults": 2, **_ONE}

# Small enough for every run of the tests.
SMALL: dict[str, Config] = {
    "wallets crash": replace(_WALLETS),
    "wallets crash, outbox trimmed": replace(_WALLETS, trims=True),
    "wallets crash, the armer too": replace(_WALLETS, kinds=_kinds("crash", "armer"), faults=2),
    "one gift, no barrier": replace(_WALLETS, kinds=_kinds("crash", "armer"), faults=2, durability="none", **_ONE),
    "one gift, two armers": replace(_WALLETS, armers=2, **_ONE),
    "one gift, sent twice, two armers": replace(_WALLETS, armers=2, **(_ONE | {"sends": 2})),
    "one gift, a replica takes over": replace(_WALLETS, kinds=_kinds("promote"), **_ONE),
    "one gift, the old primary comes back": replace(_WALLETS, kinds=_kinds("promote", "failback"), faults=2, **_ONE),
    "two bookers": replace(_WALLETS, kinds=_kinds("crash", "booker"), bookers=2),
    "rooms crash": replace(_ROOMS),
    "rooms crash, outbox trimmed": replace(_ROOMS, trims=True),
    "one gift, rooms crash twice": replace(_ROOMS, faults=2, **_ONE),
    "one gift, two relays, rooms crash": replace(_ROOMS, relays=2, **_ONE),
    "one gift, both crash": Config(kinds=_kinds("crash", "room"), faults=2, **_ONE),
    "the ledger is set back": replace(_WALLETS, kinds=_kinds("restore")),
    "one gift, the ledger is set back, wallets crash": replace(
        _WALLETS, kinds=_kinds("restore", "crash"), faults=2, **_ONE
    ),
    "one gift, wallets come back empty": replace(_WALLETS, kinds=_kinds("flush", "armer"), faults=2, **_ONE),
    "one entry, wallets crash": replace(_WALLETS, **_ENTRY),
    "one entry, outbox trimmed, rooms crash": replace(_ROOMS, trims=True, **_ENTRY),
    "one entry, the ledger is set back": replace(_WALLETS, kinds=_kinds("restore"), **_ENTRY),
}

SCENARIOS: dict[str, Config] = SMALL | {
    "two rooms, wallets crash twice": replace(_WALLETS, rooms=(0, 1), faults=2),
    "wallets crash, no barrier": replace(_WALLETS, kinds=_kinds("crash", "armer"), faults=2, durability="none"),
    "one gift, sent twice, wallets crash thrice, no barrier": replace(
        _WALLETS, kinds=_kinds("crash", "armer"), faults=3, durability="none", **(_ONE | {"sends": 2})
    ),
    "two armers": replace(_WALLETS, armers=2),
    "one gift, two armers lose the ledger": replace(
        _WALLETS, kinds=_kinds("crash", "connection"), faults=2, armers=2, **_ONE
    ),
    "rooms crash twice": replace(_ROOMS, faults=2),
    "rooms crash, two relays": replace(_ROOMS, relays=2),
    "rooms and checkers crash, outbox trimmed": replace(_ROOMS, kinds=_kinds("room", "checker"), faults=2, trims=True),
    "one gift, rooms crash twice, two checkers": replace(_ROOMS, faults=2, checkers=2, **_ONE),
    "both crash": Config(kinds=_kinds("crash", "room"), faults=2),
    "one gift, both crash thrice": Config(kinds=_kinds("crash", "room"), faults=3, **_ONE),
    "one gift, both crash, no barrier": Config(kinds=_kinds("crash", "room"), faults=2, durability="none", **_ONE),
    "both crash, no barrier": Config(kinds=_kinds("crash", "room"), faults=2, durability="none"),
    "a replica takes over": replace(_WALLETS, kinds=_kinds("promote")),
    "a replica takes over, all is replicated": replace(_WALLETS, kinds=_kinds("promote"), durability="replicated"),
    "one gift, rooms crash, a checker speaks to the old primary": Config(stale=_kinds("checker"), **_FAILOVER),
    "one gift, rooms crash, a relay reads the old primary": Config(stale=_kinds("relay"), **_FAILOVER),
    "one gift, sent twice, the old primary comes back": replace(
        _WALLETS, kinds=_kinds("promote", "failback"), faults=2, **(_ONE | {"sends": 2})
    ),
    "the ledger is set back, wallets crash": replace(_WALLETS, kinds=_kinds("restore", "crash"), faults=2),
    "wallets come back empty": replace(_WALLETS, kinds=_kinds("flush", "armer"), faults=2),
    "one entry, the old primary comes back": replace(_WALLETS, kinds=_kinds("promote", "failback"), faults=2, **_ENTRY),
}

_WORKERS = ("relay", "booker", "armer", "checker")
_LARGE = Config(
    users=(0, 0, 1, 1, 1),
    rooms=(0, 1, 0, 1, 0),
    coins=3,
    sends=8,
    faults=5,
    relays=2,
    bookers=2,
    armers=2,
    checkers=2,
    trims=True,
)

# Too large to visit every state: schedules are drawn at random.
LARGE: dict[str, Config] = {
    "everything crashes": replace(_LARGE, kinds=_kinds("crash", "room", *_WORKERS)),
    "everything crashes, no barrier": replace(_LARGE, kinds=_kinds("crash", "room", *_WORKERS), durability="none"),
    "everything crashes, connections break": replace(_LARGE, kinds=_kinds("crash", "room", "connection", *_WORKERS)),
    "replicas take over": replace(_LARGE, kinds=_kinds("promote", "failback", "crash", "room", *_WORKERS)),
    "the ledger is set back": replace(_LARGE, kinds=_kinds("restore", "room", "relay", "booker")),
    "wallets come back empty": replace(_LARGE, kinds=_kinds("flush", "crash", "room", *_WORKERS)),
}

# The mechanism left out -> the scenario in which that is noticed.
MUTANTS: dict[str, tuple[dict[str, Any], str]] = {
    "no lock on the checkpoint": ({"lock": False}, "one gift, a replica takes over"),
    "bookings compare n alone": ({"cas_epoch": False}, "one gift, a replica takes over"),
    "bookings compare the epoch alone": ({"cas_n": False}, "two bookers"),
    "no barrier": ({"barrier": False}, "wallets crash"),
    "no new epoch": ({"new_epoch": False}, "wallets crash"),
    "arming without a claim": ({"arm_claim": False}, "one gift, two armers"),
    "repair without a claim": ({"repair_claim": False}, "one gift, no barrier"),
    "stopped without a claim": ({"stop_claim": False}, "one gift, the old primary comes back"),
    "repaired and armed without being disarmed": ({"disarm": False}, "one gift, two armers lose the ledger"),
    "no drain": ({"drain": False}, "wallets crash"),
    "diverged entries stay": ({"cut": False}, "one gift, sent twice, the old primary comes back"),
    "diverged refs stay": ({"forget_refs": False}, "one gift, a replica takes over"),
    "lost refs stay lost": ({"put_refs": False}, "one gift, no barrier"),
    "wallets stay as they are": ({"put_wallets": False}, "one gift, no barrier"),
    "a repair leaves the epoch": ({"put_epoch": False}, "one gift, wallets come back empty"),
    "entries are cut before n is set": ({"cut_with_n": False}, "one gift, the old primary comes back"),
    "trimmed before it is booked": ({"keep_booked": False}, "wallets crash, outbox trimmed"),
    "trimmed before it is published": ({"keep_relayed": False}, "wallets crash, outbox trimmed"),
    "readers inside an entry begin it again": ({"drop": False}, "one entry, wallets crash"),
    "no watermark": ({"watermark": False}, "wallets crash"),
    "no fence": ({"fence": False}, "wallets crash"),
    "one fence per room": ({"fences_max": 1}, "two rooms, wallets crash twice"),
    "no fence after a room's restart": ({"fence_again": False}, "one gift, rooms crash, a relay reads the old primary"),
    "rooms keep what diverged": ({"revoke": False}, "wallets crash"),
    "rooms are not filled": ({"fill": False}, "one gift, no barrier"),
    "rooms are filled only by who has repaired": ({"fill_always": False}, "one gift, no barrier"),
    "rooms are corrected by a ledger that was set back": (
        {"set_back": False},
        "the ledger is set back, wallets crash",
    ),
    "a correction applies to any contribution": ({"contribution_cas": False}, "one gift, sent twice, two armers"),
    "no gate": ({"gate": False}, "one gift, rooms crash twice"),
    "the gate opens without a claim": ({"gate_claim": False}, "rooms and checkers crash, outbox trimmed"),
    "the gate opens without a comparison": ({"check": False}, "one gift, rooms crash twice"),
    "relays are not set back": ({"rewind": False}, "one gift, rooms crash twice"),
    "relays are set back in any Redis": (
        {"rewind_live": False},
        "one gift, rooms crash, a checker speaks to the old primary",
    ),
    "outboxes don't know their holes": ({"whole": False}, "both crash, no barrier"),
    "trimmed while rooms are compared": ({"check_trim": False}, "rooms crash, outbox trimmed"),
    "rooms keep their epoch": ({"room_epoch": False}, "one gift, rooms crash twice"),
    "rooms take what was read in any incarnation": ({"guard": "none"}, "rooms crash"),
    "rooms know generations without epochs": ({"guard": "generation"}, "one gift, both crash"),
    "relays never begin again": ({"refresh": False}, "wallets crash"),
    "cursors are stored in any incarnation": ({"save": "any"}, "one gift, rooms crash twice"),
    "cursors know generations without epochs": ({"save": "generation"}, "one gift, both crash thrice"),
}

# Leaving out one of these is not noticed: others do the same work. They catch errors that the model can't make.
REDUNDANT: dict[str, dict[str, Any]] = {
    "bookings don't compare the wallets' heads": {"heads": False},
    "arming doesn't compare n": {"arm_n": False},
    "cursors go beyond the partition": {"cursor_own": False},
    "corrections use up the gate's tokens": {"epoch_stride": 1},
}


def mutant(name: str) -> Config:
    """Return the scenario of a mutant, without the mechanism."""
    changes, scenario = MUTANTS[name]
    return replace(SCENARIOS[scenario], design=replace(Design(), **changes))
