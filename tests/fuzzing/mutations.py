"""Valid requests, changed: JSON as text, so that it may hold what no parser gives back, and odd texts for addresses."""

import json
import random
from collections.abc import Callable, Sequence
from urllib.parse import quote

# Around the borders of what numbers become: an int or a bigint of PostgreSQL, a double, the coins of a wallet.
NUMBERS = (
    "0", "-0", "-1", "1", "0.5", "1.0", "1e2", "1E+15", "1e400", "-1e400", "5e-324", "01", "NaN", "-Infinity",
    *(str(sign * (n + by)) for n in (2**31, 2**53, 10**13, 2**63, 2**64) for by in (-1, 0, 1) for sign in (1, -1)),
    str(2**32), "1e13", "1e18", "253402300800000", "-62135596800001", "9" * 400, "0x10", "1_000",
)  # fmt: skip
STRINGS = (
    '""', '" "', '"\\u0000"', '"a\\u0000b"', '"\\ud83c"', '"\\udf82\\ud83c"', '"r1\\n"', '"\\u202e"', '"\\u200b"',
    '"\\u2028"', '"é"', '"{r1}"', "\"' OR 1=1 --\"", '"</script>"', '"=1+1"', '"%s%n"', '"null"', '"1"', '"-1"',
    '"99999999999999999999"', '"\\u0000\\u0000"', '"' + "x" * 64 + '"', '"' + "x" * 65 + '"', '"' + "x" * 501 + '"',
    '"' + "x" * 5_000 + '"', '"' + "🌹" * 130 + '"', '"\\x"', '"', '"\\u12"',
)  # fmt: skip
OTHERS = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    '{"a":1}',
    "[1,]",
    "[" * 60 + "]" * 60,
    "[" * 1_500 + "]" * 1_500,
)
PATHS = (
    "%00", "a%00b", "r1%0A", "%ff%fe", "%ED%A0%80", "%C3%A9", "%F0%9F%8C%B9", "%20", "%7Br1%7D", "..", "%2e%2e%2fx",
    "a%2Fb", "a/b", "%25", "-1", "+1", "0", "1.5", "9" * 30, str(2**31), str(2**63), "1-1-99999999999999999999",
    "g" + "A" * 22, "g" + "_" * 22, "x" * 64, "x" * 65, "x" * 129, "x" * 3_000, "'%3B--", "%3Cb%3E", "null", "~", "@",
)  # fmt: skip
QUERY_VALUES = (
    "", "%00", "a%00b", "%ff%fe", "%ED%A0%80", "%C2%B2", "0", "-1", "1.5", "1e2", "+1", "%201", "101", "100", "1",
    str(2**31), str(2**53), str(2**53 - 1), str(2**63 - 1), str(2**63), "9" * 16, "9" * 17, "9" * 18, "9" * 19,
    "9" * 20, "9" * 5_000, "x" * 200, "x" * 201, "2026-13-01", "0001-01-01", "9999-12-31", "2026-W01-1", "20260101",
    "%EF%BC%91", "99999999999.1.9", "99999999999." + "9" * 18 + "." + "9" * 19, "1.0.g" + "A" * 22,
    "1.0.1-4294967296-281474976710656", "1.1.", ".", "%27", "user%3Aann", "user%3A%00",
)  # fmt: skip
# What stores, and not only models, may refuse: every second odd value is one of these.
HARD_NUMBERS = (str(2**63), str(-(2**63) - 1), str(2**31), "9" * 30, "-1", str(10**13 + 1), str(2**53 + 1), "0")
HARD_STRINGS = ('"\\u0000"', '"a\\u0000b"', '"\\ud83c"', '"' + "x" * 501 + '"')
HARD_TEXTS = ("%00", "a%00b", str(2**63), "9" * 30, str(2**31), "9" * 16, "%ED%A0%80")
HEADERS: dict[str, tuple[str, ...]] = {
    "Idempotency-Key": ("", "k", "\xe9", "a b", "x" * 64, "x" * 65, "x" * 5_000, "{k}", "9" * 30),
    "If-None-Match": ("*", '"x"', 'W/"', "," * 500, "\xff", 'W/"0", *'),
    "If-Modified-Since": ("x", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 50, "Thu, 99 Foo 99999999999 99:99:99 GMT"),
    "If-Range": ("x", '"x"', "Thu, 01 Jan 1970 00:00:00 GMT"),
    "Range": ("bytes=0-0", "bytes=5-1", "bytes=-", "bytes=999999999-", "bytes=0-" + "9" * 30, "x", "bytes=0-1,4-5"),
    "Content-Type": ("application/json", "text/plain", "application/x-www-form-urlencoded", "x", "\xff", "a/b;" * 50),
    "Accept": ("text/csv", "*/*", "\xff", "text/html;q=" + "9" * 50),
    "Accept-Encoding": ("gzip", "gzip;q=0", "identity", "x" * 500),
    "X-Forwarded-For": ("x", "1.2.3.4, \xff", "::1", "," * 100),
    "Origin": ("null", "http://127.0.0.1", "\xff"),
    "Authorization": ("", "Bearer", "Bearer a.b.c", "Basic eDp5", "Bearer \xe9.\xe9.\xe9", "Bearer " + "x" * 9_000),
    "Livegift-Signature": ("", "t=,v1=", "t=" + "9" * 30 + ",v1=\xe9", "," * 30, "t=\xb2,v1=x"),
    "Cookie": ("a=b", "\xff"),
    "Expect": ("100-continue",),
}


