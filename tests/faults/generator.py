"""Plans: what is sent, and which faults strike when. A plan follows from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.faults.kinds import REGISTRY, Kind
from tests.faults.model import Payload

USERS = tuple(f"u{i}" for i in range(8))
POOR = ("poor-0", "poor-1", "poor-2")  # have only what they buy, so two can compete for each of their coins
BRANDS = ("brand-0", "brand-1", "brand-2")
WEBS = 2
ROOMS_LIVE = 4
COINS_AT_START = 150_000
BUDGETS = (501, 1_500, 5_000, 30_000)  # most are used up while a test lasts
DEAR = Payload("", "universe", 999)  # more than anybody has
GIFT_WEIGHTS = {"rose": 30, "heart": 20, "coffee": 10, "confetti": 5, "balloon": 8, "fireworks": 2, "lion": 1}
COMPANY_SHARE = 0.3  # of faults of a store, with a process or a connection failing at the same time


@dataclass(frozen=True, slots=True)
class Send:
    """Send one ref through each of `webs` at once; the same number twice is one connection, twice in its pipeline."""

    user: str
    ref: str
    payload: Payload
    webs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Repeat a ref whose outcome is unknown. `pick` chooses among those that exist then."""

    pick: int
    web: int


@dataclass(frozen=True, slots=True)
class GrantCoins:
    user: str
    coins: int
    ref: str


@dataclass(frozen=True, slots=True)
class OpenRoom:
    room: str


@dataclass(frozen=True, slots=True)
class EndRoom:
    room: str


@dataclass(frozen=True, slots=True)
class FundMatch:
    key: str
    room: str
    brand: str
    gift_id: str | None
    factor: int
    budget: int


