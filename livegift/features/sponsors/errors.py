"""The errors that only sponsor matches answer with. `ERRORS` is the table."""

from livegift.contract.errors import ErrorKind

TOO_MANY_MATCHES = ErrorKind("too_many_matches", "This room already has the maximum number of sponsor matches.", 409)

ERRORS = (TOO_MANY_MATCHES,)
