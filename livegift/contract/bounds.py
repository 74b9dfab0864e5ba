"""The bounds that clients or operators can meet: patterns, lengths, sizes, counts, waits.

All others are in `livegift.runtime.bounds`. Units are in the names.
"""

# Lua numbers are doubles and print in exponent form from 1e14 on; the ceiling leaves room for the sum of two amounts.
AMOUNT_MAX = 10**13
TIME_MS_MAX = 10**13
# Below 2^53, where a double of JavaScript still tells one integer from the next.
INTEGER_MAX = 2**53 - 1

# Texts.
ID_LENGTH_MAX = 64
# `$` alone also matches before a final newline; this form means the same in Python and in JSON Schema.
ID_PATTERN = r"^[A-Za-z0-9._:-]{1,64}$(?!\n)"
# Users' ids are the host product's, such as `auth0|…` or an e-mail address (decision 023).
USER_ID_PATTERN = r"^[A-Za-z0-9._:-][A-Za-z0-9._:@|+~='-]{0,127}$(?!\n)"
USER_ID_EXPECTED = "1 to 128 of A-Z a-z 0-9 . _ : - @ | + ~ = ' (the first none of the last six)"
TEXT_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*$(?!\n)"
REF_PATTERN = ID_PATTERN
COMMAND_ID_LENGTH_MAX = 64
COMMAND_ID_NUMBER_MAX = INTEGER_MAX
# At the highest price that is 10^13 coins, up to which the functions in Redis count exactly.
GIFT_COUNT_MAX = 9_999
MESSAGE_LENGTH_MAX = 200
NAME_LENGTH_MAX = 64
ICON_LENGTH_MAX = 16
# An emoji or a short text, or the address of a picture.
ICON_PATTERN = (
    r"^(?:https://[^\s\u0000-\u001f\u007f-\u009f\"'<>\\]{1,292}|(?!https://)[^\u0000-\u001f\u007f-\u009f]{1,16})$(?!\n)"
)
CATALOGUE_GIFTS_MAX = 10_000
CATALOGUE_FILE_BYTES_MAX = 8 * 1024 * 1024
TITLE_LENGTH_MAX = 120
WHY_LENGTH_MAX = 500
HOLDER_LENGTH_MAX = 70
IBAN_TEXT_LENGTH_MAX = 80  # 34, and separators
CURRENCY_PATTERN = r"^[A-Z]{3}$(?!\n)"
HOLDER_PATTERN = r"^[^\W\d_][^\u0000-\u001f\u007f-\u009f]*$(?!\n)"
# The patterns in words.
PATTERNS = {
    ID_PATTERN: "1 to 64 of A-Z a-z 0-9 . _ : -",
    TEXT_PATTERN: "text without control characters",
    ICON_PATTERN: "an emoji (16 characters at most), or the https:// address of a picture",
    HOLDER_PATTERN: "a name that begins with a letter",
    CURRENCY_PATTERN: "the three capital letters of a currency, such as EUR",
}
SUBJECT_LENGTH_MAX = 200
AVATAR_URL_LENGTH_MAX = 300
TOKEN_LENGTH_MAX = 8192
TOKEN_TTL_MAX_S = 100 * 366 * 86_400
TOKEN_TIME_MAX_S = 253_402_300_799  # the end of the year 9999; milliseconds are above it
HTTP_BODY_BYTES_MAX = 64 * 1024
PAGE_ITEMS_MAX = 100
CATALOGUE_PRICES_MAX = 300  # regions of one package

# A connection.
HELLO_TIMEOUT_S = 5.0
TOKEN_RENEW_TIMEOUT_S = 60.0
ROOMS_PER_CONNECTION_MAX = 8
GIFTS_IN_FLIGHT_PER_CONNECTION_MAX = 256

# Rooms.
REPLAY_EVENTS_MAX = 500
TOP_GIFTERS = 10
# The time of an anonymous gift is shown to the second, and within a second the order of gifts is random.
ANONYMOUS_TIME_MS = 1_000

# Orders, matches, statements, files.
ORDER_COINS_MAX = 1_000_000
PERCENT_OFF_MAX = 90  # the table's check says the same
SPONSOR_FACTOR_MAX = 9
SPONSOR_BUDGET_COINS_MAX = 1_000_000_000
SPONSOR_MATCHES_PER_ROOM_MAX = 5
STATEMENT_DAYS_MAX = 366
STATEMENT_PAGE_MAX = 1_000
FORM_BYTES_MAX = 1024
PAYOUT_RESULT_BYTES_MAX = 4 * 1024 * 1024
WEBHOOK_BODY_BYTES_MAX = 256 * 1024
WEBHOOK_SIGNATURES_MAX = 8