class Raw(str):
    """A piece of JSON text."""

    __slots__ = ()


def dump(value: object) -> str:
    """JSON in which `Raw` stands as it is; an object may be a list of pairs, with names that come twice."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return dump(tuple(value.items()))
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{dump(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump(item) for item in value) + "]"
    return json.dumps(value)


def odd_value(rng: random.Random, value: object) -> object:
    """Something in the place of `value`, more often of its own kind."""
    kinds = [NUMBERS, STRINGS, OTHERS]
    if isinstance(value, int) and not isinstance(value, bool):
        kinds += [NUMBERS] + [HARD_NUMBERS] * 4
    elif isinstance(value, str):
        kinds += [STRINGS] + [HARD_STRINGS] * 3
    how = rng.random()
    if how < 0.1:
        return [value] if how < 0.05 else {"a": value}
    return Raw(rng.choice(rng.choice(kinds)))


def _changed(rng: random.Random, value: object) -> object:
    """`value` with one place in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name, pairs = rng.choice(list(value)), list(value.items())
        how = rng.random()
        if how < 0.1:
            return {other: item for other, item in pairs if other != name}
        if how < 0.17:
            return (*pairs, (rng.choice(("unknown", "", "id", name.upper())), Raw(rng.choice(NUMBERS))))
        if how < 0.25:
            return (*pairs, (name, odd_value(rng, value[name])))
        return {other: _changed(rng, item) if other == name else item for other, item in pairs}
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        if rng.random() < 0.2:
            return [*value, value[at]] * rng.choice((1, 1, 1, 200))
        return [_changed(rng, item) if n == at else item for n, item in enumerate(value)]
    return odd_value(rng, value)


def json_body(rng: random.Random, template: object) -> bytes:
    """A valid body, one with a few places changed, or one whose bytes are."""
    value = template
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 1, 2))):
            value = _changed(rng, value if isinstance(value, dict) else template)
    text = dump(value).encode(errors="surrogatepass")
    return rng.choice(_BYTES)(rng, text) if rng.random() < 0.08 else text


_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    lambda rng, text: text[: rng.randrange(len(text) + 1)],
    lambda _, text: text + text,
    lambda _, text: b"\xef\xbb\xbf" + text,
    lambda _, text: text.decode(errors="replace").encode("utf-16"),
    lambda _, text: b"  \n" + text,
    lambda _, text: text.replace(b'"', b"'"),
    lambda rng, text: text[: len(text) // 2] + bytes([rng.randrange(256)]) + text[len(text) // 2 :],
    lambda _, text: b" " * 66_000 + text,
    lambda _, __: b"",
)


def text_body(rng: random.Random, template: str) -> bytes:
    """The same for a body that is no JSON: a form, a table."""
    data = template.encode()
    if rng.random() < 0.6:
        at = rng.randrange(len(data) + 1)
        odd = (
            b"\x00",
            b"\x00",
            b"\x00",
            b"\xff",
            b'"',
            b",",
            b"\r",
            b"\n",
            b";;;",
            b"9" * 30,
            "é".encode(),
            b"=",
            b"&",
            b"x" * 700,
            b"",
        )
        data = data[:at] + rng.choice(odd) + data[at + rng.choice((0, 0, 1, 5)) :]
    if rng.random() < 0.06:
        data = rng.choice((data.decode(errors="replace").encode("utf-16"), data * 300, b"\xff\xfe" + data, b""))
    return data


def path_part(rng: random.Random, pool: Sequence[str]) -> tuple[str, bool]:
    """A name for a path, and whether it is one of those that are meant."""
    if pool and rng.random() < 0.75:
        return quote(rng.choice(pool), safe=""), True
    return rng.choice(rng.choice((PATHS, HARD_TEXTS))), False


def _odd_text(rng: random.Random) -> str:
    return rng.choice(rng.choice((QUERY_VALUES, HARD_TEXTS)))


def query(rng: random.Random, template: dict[str, Sequence[str]]) -> str:
    """What stands behind the `?`, empty for nothing."""
    pairs, oddness = [], rng.choice((0, 0, 0.2, 0.5))
    for name, values in template.items():
        if name in ("from", "to") or rng.random() < 0.6:
            pairs.append((name, _odd_text(rng) if rng.random() < oddness else rng.choice(values)))
    if rng.random() < 0.1:
        name = rng.choice(("limit", "cursor", "region", "unknown", "", "%00", "limit", "from"))
        pairs.append((name, _odd_text(rng)))
    return "&".join(f"{name}={value}" for name, value in pairs)


def headers(rng: random.Random, usual: dict[str, str]) -> dict[str, str]:
    """The usual ones, now and then with odd ones among them."""
    found = dict(usual)
    while rng.random() < 0.2:
        name = rng.choice(list(HEADERS))
        if name != "Authorization" or rng.random() < 0.1:
            found[name] = rng.choice(HEADERS[name])
    return found
