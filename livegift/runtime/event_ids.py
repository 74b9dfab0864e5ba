"""Ids of events as clients see them, which say nothing about whose partition it is (decision 020).

Inside, an event is `<partition>-<epoch>-<n>`, its entry's place in the journal. The partition is a function of the
sender's id, so in a room of a few dozen people it reveals who sent an anonymous gift. Outside it is one AES block under
the system's own key: a permutation, so two events never share an id and nothing has to be stored or looked up.
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
# anything else was never given out.
_BLOCK = Struct(">QQ")
_EPOCH_BITS, _N_BITS, _PLACE_BITS = EPOCH_MAX.bit_length(), N_MAX.bit_length(), 48
# base64url of a block, without padding. A letter first: spreadsheets take what begins with a hyphen for a formula.
_PREFIX = "g"
_TEXT_LENGTH = 22
_ID = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{{_TEXT_LENGTH}}}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class EventIds:
    """One system's mapping from places in journals to ids that clients see, and back."""

    def __init__(self, key: bytes) -> None:
        """`key` is secret, and the same for the system's whole life. Raises ValueError for one of another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        # Single blocks that are all different: the one use for which ECB is right.
        cipher = Cipher(AES(key), ECB())  # noqa: S305
        # Neither has a state between blocks, so they are made once.
        self._encrypt, self._decrypt = cipher.encryptor().update, cipher.decryptor().update
        # Each send of a streak names its first one, so the same ids are needed again and again.
        self.of_streak = lru_cache(EVENT_IDS_CACHED_MAX)(self.of)

    def at(self, partition: int, position: Position) -> str:
        """The id of the event that an entry causes: 23 characters of the alphabet of ids. Raises ValueError."""
        epoch, n = position
        if epoch > EPOCH_MAX or n > N_MAX:
            raise ValueError(f"expected an epoch up to {EPOCH_MAX} and n up to {N_MAX}, got {position}")
        block = self._encrypt(_BLOCK.pack(partition << _EPOCH_BITS | epoch, n))
        return _PREFIX + b2a_base64(block, newline=False)[:_TEXT_LENGTH].translate(_URL_SAFE).decode()

    def of(self, place: str) -> str:
        """The same for `<partition>-<epoch>-<n>`."""
        partition, epoch, n = place.split("-")
        return self.at(int(partition), Position(int(epoch), int(n)))

    def place(self, public: str) -> str | None:
        """The `<partition>-<epoch>-<n>` of an id, None for an id that was never given out."""
        if not _ID.fullmatch(public):
            return None
        block = self._decrypt(urlsafe_b64decode(public[len(_PREFIX) :] + "=="))
        first, n = _BLOCK.unpack(block)
        if first >> _PLACE_BITS or n >> _N_BITS:
            return None
        partition, position = first >> _EPOCH_BITS, Position(first & EPOCH_MAX, n)
        # Several base64 texts decode to the same bits; only one of them is the id.
        return event_id(partition, position) if self.at(partition, position) == public else None
