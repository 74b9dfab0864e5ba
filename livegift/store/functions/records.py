"""Texts of several fields that Lua and Python exchange, stored in Redis or as a reply: their order and separators.

The journal's entries are arrays in the order of the fields of their classes in `contract/journal.py`.
"""

import re

# Kind of a field -> its pattern in Lua and in Python.
PATTERNS = {
    "integer": ("%d+", r"\d+"),
    "digits": ("%d+", r"\d+"),  # an integer that Lua only passes on
    "hours": ("[%d,]*", r"[\d,]*"),
    "letters": ("%a*", r"[a-z]*"),
    "optional_integer": ("%d*", r"\d*"),
    "signed_integer": ("-?%d+", r"-?\d+"),
    "place": ("[%d-]+", r"[\d-]+"),
    "optional_place": ("[%d-]*", r"[\d-]*"),
    "hex": ("%x*", r"[\da-f]*"),
    "text": (".-", r".*?"),
}


NUMBERS = frozenset({"integer", "signed_integer"})


class Record:
    """The format of a text of several fields."""

    def __init__(self, template: str) -> None:
        """Parse a template such as '{gifts:integer} {coins:integer}': names, each with a key of PATTERNS."""
        parts = re.split(r"\{(\w+):(\w+)\}", template)
        self.template = template
        self.literals = tuple(parts[::3])
        self.kinds = dict(zip(parts[1::3], parts[2::3], strict=True))
        """Field -> its kind, in order."""
        self._format = re.sub(r":\w+\}", "}", template)
        pattern = re.escape(self.literals[0])
        for kind, literal in zip(self.kinds.values(), self.literals[1:], strict=True):
            pattern += f"({PATTERNS[kind][1]}){re.escape(literal)}"
        self._pattern = re.compile(pattern, re.DOTALL)

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the fields of a text, in order. Raises ValueError."""
        found = self._pattern.fullmatch(text)
        if found is None:
            raise ValueError(f"expected {self.template!r}, got {text!r}")
        return found.groups()

    def text(self, **fields: object) -> str:
        """Return the text. Raises KeyError when a field is missing."""
        return self._format.format(**fields)


RECORDS = {
    # The state of a partition that every change needs, in ':counters'.
    "counters": Record("{epoch:digits}|{n:integer}|{n_max:integer}|{gifts:integer}|{coins:integer}"),
    # A wallet, in ':w:<user>'. `hours` are those with refs, `flags` 'f' for frozen and 'l' for limits in ':l:<user>'.
    "wallet": Record("{balance:signed_integer}|{seq:integer}|{hours:hours}|{flags:letters}|{usage:text}"),
    # The answer to an accepted ref, in ':ref:<user>:<hour>'. `combo` is the position of the streak's first gift, ''
    # when that is this gift, or for a change of a wallet, whose `repeat_count` is 0. It stays below 64 bytes, so that
    # Redis keeps the hash compact.
    "answer": Record(
        "{payload_hash:hex}|{position:place}|{coins:signed_integer}|{combo:optional_place}|{repeat_count:integer}"
    ),
    # A gift in an entry of several (contract/journal.py, SentGift), of which Lua writes the beginning.
    "sent_gift": Record(
        '[{wallet_seq:integer},{balance:integer},"{combo:text}",{repeat_count:integer},{later_days:signed_integer},'
        "{fragment:text}]"
    ),
    # An open streak, in ':s:<key>'; what its end shows is in ':shown'. In a key, '!' stands for '|' in users' ids
    # (domain/combos.py).
    "streak": Record("{combo:place}|{repeat_count:integer}|{deadline_ms:integer}"),
    "streak_key": Record("{room:text}|{gift_id:text}|{to:text}|{anonymous:text}|{user:text}"),
    # An open streak as version 1 of the functions kept it, in the hash ':streaks'.
    "older_streak": Record(
        "{combo:place}|{repeat_count:integer}|{deadline_ms:integer}|{user_json:text}\n{details_json:text}"
    ),
    # A wallet's limits and usage, and the operator's limits as the hub sends them (domain/allowances.py).
    "limits": Record(
        "{version:integer}|{per_gift:optional_integer}|{day:optional_integer}|{month:optional_integer}|"
        "{pending_ms:integer}|{pending_per_gift:optional_integer}|{pending_day:optional_integer}|"
        "{pending_month:optional_integer}"
    ),
    "usage": Record("{day:integer}|{day_coins:integer}|{month_coins:integer}|{minute:integer}|{minute_gifts:integer}"),
    "policy": Record(
        "{day:integer}|{per_gift:optional_integer}|{per_day:optional_integer}|{per_month:optional_integer}|"
        "{gifts_per_minute:optional_integer}"
    ),
    # What a room has from a partition, in ':watermarks'; a gifter, in ':gifters'.
    "contribution": Record("{epoch:integer}-{n:integer} {gifts:integer} {coins:integer} {diamonds:integer}"),
    "gifter": Record("{gifts:integer} {coins:integer} {reached_ms:integer}"),
    # The body of a revocation: the ids of the gift's event and streak as clients know them, and its count.
    "revoked_gift": Record("{event_id:text} {combo_id:text} {count:integer}"),
    # What a room keeps of a feature's events, in ':kept': the latest of a key. `body` is without the opening brace.
    "kept": Record("{version:integer} {over:integer} {at_ms:integer} {body:text}"),
    # Replies.
    "accepted": Record(
        "ok|{event_id:text}|{coins:signed_integer}|{balance:signed_integer}|{seq:integer}|{combo_id:text}|"
        "{repeat_count:integer}"
    ),
    "duplicate": Record(
        "dup|{event_id:text}|{coins:signed_integer}|{balance:signed_integer}|{seq:integer}|{combo_id:text}|"
        "{repeat_count:integer}"
    ),
    "refused": Record("no|{code:text}|{balance:signed_integer}|{shortfall:integer}"),
    "exceeded": Record("{refused:text}|{kind:text}|{whose:text}|{allowed:integer}|{used:integer}"),
}
