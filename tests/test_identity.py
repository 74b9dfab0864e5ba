"""Claims of tokens: as host products make them, as odd as they come; each gives an identity or one clear error."""

import json
import math
import time
from collections.abc import Mapping

import jwt
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livegift.composition import load_settings
from livegift.contract.errors import ConfigError, RequestError
from livegift.contract.events import user_json
from livegift.contract.values import is_id, is_user_id
from livegift.domain.regions import may_give, region_of
from livegift.runtime.identity import Identity, Tokens, VerifiedTokens, tokens_of
from tests.conftest import JWT_SECRET

FORMER = "the secret that was in use before: 32+ bytes"
TOKENS = Tokens(JWT_SECRET, leeway_s=10)


def signed(payload: bytes, secret: str = JWT_SECRET, headers: dict[str, object] | None = None) -> str:
    return jwt.PyJWS().encode(payload, secret, "HS256", headers=headers)


def token(*, secret: str = JWT_SECRET, **claims: object) -> str:
    return signed(json.dumps({"sub": "ann", "exp": time.time() + 60, **claims}).encode(), secret)


def refusal(text: str, tokens: Tokens = TOKENS) -> str:
    """Code and detail with which a token is refused."""
    with pytest.raises(RequestError) as caught:
        tokens.verify(text)
    assert caught.value.code in ("unauthenticated", "token_expired")
    assert caught.value.detail.isascii()
    return f"{caught.value.code}: {caught.value.detail}"


# --- As hosts make them -----------------------------------------------------------------------------------------------

USERS = (
    "u1", "auth0|6508f1c2d3e4f5a6b7c8d9e0", "google-oauth2|104242424242424242424", "viewer@example.org",
    "samlp|my-connection|first.last+tag@corp.example", "o'brien@example.org", "f:2c5e:keycloak", "0b4c==", "x" * 128,
)  # fmt: skip


@pytest.mark.parametrize("sub", USERS)
def test_ids_of_usual_identity_providers(sub: str) -> None:
    assert TOKENS.verify(token(sub=sub)).user == sub
    assert is_user_id(sub)


@pytest.mark.parametrize(
    "sub", ["", "@x", "|x", "=1+1", "a b", "a,b", 'a"b', "a\\b", "a{b", "a!b", "ä", "x" * 129, "a\n"]
)
def test_ids_that_would_break_a_key_or_a_line(sub: str) -> None:
    assert refusal(token(sub=sub)).startswith("unauthenticated: sub: expected 1 to 128 of")
    assert not is_user_id(sub)


def test_what_hosts_leave_empty_is_as_if_it_were_not_there() -> None:
    for nothing in ("", None):
        found = TOKENS.verify(token(name=nothing, avatar_url=nothing, region=nothing))
        assert (found.shown_name, found.shown_avatar_url, found.region) == ("ann", None, None)
    for nothing in ("   ", "\u200b", "\x00"):
        assert TOKENS.verify(token(name=nothing)).shown_name == "ann"
    assert TOKENS.verify(token(rooms=None, age=None, role=None, auth_time=None)).role == "viewer"


def test_an_audience_is_looked_at_when_the_settings_name_one() -> None:
    for unchecked in ("authenticated", ["a", "b"], 7, None):
        assert TOKENS.verify(token(aud=unchecked, iss="https://issuer.example")).user == "ann"
    strict = Tokens(JWT_SECRET, audiences=["livegift", "gifts"], issuers=["https://issuer.example"])
    good = {"aud": "gifts", "iss": "https://issuer.example"}
    assert strict.verify(token(**good)).user == "ann"
    assert strict.verify(token(**{**good, "aud": ["other", "livegift"]})).user == "ann"
    for aud in ("other", ["other"], [], None, [["gifts"]], {"gifts": 1}, 7):
        assert "aud: expected one of LIVEGIFT_JWT_AUDIENCE" in refusal(token(**{**good, "aud": aud}), strict)
    for iss in ("https://other.example", None, ["https://issuer.example"], 7):
        assert "iss: expected one of LIVEGIFT_JWT_ISSUER" in refusal(token(**{**good, "iss": iss}), strict)
    assert strict.verify(strict.sign("dev")).user == "dev"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    now = time.time()
    assert TOKENS.verify(token(nbf=now + 5, iat=now + 5)).user == "ann"
    found = TOKENS.verify(token(exp=now - 5))
    assert found.exp == pytest.approx(now + 5)
    assert "nbf: the token is not valid yet" in refusal(token(nbf=now + 60))
    assert refusal(token(exp=now - 15)).startswith("token_expired")


def test_former_secrets_are_taken_while_they_are_named() -> None:
    rotating = Tokens(JWT_SECRET, former_secrets=[FORMER])
    assert rotating.verify(token()).user == "ann"
    assert rotating.verify(token(secret=FORMER)).user == "ann"
    assert rotating.sign("ann") == TOKENS.sign("ann")
    assert "Signature verification failed" in refusal(token(secret=FORMER))
    assert "Signature verification failed" in refusal(token(secret=FORMER + "x"), rotating)


def test_settings_of_tokens() -> None:
    given = {
        "LIVEGIFT_REDIS_URL": "redis://x",
        "LIVEGIFT_DATABASE_URL": "postgresql://x",
        "LIVEGIFT_JWT_SECRET": JWT_SECRET,
    }
    settings = load_settings(environ={**given, "LIVEGIFT_JWT_FORMER_SECRETS": FORMER, "LIVEGIFT_JWT_AUDIENCE": "a, b"})
    assert tokens_of(settings).verify(token(secret=FORMER, aud="b")).user == "ann"
    with pytest.raises(ConfigError, match="LIVEGIFT_JWT_FORMER_SECRETS: each must have at least 32 bytes"):
        load_settings(environ={**given, "LIVEGIFT_JWT_FORMER_SECRETS": f"{FORMER},short"})


