"""Receipts: every coin has one price, and the parts of all gifts add up to what was paid."""

from hypothesis import given
from hypothesis import strategies as st

from livegift.domain.catalogue import CoinPackage, creator_share_ppm
from livegift.features.receipts.rules import CoinLot, parts_of

LOTS = st.lists(
    st.builds(
        CoinLot,
        coins=st.integers(1, 5_000),
        reason=st.sampled_from(("order", "grant")),
        ref=st.just("x"),
        amount=st.integers(0, 10_000),
        currency=st.sampled_from(("USD", "EUR", "KRW", "KWD", None)),
    ),
    max_size=6,
)


@given(LOTS, st.lists(st.integers(1, 3_000), max_size=12))
def test_gifts_in_a_row_use_each_coin_once(lots: list[CoinLot], gifts: list[int]) -> None:
    in_all, spent, micros = sum(lot.coins for lot in lots), 0, 0
    for coins in gifts:
        parts = parts_of(lots, spent, coins)
        assert sum(part.coins for part in parts) == max(min(coins, in_all - spent), 0)
        micros += sum(part.amount_micros for part in parts)
        spent += coins
    decimals = {"KRW": 0, "KWD": 3}
    paid = sum(lot.amount * 10 ** (6 - decimals.get(lot.currency, 2)) for lot in lots if lot.currency)
    assert micros <= paid
    if spent >= in_all:
        assert micros == paid, "nothing is lost by rounding once a lot is used up"


def test_the_oldest_coins_go_first() -> None:
    lots = [CoinLot(100, "order", "order:a", 199, "USD"), CoinLot(20, "bonus", "bonus:a"), CoinLot(50, "grant", "g")]
    parts = parts_of(lots, 90, 35)
    assert [(p.coins, p.ref, p.amount_micros) for p in parts] == [
        (10, "order:a", 199_000),
        (20, "bonus:a", 0),
        (5, "g", 0),
    ]


def test_shares_in_other_currencies() -> None:
    euro = CoinPackage("p", 100, 0, 200, "EUR")
    yen = CoinPackage("p", 100, 100, 300, "JPY")
    assert creator_share_ppm(CoinPackage("p", 100, 0, 200, "USD"), {}) == 250_000
    assert creator_share_ppm(euro, {}) is None
    assert creator_share_ppm(euro, {"EUR": 1_250_000}) == 200_000
    assert creator_share_ppm(yen, {"JPY": 6_667}) == 1_000_000 * 1_000_000 // 2_000_100
