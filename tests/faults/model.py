"""A model of what is certain about the economy, and the comparison of a ledger with it. Pure.

A gift's `ref` may have been sent several times, with several payloads, through several processes. Each attempt got an
answer, or its outcome is unknown. A gift that was answered `accepted` stays, unless a fault has lost the end of Redis'
journal before the ledger had booked it: then it is gone as a whole, and its coins are back.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from livegift.domain.catalogue import DEFAULT_GIFTS
from livegift.runtime.event_ids import KEY_BYTES, EventIds

KINDS = {kind.id: kind for kind in DEFAULT_GIFTS}


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """The position of an accepted gift in the journals: `<partition>-<epoch>-<n>`."""

    partition: int
    epoch: int
    n: int

    @classmethod
    def parse(cls, place: str) -> "Event":
        return cls(*map(int, place.split("-")))

    def __str__(self) -> str:
        return f"{self.partition}-{self.epoch}-{self.n}"


@dataclass(frozen=True, slots=True)
class Payload:
    """The payload that a client sends under a ref."""

    room: str
    gift_id: str
    count: int = 1

    @property
    def coins(self) -> int:
        return KINDS[self.gift_id].coins * self.count

    @property
    def diamonds(self) -> int:
        return KINDS[self.gift_id].diamond_count * self.count


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `kind` is accepted, duplicate, rejected or unknown."""

    kind: str
    event: Event | None = None
    coins: int = 0
    code: str = ""


UNKNOWN = Answer("unknown")


@dataclass(slots=True)
class Attempt:
    """A send of a ref. `answer` is None while there is none."""

    payload: Payload
    sent_ms: int
    answer: Answer | None = None


@dataclass(slots=True)
class Ref:
    """All attempts of a user's ref, in the order of sending."""

    user: str
    ref: str
    attempts: list[Attempt] = field(default_factory=list)
    is_settled: bool = False  # repeated after all faults, and answered

    @property
    def needs_settling(self) -> bool:
        """Return whether some attempt may have had an effect that nobody was told of."""
        return not self.is_settled and any(a.answer is None or a.answer.kind == "unknown" for a in self.attempts)

    @property
    def events(self) -> dict[Event, Attempt]:
        """Return the events of its answers, each with the first attempt that got it."""
        found: dict[Event, Attempt] = {}
        for attempt in self.attempts:
            if attempt.answer is not None and attempt.answer.event is not None:
                found.setdefault(attempt.answer.event, attempt)
        return found


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss of the end of Redis' journals: per partition (the last epoch affected, the n that is left)."""

    kind: str
    bounds: Mapping[int, tuple[int, int]]

    def covers(self, event: Event) -> bool:
        epoch, n = self.bounds.get(event.partition, (0, 0))
        return event.epoch <= epoch and event.n > n


@dataclass(slots=True)
class Grant:
    """Coins given to a user. `is_certain` once the call has returned."""

    user: str
    coins: int
    is_certain: bool = False


@dataclass(slots=True)
class Sponsored:
    """A match that an operator requested under a key. `match_id` is known once answered, '' when it was refused."""

    room: str
    brand: str
    gift_id: str | None
    factor: int
    budget: int
    match_id: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerGift:
    """A gift's row."""

    user: str
    ref: str
    room: str
    receiver: str
    gift_id: str
    count: int
    coins: int
    diamonds: int
    event: Event
    ts_ms: int

    @property
    def payload(self) -> Payload:
        return Payload(self.room, self.gift_id, self.count)


@dataclass(slots=True)
class Verdict:
    """The result of a comparison. With anything `late`, all errors are `unjudged`, as that may be their reason."""

    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    gifts: int = 0
    lost: set[Event] = field(default_factory=set)