# --- Checked once -----------------------------------------------------------------------------------------------------


def test_a_token_that_was_checked_expires_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, now = Tokens(JWT_SECRET, leeway_s=10), time.time()
    text = token(exp=int(now) + 60)
    assert tokens.verify(text) is tokens.verify(text)
    for later_s, is_valid in ((69, True), (71, False), (71, False)):
        monkeypatch.setattr(time, "time", lambda later_s=later_s: int(now) + later_s)
        if is_valid:
            assert tokens.verify(text).user == "ann"
        else:
            assert refusal(text, tokens).startswith("token_expired")
    monkeypatch.undo()


def test_what_was_checked_with_one_secret_says_nothing_under_another() -> None:
    rotating, text = Tokens(JWT_SECRET, former_secrets=[FORMER]), token(secret=FORMER)
    assert rotating.verify(text).user == "ann"
    assert "Signature verification failed" in refusal(text, Tokens(JWT_SECRET))


def test_a_changed_token_is_checked_anew() -> None:
    tokens, text = Tokens(JWT_SECRET), token()
    assert tokens.verify(text).user == "ann"
    for changed in (text[:-1], text + "\ud83d", text.upper(), f" {text}"):
        assert refusal(changed, tokens).startswith("unauthenticated")
    assert tokens.verify(text).user == "ann"


def test_refused_tokens_are_not_remembered_and_few_valid_ones_are() -> None:
    verified, ann = VerifiedTokens(most=3), Identity("ann", time.time() + 60)
    digests = [verified.digest(f"token {n}") for n in range(5)]
    assert len(set(digests)) == 5
    for digest in digests[:3]:
        verified.remember(digest, ann)
    assert verified.find(digests[0]) is ann  # used last, so it outlives the next
    for digest in digests[3:]:
        verified.remember(digest, ann)
    assert [verified.find(digest) is ann for digest in digests] == [True, False, False, True, True]
    assert VerifiedTokens().digest("token 0") != digests[0]  # another process has another key
    verified.remember(digests[0], Identity("ann", time.time() - 1))
    assert verified.find(digests[0]) is None
    assert len(verified) == 2


# --- As odd as they come ----------------------------------------------------------------------------------------------

ODD_TEXT = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(
    ["\ud83d", "\x00", "a|b", "1e308", "9" * 70]
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**320)
    | st.floats()
    | st.sampled_from([1e308, -1e308, math.inf, math.nan, 2**53, 10**400])
    | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES = (*Identity.__struct_fields__, "aud", "iss", "nbf", "iat", "jti")


def check(text: str, tokens: Tokens) -> None:
    """An identity that nothing of ours fails on, or a refusal that can be sent."""
    found: Identity | None
    try:
        found = tokens.verify(text)
    except RequestError as error:
        said = {"unauthenticated", "token_expired"} & {error.code}, orjson.dumps(error.detail)
        found = None
    if found is None:
        assert all(said)
        return
    # What is done with it: frames, keys, the ledger, the clock.
    user_json(found.user, found.shown_name, found.shown_avatar_url)
    orjson.dumps([found.user, found.shown_name, found.shown_avatar_url, found.role, found.region, found.rooms])
    assert is_user_id(found.user)
    assert is_id(found.region or "US")
    assert found.shown_name
    assert 0 <= found.exp < 10**12
    assert found.auth_time is None or math.isfinite(found.auth_time)
    may_give(region_of(found.region), found.age, age_verified=found.age_verified)
    found.may_enter("r1")


@given(st.dictionaries(st.sampled_from(NAMES) | ODD_TEXT, ODD, max_size=4))
@example({"exp": 1e308})
@example({"exp": math.inf})
@example({"exp": 10**400})
@example({"region": "\ud83d"})
@example({"\ud83d": 1})
@example({"role": "\ud83d"})
@example({"age": 10**400})
@example({"auth_time": 10**400})
@example({"rooms": ["\ud83d"]})
def test_any_signed_claims_give_an_identity_or_one_clear_error(claims: Mapping[str, object]) -> None:
    for tokens in (TOKENS, Tokens(JWT_SECRET, former_secrets=[FORMER], audiences=["a"], issuers=["i"])):
        check(signed(json.dumps({"sub": "ann", "exp": 2**33, **claims}).encode()), tokens)


@given(
    st.binary(max_size=60)
    | st.sampled_from([b"[" * 3000, b'{"a":' * 600, b"9" * 5000, b"{}", b"null", b'{"exp":1e400}'])
)
def test_any_signed_bytes_are_refused(payload: bytes) -> None:
    assert refusal(signed(payload)).startswith("unauthenticated")


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]), ODD, max_size=3), st.binary(max_size=40)
)
def test_any_header_and_signature_are_refused(header: dict[str, object], signature: bytes) -> None:
    """Anybody can write them."""
    parts = (json.dumps(header).encode(), json.dumps({"sub": "ann", "exp": 2**33}).encode(), signature)
    assert refusal(b".".join(jwt.utils.base64url_encode(part) for part in parts).decode()).startswith("unauthenticated")


@given(ODD_TEXT | st.text(st.sampled_from("abcABC012-_=."), max_size=60))
def test_any_text_is_refused(text: str) -> None:
    assert refusal(text).startswith("unauthenticated")
