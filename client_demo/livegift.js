/**
 * LiveGift: the client library. Standard WebSocket only: no DOM, no dependency; it runs in browsers, workers and Node.
 *
 *     const client = new LiveGift({ url: "wss://…/v1/ws", getToken: async () => "…" });
 *     client.addEventListener("events", ({ detail }) => show(detail.events));
 *     client.join("room-1");
 *     client.connect();
 *     const result = await client.sendGift({ room: "room-1", gift_id: "rose", count: 10 });
 *
 * It keeps the promises of the protocol for its user: it reconnects with jittered back-off, joins again from the last
 * `seq` it saw, drops what was seen, asks again when a frame is missing, and repeats a gift of unknown outcome with the
 * same `ref`.
 *
 * Events, all `CustomEvent`s; `detail` holds:
 * - `state`: `{state, reason?, code?, retryInMs?}` with `state` one of `idle`, `connecting`, `ready`, `draining`
 *   (the server is about to go), `waiting` (for the next attempt), `stopped` (gave up, see `reason`), `closed`
 * - `welcome`: the message
 * - `balance`: `{balance, reason}` of the own wallet
 * - `snapshot`: a `room.snapshot`, its `events` without what was seen before
 * - `events`: a `room.events`, likewise
 * - `gap`: `{room, count}`: so many events were missed for good; `count` is null when nobody can say
 * - `pulse`, `credited`: the messages
 * - `reminder`: `{kind, percent, allowed, used}`: `percent` of one of the viewer's spending limits is used
 * - `join.failed`: `{room, code, message, willRetry}`
 * - `pending`: `{waiting, unknown}`: gifts without an answer
 * - `gift.settled`: the GiftResult of a gift whose promise was answered `unknown`
 * - `problem`: an `error` message about nothing of the above
 *
 * @typedef {import("./livegift-sends.js").GiftResult} GiftResult
 * @typedef {import("./livegift-rooms.js").Arrival} Arrival
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

import { Link } from "./livegift-link.js";
import { RoomTracker } from "./livegift-rooms.js";
import { SendQueue, newRef } from "./livegift-sends.js";

const LIMITS = Object.freeze({ joinTimeoutMs: 8_000, joinRetryMs: 3_000, resyncPaceMs: 1_000 });

/** `error` codes that can be the answer to a `room.join`, and whether asking again can help. */
const JOIN_ERRORS = new Map([
  ["room_not_found", true],
  ["unavailable", true],
  ["internal", true],
  ["rate_limited", true],
  ["forbidden", false],
  ["too_many_rooms", false],
  ["invalid", false],
]);

/** One user's connection to a livegift server. */
export class LiveGift extends EventTarget {
  /** @type {number|null} coins of the own wallet */
  balance = null;

  #link;
  #sends;
  /** @type {Map<string, RoomTracker>} */
  #rooms = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} next `room.join` per room */
  #joinTimers = new Map();
  #walletSeq = -1;