@dataclass(frozen=True, slots=True)
class EndMatch:
    """End a match. `pick` chooses among those that exist then."""

    pick: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Have a viewer join a room (again)."""

    viewer: int
    room: str
    with_since: bool


@dataclass(frozen=True, slots=True)
class Strike:
    """Faults that strike together. `seed` decides all of their details."""

    kinds: tuple[str, ...]
    seed: int


Operation = Send | Settle | GrantCoins | OpenRoom | EndRoom | FundMatch | EndMatch | Watch


@dataclass(frozen=True, slots=True)
class Segment:
    """A fault (none in the first segment), and the operations in flight around it."""

    strike: Strike | None
    operations: tuple[Operation, ...]


def creator_of(room: str) -> str:
    return f"creator-{room}"


@dataclass(slots=True)
class Generator:
    """A generator of operations, which remembers what it has planned, so that later operations can refer to it."""

    rng: Random
    live: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)
    sent_to_ended: list[Send] = field(default_factory=list)
    refs: int = 0
    rooms: int = 0
    grants: int = 0
    matches: int = 0

    def open_room(self) -> OpenRoom:
        room = f"r{self.rooms}"
        self.rooms += 1
        self.live.append(room)
        return OpenRoom(room)

    def grant(self, user: str, coins: int) -> GrantCoins:
        self.grants += 1
        return GrantCoins(user, coins, f"g{self.grants}")

    def fund_match(self, room: str) -> FundMatch:
        self.matches += 1
        gift_id = self.rng.choice((None, "rose", "heart", "balloon"))
        brand, budget = self.rng.choice(BRANDS), self.rng.choice(BUDGETS)
        return FundMatch(f"m{self.matches}", room, brand, gift_id, self.rng.choice((1, 1, 2, 5)), budget)

    def _payload(self, rooms: Sequence[str]) -> Payload:
        (gift_id,) = self.rng.choices(list(GIFT_WEIGHTS), list(GIFT_WEIGHTS.values()))
        return Payload(self.rng.choice(rooms), gift_id, self.rng.choice((1, 1, 1, 2, 7)))

    def _fresh(self, payload: Payload, copies: str) -> Send:
        self.refs += 1
        web = self.rng.randrange(WEBS)
        webs = {"one": (web,), "two webs": tuple(range(WEBS)), "one pipeline": (web, web)}[copies]
        send = Send(self.rng.choice(USERS), f"k{self.refs}", payload, webs)
        self.sent.append(send)
        return send

    def _again(self, earlier: Sequence[Send], payload: Payload | None = None) -> Send:
        # Mostly the last ones: they are the ones that a fault affects.
        at = max(0, len(earlier) - 1 - int(self.rng.expovariate(1 / 50)))
        send = earlier[at]
        return Send(send.user, send.ref, payload or send.payload, (self.rng.randrange(WEBS),))

    def _end_room(self) -> EndRoom:
        room = self.live.pop(self.rng.randrange(len(self.live)))
        self.ended.append(room)
        self.sent_to_ended += [send for send in self.sent if send.payload.room == room]
        return EndRoom(room)

    def operation(self) -> Operation:
        """Return the next operation."""
        if len(self.live) < ROOMS_LIVE:
            return self.open_room()
        choice = self.rng.random() * 100
        if choice < 0.3:
            return self._end_room()
        if choice < 1.5:
            return Watch(self.rng.randrange(WEBS), self.rng.choice(self.live[:ROOMS_LIVE]), self.rng.random() < 0.5)
        if choice < 3:
            return self.grant(self.rng.choice(USERS), self.rng.randint(1, 20_000))
        if choice < 4.2:
            return self.fund_match(self.rng.choice(self.live[:ROOMS_LIVE]))
        if choice < 4.7:
            return EndMatch(self.rng.randrange(1_000_000))
        if choice < 8:
            return Settle(self.rng.randrange(1_000_000), self.rng.randrange(WEBS))
        return self._send(choice)

    def _send(self, choice: float) -> Send:
        if choice < 16 and self.sent:
            return self._again(self.sent)
        if choice < 20 and self.sent:
            return self._again(self.sent, self._payload(self.live))
        if choice < 22 and self.sent_to_ended:
            return self._again(self.sent_to_ended)
        if choice < 24 and self.ended:
            return self._fresh(self._payload(self.ended), "one")
        if choice < 28:
            return self._fresh(Payload(self.rng.choice(self.live), DEAR.gift_id, DEAR.count), "one")
        copies = "two webs" if choice < 34 else "one pipeline" if choice < 38 else "one"
        return self._fresh(self._payload(self.live), copies)


def _deck(rng: Random, kinds: Sequence[Kind], count: int) -> list[str]:
    """Return `count` kinds of fault, with no kind much more frequent than its weight before every kind has come up."""
    cards: list[str] = []
    while len(cards) < count:
        deck = [kind.name for kind in kinds for _ in range(kind.weight)]
        rng.shuffle(deck)
        cards += deck
    return cards[:count]


def _strikes(rng: Random, names: Sequence[str], faults: int) -> list[Strike]:
    kinds = [REGISTRY[name] for name in names]
    companions = [kind.name for kind in kinds if kind.goes_with_others]
    cards = _deck(rng, kinds, faults) if kinds else []
    strikes = []
    while cards:
        struck = [cards.pop()]
        if cards and companions and not REGISTRY[struck[0]].goes_with_others and rng.random() < COMPANY_SHARE:
            cards.pop()
            struck.append(rng.choice(companions))
        strikes.append(Strike(tuple(struck), rng.randrange(2**32)))
    return strikes


def make_plan(seed: int, operations: int, faults: int, names: Sequence[str]) -> tuple[list[Operation], list[Segment]]:
    """Return the operations before anything fails, then the segments."""
    rng = Random(f"livegift faults {seed}")  # noqa: S311 - repeatable on purpose
    generator = Generator(rng)
    before: list[Operation] = [generator.open_room() for _ in range(ROOMS_LIVE)]
    before += [generator.grant(user, COINS_AT_START) for user in USERS]
    before += [generator.grant(brand, COINS_AT_START) for brand in BRANDS]
    before += [generator.fund_match(room) for room in generator.live]
    strikes = _strikes(rng, names, faults)
    each = operations // (len(strikes) + 1)
    segments = [Segment(None, tuple(generator.operation() for _ in range(operations - each * len(strikes))))]
    segments += [Segment(strike, tuple(generator.operation() for _ in range(each))) for strike in strikes]
    return before, segments
