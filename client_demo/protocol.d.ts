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
  id?: string | number | null;
}

/** The first command of a connection. */
export interface Hello {
  type: "hello";
  /** 1 to 8192 characters */
  token: string;
  id?: string | number | null;
}

/** Watch a room, from `since` on when that is given. */
export interface RoomJoin {
  type: "room.join";
  room: string;
  since?: number | null;
  since_epoch?: number | null;
  id?: string | number | null;
}

/** Stop watching a room. */
export interface RoomLeave {
  type: "room.leave";
  room: string;
  id?: string | number | null;
}

/** Send a gift. */
export interface GiftSendCommand {
  type: "gift.send";
  /** the client's idempotency key */
  ref: string;
  room: string;
  gift_id: string;
  /** >= 1, <= 9,999 */
  count?: number;
  to?: string | null;
  price?: number | null;
  message?: string | null;
  anonymous?: boolean;
  id?: string | number | null;
}

/** The answer to `hello`. Overlays have no wallet. */
export interface Welcome {
  type: "welcome";
  id?: string | number;
  user: User;
  balance?: number;
  /** >= 0 */
  wallet_seq?: number;
  session_id: string;
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  server_ms: number;
  limits: Limits;
}

/** The sender of something. Anonymous senders have a name that they share, and no id. */
export interface User {
  id?: string;
  name: string;
  avatar_url?: string;
}

/** The limits for a client. */
export interface Limits {
  rooms_max: number;
  gift_count_max: number;
  message_length_max: number;
  frame_bytes_max: number;
  commands_per_s_max: number;
  combo_timeout_ms: number;
}

/** The answer to a ping; `t` is the JSON that came. */
export interface Pong {
  type: "pong";
  id?: string | number;
  t: unknown;
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  server_ms: number;
}

/**
 * An error: a command was refused, or something has happened to the connection.
 *
 * `outcome: unknown`: whether a gift was charged is not known; sending the same `ref` again tells.
 */
export interface Error {
  type: "error";
  id?: string | number;
  code: string;
  message: string;
  retryable: boolean;
  /** the client's idempotency key */
  ref?: string;
  room?: string;
  outcome?: "unknown";
  /** >= 0 */
  retry_after_ms?: number;
}

/** The process is stopping: reconnect after this time, to another one. */
export interface Bye {
  type: "bye";
  id?: string | number;
  reason: "restarting";
  /** >= 0 */
  reconnect_in_ms: number;
}

/** A gift was charged, now or (`duplicate`) when the same ref came first. `balance` is the current one. */
export interface GiftAccepted {
  type: "gift.result";
  id?: string | number;
  /** the client's idempotency key */
  ref: string;
  status: "accepted" | "duplicate";
  /** opaque, 1 to 160 characters */
  gift_event_id: string;
  /** >= 0, <= 10,000,000,000,000 */
  coins: number;
  balance: number;
  /** >= 0 */
  wallet_seq: number;
  combo: Combo;
}

/** A streak: the id of its first gift's event, and how many pieces it has so far. */
export interface Combo {
  /** opaque, 1 to 160 characters */
  id: string;
  /** >= 0 */
  repeat_count: number;
}

/** A gift was refused: certainly nothing was charged. */
export interface GiftRejected {
  type: "gift.result";
  id?: string | number;
  /** the client's idempotency key */
  ref: string;
  status: "rejected";
  code: string;
  message: string;
  retryable: boolean;
  /** >= 0, <= 10,000,000,000,000 */
  shortfall?: number;
  limit?: Limit;
  /** >= 0 */
  retry_after_ms?: number;
  balance?: number;
}

/** The spending limit that a gift would exceed, and when its count restarts (None: never). */
export interface Limit {
  kind: "day" | "month" | "per_gift";
  whose: "operator" | "own";
  /** >= 0, <= 10,000,000,000,000 */
  allowed: number;
  /** >= 0, <= 10,000,000,000,000 */
  used: number;
  resets_ms: number | null;
}

/**
 * A wallet has changed, through another connection or an order. A higher `seq` is newer.
 *
 * Redis writes most of these itself (`tell` of accounts.lua).
 */
export interface Wallet {
  type: "wallet";
  id?: string | number;
  balance: number;
  /** >= 0 */
  seq: number;
  reason: string;
}

/** A percentage of a spending limit is used. Redis writes this itself (`use` of limits.lua). */
export interface LimitReminder {
  type: "limit.reminder";
  id?: string | number;
  kind: "day" | "month";
  /** >= 1, <= 100 */
  percent: number;
  /** >= 0, <= 10,000,000,000,000 */
  allowed: number;
  /** >= 0, <= 10,000,000,000,000 */
  used: number;
}

/** Diamonds were booked for a creator; `matched_diamonds` of them came from sponsors. */
export interface CreatorCredited {
  type: "creator.credited";
  id?: string | number;
  batch_id: string;
  /** >= 0 */
  diamonds: number;
  balance: number;
  /** >= 0 */
  matched_diamonds?: number;
}

