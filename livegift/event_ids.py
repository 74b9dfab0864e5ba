"""What clients see of an event's place: an id that says nothing of whose partition it is (decision 020).

Inside, an event is `<partition>-<epoch>-<n>`, its entry's place in the journal. The partition is a function of the
sender's id, so in a room of some dozen people it tells who sent an anonymous gift. Outside it is one block of AES under
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
from livegift.limits import EPOCH_MAX, EVENT_IDS_CACHED_MAX, N_MAX

KEY_BYTES = 16
# Partition and epoch, then n: 16 + 32 and 48 bits. The two upper 16 bits are zero; what has something else there was
# never given out.
_BLOCK = Struct(">QQ")
_EPOCH_BITS, _N_BITS, _PLACE_BITS = EPOCH_MAX.bit_length(), N_MAX.bit_length(), 48
# base64url of a block, without padding. A letter first: spreadsheets take what begins with a hyphen for a formula.
_PREFIX = "g"
_TEXT_LENGTH = 22
_ID = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{{_TEXT_LENGTH}}}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class EventIds:
    """One system's ids: from places in journals to what clients see, and back."""

    def __init__(self, key: bytes) -> None:
        """`key` is secret, and the same for the system's whole life. Raises ValueError for one of another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        # Single blocks that are all different: the mode that is wrong for everything else.
        cipher = Cipher(AES(key), ECB())  # noqa: S305
        # Neither has a state between blocks, so they are made once.
        self._encrypt, self._decrypt = cipher.encryptor().update, cipher.decryptor().update
        # Each send of a streak names the first one, so these are asked for again and again.
        self.of_streak = lru_cache(EVENT_IDS_CACHED_MAX)(self.of)

    def at(self, partition: int, position: Position) -> str:
        """The id of the event that an entry causes: 23 characters of those that ids have. Raises ValueError."""
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
        """The `<partition>-<epoch>-<n>` of an id, None for what was never given out."""
        if not _ID.fullmatch(public):
            return None
        block = self._decrypt(urlsafe_b64decode(public[len(_PREFIX) :] + "=="))
        first, n = _BLOCK.unpack(block)
        if first >> _PLACE_BITS or n >> _N_BITS:
            return None
        partition, position = first >> _EPOCH_BITS, Position(first & EPOCH_MAX, n)
        # Several texts stand for the same bits; one of them is the id.
        return event_id(partition, position) if self.at(partition, position) == public else None
