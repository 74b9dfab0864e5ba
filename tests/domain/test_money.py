"""Amounts and their ceiling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegift.contract.bounds import AMOUNT_MAX
from livegift.domain.money import AmountError, amount
from tests.domain.operations import quick


@quick
@given(st.integers(0, AMOUNT_MAX))
def test_an_amount_is_itself(value: int) -> None:
    assert amount(value) == value


@quick
@given(st.one_of(st.integers(max_value=-1), st.integers(min_value=AMOUNT_MAX + 1)))
def test_anything_beyond_is_refused(value: int) -> None:
    with pytest.raises(AmountError, match=f"expected an amount from 0 to {AMOUNT_MAX}"):
        amount(value)


@pytest.mark.parametrize("value", [0, 1, AMOUNT_MAX - 1, AMOUNT_MAX])
def test_the_edges_are_inside(value: int) -> None:
    assert amount(value) == value


@pytest.mark.parametrize("value", [-1, AMOUNT_MAX + 1, 2**53 - 1, 2**53, 2**53 + 1, 10**30])
def test_beyond_the_edges_is_outside(value: int) -> None:
    with pytest.raises(AmountError):
        amount(value)


@pytest.mark.parametrize("value", [True, False, 1.5, 1.0, float("nan"), float("inf")])
def test_what_is_no_integer_is_no_amount(value: object) -> None:
    with pytest.raises(AmountError):
        amount(value)  # type: ignore[arg-type]


def test_the_sum_of_two_amounts_is_exact_in_a_double() -> None:
    assert 2 * AMOUNT_MAX < 2**53
    assert int(float(2 * AMOUNT_MAX - 1)) == 2 * AMOUNT_MAX - 1
