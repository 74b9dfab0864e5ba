// What `/v1/ws` takes and says. Written by `make generate` from the contract and the features: change it there.

export type ClientCommand =
  | Ping
  | Hello
  | RoomJoin
  | RoomLeave
  | GiftSendCommand;

export type ServerMessage =
  | Welcome
  | Pong
  | Error
  | Bye
  | GiftAccepted
  | GiftRejected
  | Wallet
  | LimitReminder
  | CreatorCredited
  | RoomSnapshot
  | RoomEvents
  | RoomPulse
  | RoomGap;

export type AnyEvent =
  | GiftEvent
  | GiftRevokedEvent
  | RoomEvent
  | MatchEvent;

/** A sign of life; `t` is returned unchanged. */
export interface Ping {
  type: "ping";
  t?: unknown;
  /** any name: the answer, or its error, has the same */
  id?: string | number | null;
}

/** The first command of a connection. */
export interface Hello {
  type: "hello";
  /** a JWT of the host product, 1 to 8192 characters */
  token: string;
  /** any name: the answer, or its error, has the same */
  id?: string | number | null;
}

/** Watch a room, from `since` on when that is given. */
export interface RoomJoin {
  type: "room.join";
  room: string;
  /** the last `seq` that the client has; null: no earlier events, >= 0, <= 9,007,199,254,740,992 */
  since?: number | null;
  /** the epoch of `since`; null: the present one, >= 0, <= 9,007,199,254,740,992 */
  since_epoch?: number | null;
  /** any name: the answer, or its error, has the same */
  id?: string | number | null;
}

/** Stop watching a room. */
export interface RoomLeave {
  type: "room.leave";
  room: string;
  /** any name: the answer, or its error, has the same */
  id?: string | number | null;
}

/** Send a gift. */
export interface GiftSendCommand {
  type: "gift.send";
  /** the client's idempotency key: one for each gift */
  ref: string;
  room: string;
  /** the id of a gift in the catalogue */
  gift_id: string;
  /** pieces, >= 1, <= 9,999 */
  count?: number;
  /** the receiver; null for the room's creator */
  to?: string | null;
  /** coins for one piece, as the client shows it: another price is refused; null accepts any, >= 0, <= 10,000,000,000,000 */
  price?: number | null;
  /** shown to all viewers, 0 to 200 characters */
  message?: string | null;
  /** nobody in the room, not even its creator, learns who sent it */
  anonymous?: boolean;
  /** any name: the answer, or its error, has the same */
  id?: string | number | null;
}

/** The answer to `hello`. Overlays have no wallet. */
export interface Welcome {
  type: "welcome";
  /** that of the command which this answers */
  id?: string | number;
  user: User;
  /** the wallet's coins; below zero after a chargeback */
  balance?: number;
  /** the number of the wallet's last change: with a lower one it is outdated, >= 0 */
  wallet_seq?: number;
  /** this connection's name in the server's log */
  session_id: string;
  /** the server's time, in milliseconds since 1970, >= 0, <= 10,000,000,000,000 */
  server_ms: number;
  limits: Limits;
}

/** The sender of something. Anonymous senders have a name that they share, and no id. */
export interface User {
  /** missing for anonymous senders */
  id?: string;
  name: string;
  /** missing when there is none */
  avatar_url?: string;
}

/** The limits for a client. */
export interface Limits {
  /** rooms that a connection can have joined at once */
  rooms_max: number;
  /** pieces in one `gift.send` */
  gift_count_max: number;
  /** characters in a gift's message */
  message_length_max: number;
  /** bytes in a client's frame: a larger one ends the connection */
  frame_bytes_max: number;
  /** of one connection, with bursts of twice as many; 0: no limit */
  commands_per_s_max: number;
  /** a streak ends this long after its last send */
  combo_timeout_ms: number;
}

/** The answer to a ping; `t` is the JSON that came. */
export interface Pong {
  type: "pong";
  /** that of the command which this answers */
  id?: string | number;
  t: unknown;
  /** the server's time, in milliseconds since 1970, >= 0, <= 10,000,000,000,000 */
  server_ms: number;
}

/**
 * An error: a command was refused, or something has happened to the connection.
 *
 * `outcome: unknown`: whether a gift was charged is not known; sending the same `ref` again tells.
 */
