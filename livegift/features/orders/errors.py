"""The errors that only orders answer with. `ERRORS` is the table."""

from livegift.contract.errors import ErrorKind

REAUTHENTICATION_REQUIRED = ErrorKind(
    "reauthentication_required", "This purchase needs a token from a fresh sign-in.", 401
)
PAYMENTS_OFF = ErrorKind("payments_off", "This server does not sell coins.", 404)
PAYMENT_REFUSED = ErrorKind(
    "payment_refused", "The payment provider does not accept this payment: choose another package.", 409
)
PACKAGE_NOT_FOUND = ErrorKind("package_not_found", "There is no such coin package in this region.", 404)
ORDER_NOT_PAID = ErrorKind("order_not_paid", "This order was not paid: there is nothing to give back.", 409)
BAD_SIGNATURE = ErrorKind("bad_signature", "The webhook's signature is not valid.", 400)

ERRORS = (
    REAUTHENTICATION_REQUIRED,
    PAYMENTS_OFF,
    PAYMENT_REFUSED,
    PACKAGE_NOT_FOUND,
    ORDER_NOT_PAID,
    BAD_SIGNATURE,
)
