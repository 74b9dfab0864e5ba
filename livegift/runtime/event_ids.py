"""The public ids of events, which do not reveal the sender's partition (decision 020).

Internally, an event is `<partition>-<epoch>-<n>`, its entry's position in the journals. The partition is a function of
the sender's id, so in a room of a few dozen people it reveals who sent an anonymous gift. The public id is that
position as one AES block under the system's own key: a permutation, so no two events share an id and nothing has to be
stored or looked up.
"""

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from functools import lru_cache
from struct import Struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from livegift.domain.partitions import Position, event_id
from livegift.runtime.bounds import EPOCH_MAX, EVENT_IDS_CACHED_MAX, N_MAX

KEY_BYTES = 16
# Partition and epoch, then n: 16 + 32 and 48 bits. The upper 16 bits of both halves are zero; a block that decrypts to
# anything else was never issued.
_BLOCK = Struct(">QQ")
_EPOCH_BITS, _N_BITS, _PLACE_BITS = EPOCH_MAX.bit_length(), N_MAX.bit_length(), 48
# base64url of a block, without padding, after a letter: spreadsheets read a leading hyphen as a formula.
_PREFIX = "g"
_TEXT_LENGTH = 22
_ID = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{{_TEXT_LENGTH}}}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class EventIds:
    """A system's mapping from positions in the journals to public ids, and back."""

    def __init__(self, key: bytes) -> None:
        """Use a secret `key`, the same for the system's whole life. Raises ValueError for a wrong length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        # Single blocks that are all different: ECB is right for that alone.
        cipher = Cipher(AES(key), ECB())  # noqa: S305
        # Neither has a state between blocks, so they are created once.
        self._encrypt, self._decrypt = cipher.encryptor().update, cipher.decryptor().update
        # Each send of a streak names the first one, so the same ids are needed again and again.
        self.of_streak = lru_cache(EVENT_IDS_CACHED_MAX)(self.of)

    def at(self, partition: int, position: Position) -> str:
        """Return the id of the event of an entry: 23 characters of the alphabet of ids. Raises ValueError."""
        epoch, n = position
        if epoch > EPOCH_MAX or n > N_MAX:
            raise ValueError(f"expected an epoch up to {EPOCH_MAX} and n up to {N_MAX}, got {position}")
        block = self._encrypt(_BLOCK.pack(partition << _EPOCH_BITS | epoch, n))
        return _PREFIX + b2a_base64(block, newline=False)[:_TEXT_LENGTH].translate(_URL_SAFE).decode()

    def of(self, place: str) -> str:
        """Return the id of the event at `<partition>-<epoch>-<n>`."""
        partition, epoch, n = place.split("-")
        return self.at(int(partition), Position(int(epoch), int(n)))

    def place(self, public: str) -> str | None:
        """Return the `<partition>-<epoch>-<n>` of an id; None for an id that was never issued."""
        if not _ID.fullmatch(public):
            return None
        block = self._decrypt(urlsafe_b64decode(public[len(_PREFIX) :] + "=="))
        first, n = _BLOCK.unpack(block)
        if first >> _PLACE_BITS or n >> _N_BITS:
            return None
        partition, position = first >> _EPOCH_BITS, Position(first & EPOCH_MAX, n)
        # Several base64 texts decode to the same bits; only one of them is the id.
        return event_id(partition, position) if self.at(partition, position) == public else None