export interface Error {
  type: "error";
  /** that of the command which this answers */
  id?: string | number;
  /** a code of the error table: decide by it */
  code: string;
  /** a sentence for people */
  message: string;
  /** the same command may be sent again unchanged */
  retryable: boolean;
  /** that of the gift which this is about */
  ref?: string;
  /** the room that this is about */
  room?: string;
  /** it may have been charged: send the same `ref` again to find out */
  outcome?: "unknown";
  /** how long to wait before sending it again, >= 0 */
  retry_after_ms?: number;
}

/** The process is stopping: reconnect after this time, to another one. */
export interface Bye {
  type: "bye";
  /** that of the command which this answers */
  id?: string | number;
  reason: "restarting";
  /** wait this long, then connect again, >= 0 */
  reconnect_in_ms: number;
}

/** A gift was charged, now or (`duplicate`) when the same ref came first. `balance` is the current one. */
export interface GiftAccepted {
  type: "gift.result";
  /** that of the command which this answers */
  id?: string | number;
  /** the client's idempotency key: one for each gift */
  ref: string;
  /** duplicate: this `ref` was charged before, and not again */
  status: "accepted" | "duplicate";
  /** the `id` of the gift's event in the room, 1 to 160 characters */
  gift_event_id: string;
  /** charged for all pieces of this send, >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** the wallet's coins; below zero after a chargeback */
  balance: number;
  /** the number of the wallet's last change: with a lower one it is outdated, >= 0 */
  wallet_seq: number;
  combo: Combo;
}

/** A streak: the id of its first gift's event, and how many pieces it has so far. */
export interface Combo {
  /** the id of its first gift's event, 1 to 160 characters */
  id: string;
  /** pieces in the streak so far, >= 0 */
  repeat_count: number;
}

/** A gift was refused: certainly nothing was charged. */
export interface GiftRejected {
  type: "gift.result";
  /** that of the command which this answers */
  id?: string | number;
  /** the client's idempotency key: one for each gift */
  ref: string;
  status: "rejected";
  /** a code of the error table: decide by it */
  code: string;
  /** a sentence for people */
  message: string;
  /** the same command may be sent again unchanged */
  retryable: boolean;
  /** coins that are missing for this gift, >= 0, <= 10,000,000,000,000 */
  shortfall?: number;
  /** only with the code limit_exceeded */
  limit?: Limit;
  /** how long to wait before sending it again, >= 0 */
  retry_after_ms?: number;
  /** the wallet's coins; missing when they could not be read */
  balance?: number;
}

/** The spending limit that a gift would exceed, and when its count restarts (null: never). */
export interface Limit {
  /** it limits the coins of one send, a day or a month */
  kind: "day" | "month" | "per_gift";
  /** set by the viewer (own) or by the operator */
  whose: "operator" | "own";
  /** coins, >= 0, <= 10,000,000,000,000 */
  allowed: number;
  /** coins, without this gift, >= 0, <= 10,000,000,000,000 */
  used: number;
  /** when `used` returns to 0, in milliseconds since 1970; null: never, >= 0, <= 10,000,000,000,000 */
  resets_ms: number | null;
}

/**
 * A wallet has changed, through another connection or an order. A higher `seq` is newer.
 *
 * Redis writes most of these itself (`tell` of accounts.lua).
 */
export interface Wallet {
  type: "wallet";
  /** that of the command which this answers */
  id?: string | number;
  /** the wallet's coins; below zero after a chargeback */
  balance: number;
  /** the number of the wallet's last change: with a lower one it is outdated, >= 0 */
  seq: number;
  /** what has changed it, such as gift, order or refund; resync: messages were lost */
  reason: string;
}

/** A percentage of a spending limit is used. Redis writes this itself (`use` of limits.lua). */
export interface LimitReminder {
  type: "limit.reminder";
  /** that of the command which this answers */
  id?: string | number;
  kind: "day" | "month";
  /** the highest threshold of the limit that is reached, >= 1, <= 100 */
  percent: number;
  /** coins, >= 0, <= 10,000,000,000,000 */
  allowed: number;
  /** coins, with this gift, >= 0, <= 10,000,000,000,000 */
  used: number;
}

