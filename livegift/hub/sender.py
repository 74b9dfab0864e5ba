"""A connection's sender of gifts, and this process's checks of a gift before the wallet decides."""

import time
from functools import cached_property

from livegift.contract.commands import GiftSendCommand
from livegift.contract.encoding import encode
from livegift.contract.errors import RequestError
from livegift.contract.events import ANONYMOUS_SENDER, sender_shown, shown
from livegift.contract.messages import Limit
from livegift.domain.allowances import Exceeded
from livegift.domain.regions import Region, Windows, may_give, region_of, windows
from livegift.domain.spending import GiftSend
from livegift.ledger.rooms import Room
from livegift.resources.resources import Resources
from livegift.runtime.identity import Identity
from livegift.store.wallets import Display, payload_hash

Prepared = tuple[GiftSend, Display]


class Sender:
    """A user with one token."""

    def __init__(self, identity: Identity, resources: Resources) -> None:
        """Take the claims of the token."""
        self.identity = identity
        self._directory = resources.directory
        self._settings = resources.settings
        self._windows: Windows | None = None

    # Found out with the first gift, as most who watch send none.

    @cached_property
    def _shown(self) -> str:
        return sender_shown(self.identity.shown_name, self.identity.shown_avatar_url)

    @cached_property
    def _region(self) -> Region:
        return region_of(self.identity.region)

    @cached_property
    def _is_old_enough(self) -> bool:
        return may_give(self._region, self.identity.age, age_verified=self.identity.age_verified)

    def prepare_at_once(self, command: GiftSendCommand) -> Prepared | None:
        """Return the gift with this process's verdict; None if the ledger has to be asked first (`prepare`)."""
        room = self._directory.fresh_room(command.room)
        if room is None or not self._directory.knows_receiver(command.to, room):
            return None
        return self._prepared(command, room, self._verdict(command, room, is_receiver=True))

    async def prepare(self, command: GiftSendCommand) -> Prepared:
        """Return the gift with this process's verdict, after asking the ledger about room and receiver."""
        room: Room | None = None
        try:
            room = await self._directory.room(command.room)
            is_receiver = room is not None and await self._directory.is_receiver(command.to or room.creator_id, room)
            verdict = self._verdict(command, room, is_receiver=is_receiver)
        except RequestError as error:
            verdict = error.code if self._is_old_enough else "age_restricted"
        return self._prepared(command, room, verdict)

    def limit(self, limit: Exceeded) -> Limit:
        """Return the exceeded limit, and when it resets."""
        now = self._windows
        ends = {} if now is None else {"day": now.day_ends_ms, "month": now.month_ends_ms}
        return Limit(**limit._asdict(), resets_ms=ends.get(limit.kind))

    def _prepared(self, command: GiftSendCommand, room: Room | None, verdict: str) -> Prepared:
        """Return a gift with its verdict: the code of a reason to refuse it, or ''.

        Only the wallet knows whether this ref was accepted before; then the first answer is repeated, whatever has
        changed since.
        """
        kind = self._directory.gifts.get(command.gift_id)
        to = command.to or (room.creator_id if room else "")
        gift = GiftSend(
            user=self.identity.user,
            ref=command.ref,
            payload_hash=payload_hash(
                command.room,
                command.gift_id,
                command.count,
                command.to,
                command.price,
                command.message,
                command.anonymous,
            ),
            room=command.room,
            to=to,
            gift_id=command.gift_id,
            price=kind.coins if kind else 0,
            count=command.count,
            diamond_count=kind.diamond_count if kind else 0,
            streakable=kind.streakable if kind else False,
            anonymous=command.anonymous,
            verdict=verdict,
            policy=self._windows_now().policy,
        )
        if kind is None or room is None:
            return gift, Display("null")
        to_name = room.creator_name if to == room.creator_id else to
        message = encode(command.message).decode() if command.message else "0"
        sender = ANONYMOUS_SENDER if command.anonymous else self._shown
        return gift, Display(shown(sender, self._directory.details(to, to_name, kind)), message)

    def _windows_now(self) -> Windows:
        """Return the viewer's day and month, which are looked up again when the day is over."""
        now_ms = int(time.time() * 1000)
        found = self._windows
        if found is None or now_ms >= found.day_ends_ms:
            found = self._windows = windows(
                self._region, now_ms, self.identity.age, self._settings.gifts_per_minute_max or None
            )
        return found

    def _verdict(self, command: GiftSendCommand, room: Room | None, *, is_receiver: bool) -> str:
        kind = self._directory.gifts.get(command.gift_id)
        if not self._is_old_enough:
            return "age_restricted"
        if room is None:
            return "room_not_found"
        if not room.is_live and room.kind == "live":
            return "room_ended"
        if kind is None:
            return "gift_not_found"
        to = command.to or room.creator_id
        to_oneself = to == self.identity.user and not self._settings.self_gifts
        if to_oneself or not is_receiver:
            return "receiver_not_found"
        return "price_changed" if command.price not in (None, kind.coins) else ""