/**
 * A room as it is at `seq`, with the events after `since` if that was given.
 *
 * `complete`: these are all of them. `creator`, `status` and `title` are missing while the ledger is away. Values that
 * features keep in the room are lists of their own.
 */
export interface RoomSnapshot {
  type: "room.snapshot";
  id?: string | number;
  room: string;
  creator?: Creator;
  status?: "ended" | "live";
  title?: string;
  /** >= 0 */
  viewers: number;
  complete: boolean;
  /** in which seq counts; another one means a new start, >= 0, <= 9,007,199,254,740,992 */
  epoch: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq: number;
  totals: Totals;
  top: Array<Ranked>;
  combos: Array<GiftEvent>;
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
  /** >= 0 */
  gifts: number;
  /** >= 0 */
  coins: number;
  /** >= 0 */
  diamonds: number;
  /** >= 0 */
  gifters: number;
}

/** One of the top gifters. */
export interface Ranked {
  user: User;
  /** >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** >= 1 */
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
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  /** >= 0 */
  count: number;
  /** opaque, 1 to 160 characters */
  combo_id: string;
  /** >= 0 */
  repeat_count: number;
  repeat_end: boolean;
  /** >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** >= 0, <= 10,000,000,000,000 */
  diamonds: number;
  anonymous: boolean;
  user: User;
  to_user: Receiver;
  gift: GiftKind;
  message?: string;
  /** >= 2 */
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
  name: string;
  coins: number;
  diamond_count: number;
  streakable: boolean;
  tier: number;
  icon: string;
}

/** A match as viewers see it. Numbers are absolute, so the next event repairs what was lost. */
export interface MatchView {
  match_id: string;
  /** the name that viewers see; for operators the user whose coins these are */
  sponsor: string;
  title: string;
  gift_id: string | null;
  factor: number;
  /** >= 0, <= 10,000,000,000,000 */
  used_coins: number;
  /** >= 0, <= 10,000,000,000,000 */
  budget_coins: number;
  status: "active" | "ended" | "exhausted" | "funding" | "returned";
  starts_ms: number | null;
  ends_ms: number | null;
}

/** The events of a room from `first_seq` to `seq`: all of them, or all but those omitted or merged. */
export interface RoomEvents {
  type: "room.events";
  id?: string | number;
  room: string;
  /** in which seq counts; another one means a new start, >= 0, <= 9,007,199,254,740,992 */
  epoch: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  first_seq: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq: number;
  totals: Totals;
  top?: Array<Ranked>;
  omitted?: Omitted;
  events: Array<AnyEvent>;
}

/** The gifts (sends, as in the totals) that a frame leaves out, and their coins; and how many `others`. */
export interface Omitted {
  /** >= 0 */
  count: number;
  /** >= 0 */
  coins: number;
  /** >= 0 */
  others?: number;
}

/** The latest values, which have no `seq`. Without `top` the ranks are unchanged. */
export interface RoomPulse {
  type: "room.pulse";
  id?: string | number;
  room: string;
  /** >= 0 */
  viewers: number;
  top?: Array<Ranked>;
}

/** A gap: these events are no longer available; a snapshot shows the resulting state. */
export interface RoomGap {
  type: "room.gap";
  id?: string | number;
  room: string;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  from_seq: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  to_seq: number;
}

/** A gift no longer counts. Rooms write this event themselves (`revoked_body` of rooms.lua). */
export interface GiftRevokedEvent {
  type: "gift.revoked";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  /** opaque, 1 to 160 characters */
  gift_event_id: string;
  /** opaque, 1 to 160 characters */
  combo_id: string;
  /** >= 0 */
  count: number;
  /** >= 0, <= 10,000,000,000,000 */
  coins: number;
  /** >= 0, <= 10,000,000,000,000 */
  diamonds: number;
}

/** A room was opened or has ended. */
export interface RoomEvent {
  type: "room";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  status: "ended" | "live";
  title: string;
}

/** A match as it is now: absolute numbers, so that the next event heals what was lost. */
export interface MatchEvent {
  type: "match";
  /** opaque, 1 to 160 characters */
  id: string;
  /** milliseconds since the epoch, >= 0, <= 10,000,000,000,000 */
  ts_ms: number;
  /** place of an event in its room, from 1 on, >= 0, <= 9,007,199,254,740,992 */
  seq?: number;
  match_id: string;
  sponsor: string;
  title: string;
  gift_id: string | null;
  factor: number;
  /** >= 0, <= 10,000,000,000,000 */
  used_coins: number;
  /** >= 0, <= 10,000,000,000,000 */
  budget_coins: number;
  status: "active" | "ended" | "exhausted" | "funding" | "returned";
  starts_ms: number | null;
  ends_ms: number | null;
}
