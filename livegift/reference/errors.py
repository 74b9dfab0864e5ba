"""docs/reference/errors.md: the error table and the WebSocket close codes."""

from livegift import composition
from livegift.contract.errors import CLOSE_SENTENCES, STOP_CODES_MIN
from livegift.reference.markdown import code, page, table

INTRODUCTION = """
Every refusal has a code from this table. Codes are stable: new ones can be added, existing ones keep their meaning. The
`message` (over HTTP: `detail`) is a sentence for people. It can say more than the table does, and it can change.

Over HTTP an error is an `application/problem+json` (RFC 9457) with `code`, `status`, `title`, `detail` and `retryable`.
Over a WebSocket it is an `error` message, or a `gift.result` with `"status": "rejected"` when it is about a gift.

**Retryable** means that the same request can be sent again unchanged, after `retry_after_ms` where the answer has it.
For any other code something has to change first. A rejected gift was certainly not charged. An `error` with `"outcome":
"unknown"` says that it is not known whether the gift was charged: send the same `ref` again.
"""
CLOSES = f"""
## WebSocket close codes

After a code below {STOP_CODES_MIN}, and after a connection that ends without one, a client reconnects with increasing
pauses. From {STOP_CODES_MIN} on something has to change first, as the table says.
"""


def write() -> str:
    """Return the page according to the present code."""
    rows = [
        (code(kind.code), str(kind.http_status), "yes" if kind.retryable else "no", kind.sentence)
        for kind in composition.errors().values()
    ]
    closes = [(str(close.value), close.name.lower().replace("_", " "), said) for close, said in CLOSE_SENTENCES.items()]
    return page(
        "Errors",
        "livegift/contract/errors.py and the `errors.py` of features",
        INTRODUCTION,
        table(("code", "HTTP status", "retryable", "sentence"), rows),
        CLOSES,
        table(("code", "name", "when, and what to do"), closes),
    )