/** Diamonds were booked for a creator; `matched_diamonds` of them came from sponsors. */
export interface CreatorCredited {
  type: "creator.credited";
  /** that of the command which this answers */
  id?: string | number;
  /** the booking, as in statements */
  batch_id: string;
  /** booked now, with `matched_diamonds`, >= 0 */
  diamonds: number;
  /** the creator's diamonds now, pending ones included */
  balance: number;
  /** paid for by sponsors; missing when there are none, >= 0 */
  matched_diamonds?: number;
}

/**
 * A room as it is at `seq`, with the events after `since` if that was given.
 *
 * Values that features keep in the room are lists of their own.
 */
export interface RoomSnapshot {
  type: "room.snapshot";
  /** that of the command which this answers */
  id?: string | number;
  room: string;
  /** missing while the ledger is away */
  creator?: Creator;
  /** missing while the ledger is away */
  status?: "ended" | "live";
  /** missing while the ledger is away */
  title?: string;
  /** connections that have joined, over all web processes, >= 0 */
  viewers: number;
  /** `events` are all those after `since`; false: some are no longer available */
  complete: boolean;
  /** `seq` counts in it: in another epoch the numbers start again, >= 0, <= 9,007,199,254,740,992 */
  epoch: number;
  /** number of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq: number;
  totals: Totals;
  /** the 10 gifters with the most coins, at most */
  top: Array<Ranked>;
  /** open streaks: the latest event of each */
  combos: Array<GiftEvent>;
  /** those after `since`, in order of `seq`; none without it */
  events: Array<AnyEvent>;
  matches: Array<MatchView>;
}

/** The creator of a room. */
export interface Creator {
  id: string;
  name: string;
}

/** A room's sums. Rooms write them themselves (`totals_json` of gifters.lua), as they do `Ranked`. */
export interface Totals {
  /** sends; revoked ones do not count, >= 0 */
  gifts: number;
  /** spent on them, >= 0 */
  coins: number;
  /** earned by them, >= 0 */
  diamonds: number;
  /** users who have sent a gift under their name, >= 0 */
  gifters: number;
}

/** One of the top gifters. */
export interface Ranked {
  user: User;
  /** spent in this room under the user's name, >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** 1 for the most coins, >= 1 */
  rank: number;
}

/**
 * A gift was sent, or with `repeat_end` and a `count` of 0 its streak has ended.
 *
 * `count`, `coins` and `diamonds` are of this send, or of `merged` sends of the streak; `repeat_count` is the streak's
 * sum so far.
 */
export interface GiftEvent {
  type: "gift";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since 1970; anonymous gifts: in whole seconds, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** number of the event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  /** pieces; 0 in an event that only ends a streak, >= 0 */
  count: number;
  /** the id of the streak's first event, 1 to 160 characters */
  combo_id: string;
  /** pieces of the streak so far, >= 0 */
  repeat_count: number;
  /** no other send joins it; also true for gifts that make no streaks */
  repeat_end: boolean;
  /** of these pieces together, >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** of these pieces together, >= 0, <= 10,000,000,000,000 */
  diamonds: number;
  /** the sender's id and name are not shown */
  anonymous: boolean;
  user: User;
  to_user: Receiver;
  gift: GiftKind;
  /** missing when there is none */
  message?: string;
  /** sends in this event; missing when it is one, >= 2 */
  merged?: number;
}

/** The receiver of a gift. */
export interface Receiver {
  id: string;
  name: string;
}

/** A gift of the catalogue. `coins` is the price and `diamond_count` what the creator earns, for one piece. */
export interface GiftKind {
  id: string;
  /** as people see it */
  name: string;
  /** the price of one piece */
  coins: number;
  /** what the creator earns for one piece */
  diamond_count: number;
  /** whether sends that follow each other make a streak */
  streakable: boolean;
  /** how prominently to show it, from 1 to 3 */
  tier: number;
  /** an emoji, or the https address of a picture */
  icon: string;
}

