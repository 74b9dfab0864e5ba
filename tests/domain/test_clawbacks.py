"""What creators lose with the money: never more than there is, the newest gifts first."""

from hypothesis import given
from hypothesis import strategies as st

from livegift.features.earnings.rules import HELD_BACK, FreshGift, clawbacks_of, transfers_of

CREATORS = ("bob", "eve", "kim")
SMALL = st.integers(0, 1_000)
GIFTS = st.lists(st.tuples(st.sampled_from(CREATORS), SMALL, SMALL), max_size=20)


@given(SMALL, GIFTS, st.dictionaries(st.sampled_from(CREATORS), st.integers(-1_000, 1_000)))
def test_never_more_than_there_is(coins: int, given_gifts: list[tuple[str, int, int]], has: dict[str, int]) -> None:
    gifts = {(0, 1, n): FreshGift((0, 1, n), *row) for n, row in enumerate(given_gifts)}
    found = clawbacks_of(coins, list(gifts.values()), has)
    assert len({part.event for part in found}) == len(found)
    assert sum(part.coins for part in found) <= coins
    for part in found:
        gift = gifts[part.event]
        assert 0 < part.coins <= gift.coins
        assert 0 < part.diamonds <= gift.diamonds
    for creator in CREATORS:
        assert sum(part.diamonds for part in found if part.creator == creator) <= max(has.get(creator, 0), 0)
    moves = transfers_of(found)
    assert sum(move.amount for move in moves) == sum(part.diamonds for part in found)
    assert {move.credit for move in moves} <= {HELD_BACK}


def test_the_newest_first_and_the_last_one_in_part() -> None:
    gifts = [FreshGift((0, 1, n), "bob", 10, 10) for n in (3, 2, 1)]
    assert [(p.event[2], p.coins, p.diamonds) for p in clawbacks_of(15, gifts, {"bob": 100})] == [
        (3, 10, 10),
        (2, 5, 5),
    ]
    assert [part.diamonds for part in clawbacks_of(15, gifts, {"bob": 12})] == [10, 2]
    assert clawbacks_of(15, gifts, {"bob": 0}) == ()
