"""Texts as people paste them: what can be seen, and what spreadsheets leave alone."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livegift.domain.texts import is_changed_by_spreadsheets, marked, unmarked, visible


@pytest.mark.parametrize(
    "nothing", ["", "  ", "\u200b", "\u3164", "\u2800", "\u202e\u2066", "\x00\x1f", "\ud83c", "\ufeff \u00a0", "\u0301"]
)
def test_what_shows_as_nothing_is_nothing(nothing: str) -> None:
    assert visible(nothing, 64) == ""


@pytest.mark.parametrize(
    ("pasted", "shown"),
    [
        ("Ann", "Ann"),
        ("  Ann \u00a0 Lee\n", "Ann Lee"),
        ("\u202eevil\u202c", "evil"),
        ("👩\u200d💻", "👩\u200d💻"),
        (
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("éé", "éé"),
    ],
)
def test_what_can_be_seen_stays(pasted: str, shown: str) -> None:
    assert visible(pasted, 64) == shown


@given(st.text(), st.integers(1, 70))
@example("0 \x1b\r0", 70)
def test_shown_text_is_short_storable_and_stays_what_it_is(text: str, length_max: int) -> None:
    shown = visible(text, length_max)
    assert len(shown) <= length_max
    shown.encode()  # no half of a character
    assert "\x00" not in shown
    assert visible(shown, length_max) == shown


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+4912",
        "-5",
        "@SUM(A1)",
        "007",
        "1E5",
        "1-1-12",
        "2024-01-02",
        "\t=1",
        "MAR1",
        "sept 2",
        "true",
        "\uff11",
    ],
)
def test_what_a_spreadsheet_would_change_is_marked(text: str) -> None:
    assert marked(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "ann", "marcus", "sender-1", "ord-12", "julia2b", "Rose"])
def test_other_texts_are_not(text: str) -> None:
    assert marked(text) == text


@given(st.text())
def test_a_mark_can_be_taken_away_again(text: str) -> None:
    assert unmarked(marked(text)) == text
    if is_changed_by_spreadsheets(text):
        assert not is_changed_by_spreadsheets("x" + marked(text))
