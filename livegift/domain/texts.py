"""Text that people have typed or pasted: what of it is visible, and what a spreadsheet would take it for."""

import re
import unicodedata

# Letters and symbols by category that show nothing: Hangul's fillers, Braille's empty pattern.
_DRAWN_AS_NOTHING = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Joiners hold emoji and some scripts together; all other format characters are invisible or change the direction of
# the text around them.
_KEPT_FORMAT = frozenset("\u200c\u200d")
_TAG_CHARACTERS = range(0xE0020, 0xE0080)  # in emoji of flags
_SPACE = re.compile(r"\s+")
# Spreadsheets reformat numbers and dates and run formulas: https://owasp.org/www-community/attacks/CSV_Injection
_MONTH = re.compile(r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ .,/-]?\d{1,4}", re.IGNORECASE)
_BOOLEAN = frozenset({"TRUE", "FALSE"})
TEXT_MARK = "'"


def _is_kept(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        return char in _KEPT_FORMAT or ord(char) in _TAG_CHARACTERS
    return category not in ("Cc", "Cs", "Cn", "Co") and char not in _DRAWN_AS_NOTHING


def _is_visible(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNPS"


def visible(text: str, length_max: int) -> str:
    """Return `text` as it can be shown, in at most `length_max` characters; empty if nothing of it would be visible.

    Control characters, surrogates and direction marks are left out; a run of white space becomes one space.
    """
    if text.isascii() and text.isprintable():  # as most are; of these, only a space is not visible
        return _SPACE.sub(" ", text).strip()[:length_max].strip()
    # Before runs of white space are looked for: what is left out may stand in the middle of one.
    kept = "".join(char for char in text if char.isspace() or _is_kept(char))
    kept = _SPACE.sub(" ", kept).strip()[:length_max].strip()
    return kept if any(map(_is_visible, kept)) else ""


def is_changed_by_spreadsheets(text: str) -> bool:
    """Return whether a spreadsheet would read `text` in a CSV file as a formula, a number, a date or a boolean.

    Text that begins with a letter is safe, except for months and booleans.
    """
    if not text:
        return False
    return not text[0].isalpha() or text.upper() in _BOOLEAN or _MONTH.fullmatch(text) is not None


def marked(text: str) -> str:
    """Return `text` with a leading mark that makes spreadsheets keep it as text, if it needs one."""
    return TEXT_MARK + text if is_changed_by_spreadsheets(text) else text


def unmarked(text: str) -> str:
    """Return what `marked` was called with; unmarked text is returned unchanged."""
    bare = text.removeprefix(TEXT_MARK)
    return bare if is_changed_by_spreadsheets(bare) else text