class Model:
    """Everything that was sent, answered, granted and lost."""

    def __init__(self) -> None:
        self.ids = EventIds(bytes(KEY_BYTES))  # replaced by the world with its system's own
        self.refs: dict[tuple[str, str], Ref] = {}
        self.grants: dict[str, Grant] = {}
        self.matches: dict[str, Sponsored] = {}
        self.losses: list[Loss] = []
        self.accepted: list[tuple[str, Event]] = []  # (user, event), in the order of answers
        self.answers: Counter[str] = Counter()

    def event_of(self, event_id: str) -> Event:
        """Return the position of a public id; only this object knows how ids are made."""
        return Event.parse(self.ids.place(event_id) or event_id)

    def id_of(self, event: Event) -> str:
        """Return the public id of an event."""
        return self.ids.of(str(event))

    def begin(self, user: str, ref: str, payload: Payload, sent_ms: int) -> Attempt:
        """Record a send, before it happens."""
        attempt = Attempt(payload, sent_ms)
        self.refs.setdefault((user, ref), Ref(user, ref)).attempts.append(attempt)
        return attempt

    def answered(self, attempt: Attempt, answer: Answer, user: str = "") -> None:
        """Record the answer to a send."""
        attempt.answer = answer
        if answer.kind == "accepted" and answer.event is not None:
            self.accepted.append((user, answer.event))
        self.answers[answer.code or answer.kind] += 1

    def may_be_lost(self, event: Event) -> bool:
        """Return whether a fault has lost the journal from before this event on."""
        return any(loss.covers(event) for loss in self.losses)

    def unsettled(self) -> list[Ref]:
        return [ref for ref in self.refs.values() if ref.needs_settling]

    def compare(self, rows: Iterable[LedgerGift]) -> Verdict:
        """Compare with the ledger, after every unsettled ref was repeated until it was answered."""
        verdict = Verdict()
        by_ref: dict[tuple[str, str], LedgerGift] = {}
        for row in rows:
            verdict.gifts += 1
            if (row.user, row.ref) in by_ref:
                verdict.violations.append(
                    f"ref {row.ref} of {row.user} has two gifts: {by_ref[row.user, row.ref]}, {row}"
                )
            by_ref[row.user, row.ref] = row
        for key in by_ref.keys() - self.refs.keys():
            verdict.violations.append(f"the ledger has a gift that nobody sent: {by_ref[key]}")
        for key, ref in self.refs.items():
            row_or_none = by_ref.get(key)
            self._compare_answers(ref, row_or_none, verdict)
            if row_or_none is not None:
                self._compare_row(ref, row_or_none, verdict)
        return verdict

    def _compare_answers(self, ref: Ref, row: LedgerGift | None, verdict: Verdict) -> None:
        for event, attempt in ref.events.items():
            if row is not None and row.event == event:
                continue
            if self.may_be_lost(event):
                verdict.lost.add(event)
            else:
                there = "nothing" if row is None else f"event {row.event}"
                verdict.violations.append(
                    f"ref {ref.ref} of {ref.user} was accepted as {event} ({attempt}), the ledger has {there} for it"
                )
        fresh = Counter(a.answer.event for a in ref.attempts if a.answer is not None and a.answer.kind == "accepted")
        verdict.violations += [
            f"ref {ref.ref} of {ref.user} was accepted as new {times} times, as {event}"
            for event, times in fresh.items()
            if times > 1
        ]
        for attempt in ref.attempts:
            if attempt.answer is not None and attempt.answer.code == "ref_conflict":
                self._compare_conflict(ref, attempt, verdict)

    @staticmethod
    def _compare_conflict(ref: Ref, attempt: Attempt, verdict: Verdict) -> None:
        if all(other.payload == attempt.payload for other in ref.attempts):
            verdict.violations.append(f"ref {ref.ref} of {ref.user}: ref_conflict, but it had only one payload")

    def _compare_row(self, ref: Ref, row: LedgerGift, verdict: Verdict) -> None:
        payloads = {attempt.payload for attempt in ref.attempts}
        if row.payload not in payloads:
            verdict.violations.append(f"ref {ref.ref} of {ref.user}: the ledger has {row.payload}, sent was {payloads}")
        if (row.coins, row.diamonds) != (row.payload.coins, row.payload.diamonds):
            verdict.violations.append(f"{row}: expected {row.payload.coins} coins, {row.payload.diamonds} diamonds")
        if row.event not in ref.events:
            verdict.violations.append(f"{row}: nobody was told of it; attempts: {ref.attempts}")
        for attempt in ref.attempts:
            answer = attempt.answer
            if answer is None:
                continue
            if answer.event == row.event and answer.coins != row.coins:
                verdict.violations.append(f"{row}: the sender was told {answer.coins} coins")
            if answer.event == row.event and attempt.payload != row.payload:
                verdict.violations.append(f"{row}: another payload was told the same: {attempt}")
            # Once accepted, the same ref with the same payload is never rejected: that would say "nothing was charged".
            if answer.kind == "rejected" and attempt.payload == row.payload and row.ts_ms < attempt.sent_ms:
                verdict.violations.append(f"{row}: was rejected afterwards: {attempt}")

    def granted(self) -> Counter[str]:
        """Return coins by user, once every grant has been repeated until it was certain."""
        sums: Counter[str] = Counter()
        for grant in self.grants.values():
            sums[grant.user] += grant.coins
        return sums
