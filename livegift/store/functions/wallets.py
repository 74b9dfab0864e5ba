"""The signatures of gifts.lua, changes.lua, limits.lua and streaks.lua.

Where money moves, the reply is a text for `wallets.parse_outcome`: a record `accepted`, `duplicate` or `refused`, or
'error|' and a message, when the outcome is unknown.
"""

from typing import Annotated, NamedTuple

from livegift.store.functions.signature import (
    Amount,
    Argument,
    Digits,
    Flag,
    Json,
    Key,
    Packed,
    Repeated,
    SignedAmount,
    Text,
    redis_function,
)


class Gift(NamedTuple):
    """A gift to debit.

    `cost` is in coins, or '!' and the code that refuses the gift. `streak_key` is '' when the gift can't be part of a
    streak. `fragment` is what the journal keeps of the gift unchanged (see `contract.journal.SentGift`).
    """

    user: Text
    ref: Text
    payload_hash: Text
    cost: Text
    gift_count: Text
    streak_key: Text
    policy: Text
    fragment: Json


@redis_function()
def gift_send(
    root: Key,
    hub_now_ms: Amount,
    clock_difference_max_ms: Amount,
    combo_timeout_ms: Amount,
    ref_ttl_s: Amount,
    gifts: Annotated[list[Argument], Packed(Gift)],
) -> None:
    """Debit gifts of one partition's wallets, in order. Returns an outcome for each.

    Nothing new is accepted while the clocks of the hub and Redis differ by more than `clock_difference_max_ms`. Fails
    when a number before the gifts is not a decimal number.
    """


@redis_function()
def wallet_credit(
    root: Key, ref_ttl_s: Amount, user: Text, ref: Text, payload_hash: Text, delta: Amount, reason: Text
) -> None:
    """Add coins to a wallet, once per ref. Returns an outcome. Fails when `ref_ttl_s` is not a decimal number."""


@redis_function()
def wallet_correct(
    root: Key,
    ref_ttl_s: Amount,
    user: Text,
    ref: Text,
    payload_hash: Text,
    delta: SignedAmount,
    reason: Text,
    overdraw: Flag,
) -> None:
    """Change a wallet by a signed number of coins, once per ref. Returns an outcome.

    The balance may go below zero only with `overdraw`; then the wallet can't send. Fails when `ref_ttl_s` is not a
    decimal number.
    """


@redis_function()
def wallet_revoke(
    root: Key,
    ref_ttl_s: Amount,
    user: Text,
    ref: Text,
    payload_hash: Text,
    delta: Amount,
    reason: Text,
    gift_json: Json,
    streak_key: Text,
    combo_id: Text,
    count: Amount,
) -> None:
    """Give back the coins of a gift, once per ref, and take its `count` out of its streak. Returns an outcome.

    `gift_json` is the gift as it is in the journal (GiftRevoked). Fails when `ref_ttl_s` or `count` is not a decimal
    number.
    """


@redis_function()
def wallet_limits(
    root: Key,
    user: Text,
    version: Amount,
    delay_ms: Amount,
    per_gift: Text,
    day: Text,
    month: Text,
    frozen: Text,
    why_json: Json,
    by: Text,
) -> None:
    """Change limits, freeze or thaw a wallet. Returns 'set|' and the new version, or an outcome other than `accepted`.

    `version` is the one that the caller knows; the call is refused when it is not the current one. Raised limits count
    after `delay_ms`. `per_gift`, `day` and `month` are '' for no limit; a `per_gift` of '-' leaves all three unchanged.
    `frozen` is '1' to freeze, '0' to thaw, '' for neither. Fails when `version` or `delay_ms` is not a decimal number.
    """


@redis_function(writes=False)
def wallets_read(root: Key, users: Repeated[Text]) -> None:
    """Return balance, seq, '1' if frozen, limits and usage of each wallet, in one list, whatever form it has."""


@redis_function(allow_oom=True)
def streaks_sweep(root: Key, at_most: Digits, room: Text) -> None:
    """End the expired streaks, and all of `room` ('' for none). Returns how many are open, -1 if not armed."""