  /**
   * @param {object} options
   * @param {string} options.url of the WebSocket
   * @param {() => Promise<string>} options.getToken a fresh token of the host product; when what it throws has a true
   *   `permanent`, the client stops instead of asking again
   * @param {typeof WebSocket} [options.WebSocketClass] for runtimes that have none: Node before 22 needs the one of `ws`
   * @param {Partial<typeof import("./livegift-sends.js").SEND_LIMITS>} [options.sendLimits]
   */
  constructor({ url, getToken, WebSocketClass = globalThis.WebSocket, sendLimits }) {
    super();
    if (typeof WebSocketClass !== "function")
      throw new TypeError(
        "LiveGift needs a WebSocket class, and this runtime has none (Node has one from 22 on): " +
          'pass one, such as { WebSocketClass: WebSocket } with `import WebSocket from "ws"`',
      );
    this.#link = new Link({
      url,
      getToken,
      WebSocketClass,
      onState: (detail) => this.#onState(detail),
      onMessage: (message) => this.#onMessage(message),
    });
    this.#sends = new SendQueue({
      transmit: (command) => this.#link.send(command),
      onLate: (result) => this.#emit("gift.settled", result),
      onChange: (pending) => this.#emit("pending", pending),
      limits: sendLimits,
    });
  }

  /** @returns {import("./livegift-link.js").LinkState} */
  get state() {
    return this.#link.state;
  }

  /** Connect, and stay connected until `close`. */
  connect() {
    this.#link.connect();
  }

  /** Try at once instead of waiting for the back-off: for when the network has come back. */
  reconnectNow() {
    this.#link.reconnectNow();
  }

  /** Disconnect for good. Gifts that never went out are not sent. */
  close() {
    this.#link.close();
  }

  /** Watch a room, now and after every reconnect. @param {string} room */
  join(room) {
    if (this.#rooms.has(room)) return;
    this.#rooms.set(room, new RoomTracker(room));
    this.#sendJoin(room);
  }

  /** Watch it no more. @param {string} room */
  leave(room) {
    if (!this.#rooms.delete(room)) return;
    clearTimeout(this.#joinTimers.get(room));
    this.#link.send({ type: "room.leave", room });
  }

  /**
   * Send a gift. Charged at most once, whatever happens to the connection.
   *
   * @param {object} gift
   * @param {string} gift.room
   * @param {string} gift.gift_id
   * @param {number} [gift.count]
   * @param {string} [gift.to]
   * @param {number} [gift.price] coins per gift that the sender saw
   * @param {string} [gift.message]
   * @param {boolean} [gift.anonymous]
   * @param {string} [gift.ref] only to repeat an earlier send; a fresh one by default
   * @returns {Promise<GiftResult>} never rejects
   */
  sendGift({ ref = newRef(), count = 1, ...gift }) {
    return this.#sends.send({ type: "gift.send", ref, count, ...gift });
  }

  /** @param {string} type @param {any} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {{state: import("./livegift-link.js").LinkState}} detail */
  #onState(detail) {
    if (detail.state === "ready") this.#onReady();
    else if (detail.state === "draining") this.#sends.pause();
    else this.#onDown(detail.state === "stopped" || detail.state === "closed");
    this.#emit("state", detail);
  }

  #onReady() {
    for (const room of this.#rooms.keys()) this.#sendJoin(room);
    this.#sends.resume();
  }

  /** @param {boolean} forGood */
  #onDown(forGood) {
    for (const timer of this.#joinTimers.values()) clearTimeout(timer);
    for (const tracker of this.#rooms.values()) tracker.disconnected();
    if (forGood) this.#sends.close();
    else this.#sends.pause();
  }

  // --- What the server says ---------------------------------------------------------------------------------------

  /** @param {ServerMessage} message */
  #onMessage(message) {
    // Types that are not known are of a newer server: left alone, as the protocol's promise to only add requires.
    if (!Object.hasOwn(this.#handlers, message?.type)) return;
    /** @type {((message: any) => void)|undefined} the one of its type */
    const handler = this.#handlers[message.type];
    handler?.(message);
  }

  /** @type {{[T in ServerMessage["type"]]?: (message: Extract<ServerMessage, {type: T}>) => void}} */
  #handlers = {
    welcome: (message) => this.#onWelcome(message),
    "room.snapshot": (message) => this.#onRoom(message, (tracker) => tracker.onSnapshot(message)),
    "room.events": (message) => this.#onRoom(message, (tracker) => tracker.onEvents(message)),
    "room.gap": (message) => this.#onGap(message),
    "room.pulse": (message) => this.#emit("pulse", message),
    "gift.result": (message) => this.#onResult(message),
    wallet: (message) => this.#onWallet(message),
    "creator.credited": (message) => this.#emit("credited", message),
    "limit.reminder": (message) => this.#emit("reminder", message),
    error: (message) => this.#onError(message),
  };

  /** @param {import("./protocol.js").Welcome} message */
  #onWelcome(message) {
    this.#walletSeq = -1;
    this.#emit("welcome", message);
    this.#onWallet({ balance: message.balance, seq: message.wallet_seq, reason: "welcome" });
  }

  /** @param {import("./protocol.js").GiftAccepted|import("./protocol.js").GiftRejected} message */
  #onResult(message) {
    // A refusal comes without a place in the wallet's history; it tells the balance all the same.
    const seq = message.status === "rejected" ? undefined : message.wallet_seq;
    this.#onWallet({ balance: message.balance, seq, reason: "gift" });
    this.#sends.onResult(message);
  }

  /** @param {{balance?: number, seq?: number, reason: string}} message */
  #onWallet(message) {
    if (message.seq !== undefined) {
      // After a loss of the server a wallet may be back at an earlier state; "resync" says so.
      if (message.seq <= this.#walletSeq && message.reason !== "resync") return;
      this.#walletSeq = message.seq;
    }
    this.#setBalance(message.balance, message.reason);
  }

  /** @param {unknown} balance a refusal may come without one @param {string} reason */
  #setBalance(balance, reason) {
    if (typeof balance !== "number") return;
    this.balance = balance;
    this.#emit("balance", { balance, reason });
  }

  /** @param {import("./protocol.js").Error} message */
  #onError(message) {
    if (this.#sends.onError(message)) return;
    if (message.code === "token_expired") return; // the link renews it
    if (!this.#onJoinError(message)) this.#emit("problem", message);
  }

  // --- Rooms ------------------------------------------------------------------------------------------------------

  /** @param {string} room */
  #sendJoin(room) {
    const tracker = this.#rooms.get(room);
    if (!tracker || this.state !== "ready") return;
    this.#link.send(tracker.joinCommand());
    this.#joinLater(room, LIMITS.joinTimeoutMs);
  }

  /** Ask (again) after a while, unless a snapshot comes first. @param {string} room @param {number} delay_ms */
  #joinLater(room, delay_ms) {
    clearTimeout(this.#joinTimers.get(room));
    this.#joinTimers.set(
      room,
      setTimeout(() => this.#sendJoin(room), delay_ms),
    );
  }

  /** @param {{room: string}} message @param {(tracker: RoomTracker) => Arrival} take */
  #onRoom(message, take) {
    const tracker = this.#rooms.get(message.room);
    if (!tracker) return;
    const { snapshot, frames, missed, resync } = take(tracker);
    if (snapshot) clearTimeout(this.#joinTimers.get(message.room));
    if (missed) this.#emit("gap", { room: message.room, ...missed });
    if (snapshot) this.#emit("snapshot", snapshot);
    for (const frame of frames) this.#emit("events", frame);
    // A crowd that lost the same frame does not ask for it in the same moment.
    if (resync) this.#joinLater(message.room, LIMITS.resyncPaceMs * Math.random());
  }

  /** A snapshot usually follows; without one, open streaks and totals would stay as they were. @param {import("./protocol.js").RoomGap} message */
  #onGap(message) {
    this.#onRoom(message, (tracker) => tracker.onGap(message));
    const tracker = this.#rooms.get(message.room);
    if (tracker && !tracker.awaiting) this.#joinLater(message.room, LIMITS.resyncPaceMs);
  }

  /** @param {import("./protocol.js").Error} message @returns {boolean} whether it was the answer to a join */
  #onJoinError(message) {
    const willRetry = JOIN_ERRORS.get(message.code);
    const waiting = [...this.#rooms.values()].filter((tracker) => tracker.awaiting);
    const tracker = message.room ? this.#rooms.get(message.room) : waiting[0];
    if (willRetry === undefined || !tracker?.awaiting) return false;
    const { room } = tracker;
    clearTimeout(this.#joinTimers.get(room));
    if (willRetry) this.#joinLater(room, LIMITS.joinRetryMs * (0.75 + Math.random() / 2));
    this.#emit("join.failed", { room, code: message.code, message: message.message, willRetry });
    return true;
  }
}