/** A match as viewers see it. Numbers are absolute, so the next event repairs what was lost. */
export interface MatchView {
  match_id: string;
  /** the name that viewers see; for operators the user whose coins these are */
  sponsor: string;
  title: string;
  /** null: all gifts are matched */
  gift_id: string | null;
  /** pieces added to each that is sent: 1 doubles */
  factor: number;
  /** of the budget, added to gifts so far, >= 0, <= 10,000,000,000,000 */
  used_coins: number;
  /** what the sponsor has paid for, >= 0, <= 10,000,000,000,000 */
  budget_coins: number;
  status: "active" | "ended" | "exhausted" | "funding" | "returned";
  /** milliseconds since 1970; null: when its sponsor pays, >= 0, <= 10,000,000,000,000 */
  starts_ms: number | null;
  /** milliseconds since 1970; null: when the budget is used, >= 0, <= 10,000,000,000,000 */
  ends_ms: number | null;
}

/** The events of a room from `first_seq` to `seq`: all of them, or all but those omitted or merged. */
export interface RoomEvents {
  type: "room.events";
  /** that of the command which this answers */
  id?: string | number;
  room: string;
  /** `seq` counts in it: in another epoch the numbers start again, >= 0, <= 9,007,199,254,740,992 */
  epoch: number;
  /** the first `seq` that this frame covers, even if it is omitted, >= 0, <= 9,007,199,254,740,992 */
  first_seq: number;
  /** the last `seq` that this frame covers, >= 0, <= 9,007,199,254,740,992 */
  seq: number;
  /** as they are after event `seq` */
  totals: Totals;
  /** the 10 gifters with the most coins, at most */
  top?: Array<Ranked>;
  /** what the frame leaves out; missing when that is nothing */
  omitted?: Omitted;
  /** in order of `seq` */
  events: Array<AnyEvent>;
}

/** The gifts (sends, as in the totals) that a frame leaves out, and their coins; and how many `others`. */
export interface Omitted {
  /** sends, >= 0 */
  count: number;
  /** of these sends, >= 0 */
  coins: number;
  /** events of other kinds, >= 0 */
  others?: number;
}

/** The latest values, which have no `seq`. Without `top` the ranks are unchanged. */
export interface RoomPulse {
  type: "room.pulse";
  /** that of the command which this answers */
  id?: string | number;
  room: string;
  /** connections that have joined, over all web processes, >= 0 */
  viewers: number;
  /** the 10 gifters with the most coins, at most */
  top?: Array<Ranked>;
}

/** A gap: these events are no longer available; a snapshot shows the resulting state. */
export interface RoomGap {
  type: "room.gap";
  /** that of the command which this answers */
  id?: string | number;
  room: string;
  /** the first `seq` that is missing, >= 0, <= 9,007,199,254,740,992 */
  from_seq: number;
  /** the last `seq` that is missing, >= 0, <= 9,007,199,254,740,992 */
  to_seq: number;
}

/** A gift no longer counts. Rooms write this event themselves (`revoked_body` of rooms.lua). */
export interface GiftRevokedEvent {
  type: "gift.revoked";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since 1970; anonymous gifts: in whole seconds, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** number of the event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  /** the `id` of the gift's event, 1 to 160 characters */
  gift_event_id: string;
  /** the id of its streak's first event, 1 to 160 characters */
  combo_id: string;
  /** pieces that no longer count, >= 0 */
  count: number;
  /** that no longer count, >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** that no longer count, >= 0, <= 10,000,000,000,000 */
  diamonds: number;
}

/** A room was opened or has ended. */
export interface RoomEvent {
  type: "room";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since 1970; anonymous gifts: in whole seconds, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** number of the event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  status: "ended" | "live";
  title: string;
}

/** A match as it is now: absolute numbers, so that the next event heals what was lost. */
export interface MatchEvent {
  type: "match";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since 1970; anonymous gifts: in whole seconds, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** number of the event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  match_id: string;
  /** the name that viewers see */
  sponsor: string;
  title: string;
  /** null: all gifts are matched */
  gift_id: string | null;
  /** pieces added to each that is sent: 1 doubles */
  factor: number;
  /** of the budget, added to gifts so far, >= 0, <= 10,000,000,000,000 */
  used_coins: number;
  /** what the sponsor has paid for, >= 0, <= 10,000,000,000,000 */
  budget_coins: number;
  status: "active" | "ended" | "exhausted" | "funding" | "returned";
  /** milliseconds since 1970; null: when its sponsor pays, >= 0, <= 10,000,000,000,000 */
  starts_ms: number | null;
  /** milliseconds since 1970; null: when the budget is used, >= 0, <= 10,000,000,000,000 */
  ends_ms: number | null;
}
