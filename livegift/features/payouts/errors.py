"""The errors that only payouts answer with. `ERRORS` is the table."""

from livegift.contract.errors import ErrorKind

PAYOUT_NOT_POSSIBLE = ErrorKind("payout_not_possible", "This payout is not possible at the moment.", 409)

ERRORS = (PAYOUT_NOT_POSSIBLE,)
