"""Corrections: decided once, by somebody else, and undone gifts go back the way they came."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.errors import RequestError
from livegift.domain.postings import Transfer, sums
from livegift.features.corrections.rules import Correction, RevokedGift, decide, transfers_of

PEOPLE = ("ann", "bob", "cat")
GIFT = RevokedGift("3-1-7", 3, "r1", "bob", 500)


def test_who_asks_or_profits_does_not_approve() -> None:
    asked = Correction("c1", "ann", 100, "was charged twice", "cat")
    for by in ("cat", "ann"):
        with pytest.raises(RequestError, match="second_person_required"):
            decide(asked, by, approve=True)
    approved = decide(asked, "bob", approve=True)
    assert (approved.status, approved.decided_by) == ("approved", "bob")
    assert decide(asked, "cat", approve=False).status == "rejected", "one may take back what one has asked for"


@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.booleans()), max_size=8))
def test_the_first_decision_stays(decisions: list[tuple[str, bool]]) -> None:
    correction = Correction("c1", "dan", -5, "too much", "ann")
    history = [correction]
    for by, approve in decisions:
        with suppress(RequestError):
            correction = decide(correction, by, approve=approve)
        if correction is not history[-1]:
            history.append(correction)
    assert [c.status for c in history] in (["requested"], ["requested", "approved"], ["requested", "rejected"])


def test_a_revoked_gift_takes_the_diamonds_back_to_where_they_came_from() -> None:
    revocation = Correction("c1", "ann", 500, "fraud", "cat", GIFT)
    assert (revocation.reason, revocation.ref) == ("revocation", "revocation:c1")
    assert transfers_of(revocation) == (Transfer("DIAMOND", "diamonds:user:bob", "diamonds:issued:p3", 500),)
    assert sum(sums(transfers_of(revocation)).values()) == 0
    assert transfers_of(Correction("c1", "ann", 500, "gift", "cat")) == ()
    assert transfers_of(Correction("c1", "ann", 5, "x", "cat", GIFT._replace(diamonds=0))) == ()
