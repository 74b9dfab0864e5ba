/**
 * The gifts that were sent and not answered yet. Part of the client library: no DOM, no socket.
 *
 * A gift keeps its `ref` until the server has said what became of it. A repeat of the same `ref` is answered from the
 * server's memory, so repeating is always safe and a fresh `ref` for the same wish never is.
 *
 * @typedef {object} GiftCommand
 * @property {"gift.send"} type
 * @property {string} ref
 * @property {string} room
 * @property {string} gift_id
 * @property {number} count
 * @property {string} [to]
 * @property {number} [price] coins per gift that the sender saw
 * @property {string} [message]
 * @property {boolean} [anonymous]
 * @property {string} [id] of the command itself: says which answer is whose, and changes nothing
 *
 * @typedef {object} GiftResult
 * @property {"accepted"|"duplicate"|"rejected"|"unknown"} status `rejected`: certainly nothing was charged;
 *   `unknown`: nobody could say yet, the library goes on asking and tells the end in a `gift.settled` event
 * @property {string} ref
 * @property {GiftCommand} command what was sent
 * @property {string} [gift_event_id]
 * @property {number} [coins] charged
 * @property {number} [balance]
 * @property {{id: string, repeat_count: number}} [combo]
 * @property {string} [code] for `rejected`: the server's, or `not_sent`, `too_many_pending` of this library
 * @property {string} [message]
 * @property {number} [shortfall]
 * @property {number} [retry_after_ms]
 * @property {boolean} [final] with a settled `unknown`: nobody asks any more
 *
 * @typedef {object} Entry
 * @property {GiftCommand} command
 * @property {(result: GiftResult) => void} resolve
 * @property {number} created_ms
 * @property {number} attempts how often it went out
 * @property {boolean} unknown the promise was answered `unknown`; what comes now is late
 * @property {ReturnType<typeof setTimeout>|undefined} timer
 */

export const SEND_LIMITS = Object.freeze({
  pendingMax: 64,
  answerTimeoutMs: 4_000,
  retryBaseMs: 300,
  attemptsMax: 5,
  // A gift that waits for a connection is a wish of the moment: after this time it is not sent any more.
  offlineTimeoutMs: 20_000,
  lateCheckMs: 15_000,
  lateChecksMax: 8,
  lateKeepMs: 10 * 60_000,
});

/** @returns {string} a fresh idempotency key; `randomUUID` is missing on plain-http pages of other hosts */
export function newRef() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends gifts, repeats them while their outcome is open, and gives up after a bounded number of attempts. */
export class SendQueue {
  /** @type {Map<string, Entry>} by the command's `id`: the same `ref` can be on its way twice */
  #entries = new Map();
  #count = 0;
  #open = false;
  #transmit;
  #onLate;
  #onChange;
  #limits;

  /**
   * @param {object} options
   * @param {(command: GiftCommand) => void} options.transmit puts a command on the wire
   * @param {(result: GiftResult) => void} options.onLate an outcome after the promise was answered `unknown`
   * @param {(pending: {waiting: number, unknown: number}) => void} options.onChange
   * @param {Partial<typeof SEND_LIMITS>} [options.limits]
   */
  constructor({ transmit, onLate, onChange, limits }) {
    this.#transmit = transmit;
    this.#onLate = onLate;
    this.#onChange = onChange;
    this.#limits = { ...SEND_LIMITS, ...limits };
  }

  /**
   * @param {GiftCommand} command
   * @returns {Promise<GiftResult>} never rejects
   */
  send(command) {
    if (this.#entries.size >= this.#limits.pendingMax) {
      const message = "Too many gifts are waiting for an answer.";
      return Promise.resolve({ status: "rejected", ref: command.ref, command, code: "too_many_pending", message });
    }
    return new Promise((resolve) => {
      const id = `g${(this.#count += 1)}`;
      const sent = { command: { ...command, id }, created_ms: Date.now(), attempts: 0 };
      /** @type {Entry} */
      const entry = { ...sent, resolve, unknown: false, timer: undefined };
      this.#entries.set(id, entry);
      if (this.#open) this.#put(entry);
      else this.#waitForConnection(entry);
      this.#changed();
    });
  }

  /** The connection is ready: everything that is open goes out again, with its own `ref`. */
  resume() {
    this.#open = true;
    for (const entry of [...this.#entries.values()]) this.#again(entry);
  }

  /** No connection, or one that is about to go: nothing goes out until `resume`. Answers are still taken. */
  pause() {
    if (!this.#open) return;
    this.#open = false;
    for (const entry of this.#entries.values()) this.#waitForConnection(entry);
  }

  /** Ends everything: what never went out is not sent, the rest stays unknown. */
  close() {
    this.#open = false;
    for (const entry of [...this.#entries.values()]) {
      if (entry.attempts === 0) this.#notSent(entry);
      else this.#finish(entry, { status: "unknown", final: true });
    }
  }

  /** @param {import("./protocol.js").GiftAccepted|import("./protocol.js").GiftRejected} message */
  onResult(message) {
    const entry = this.#entryOf(message);
    if (entry) this.#finish(entry, message);
  }

  /**
   * @param {import("./protocol.js").Error} message
   * @returns {boolean} whether it was about a gift of this queue
   */
  onError(message) {
    const entry = this.#entryOf(message);
    if (!entry) return false;
    if (message.retryable || message.outcome === "unknown") this.#retryLater(entry, message.retry_after_ms);
    else this.#finish(entry, { status: "rejected", code: message.code, message: message.message });
    return true;
  }

  /** @param {any} message @returns {Entry|undefined} */
  #entryOf(message) {
    if (message.id !== undefined) return this.#entries.get(message.id);
    // A server from before there were ids sends only the `ref`.
    return [...this.#entries.values()].find((entry) => entry.command.ref === message.ref);
  }

  /** @param {Entry} entry */
  #put(entry) {
    entry.attempts += 1;
    this.#schedule(entry, entry.unknown ? this.#limits.lateCheckMs : this.#limits.answerTimeoutMs);
    this.#transmit(entry.command);
  }

  /** @param {Entry} entry */
  #again(entry) {
    if (!this.#open) return;
    const { attemptsMax, lateChecksMax, lateKeepMs } = this.#limits;
    const tooOld = Date.now() - entry.created_ms > lateKeepMs;
    if (entry.unknown && (tooOld || entry.attempts >= attemptsMax + lateChecksMax)) {
      this.#finish(entry, { status: "unknown", final: true });
    } else if (!entry.unknown && entry.attempts >= attemptsMax) {
      this.#answerUnknown(entry);
      this.#schedule(entry, this.#limits.lateCheckMs);
    } else {
      this.#put(entry);
    }
  }

  /**
   * @param {Entry} entry
   * @param {number} [after_ms] what the server asked for
   */
  #retryLater(entry, after_ms) {
    if (!this.#open) return;
    const backoff_ms = Math.min(this.#limits.answerTimeoutMs, this.#limits.retryBaseMs * 2 ** entry.attempts);
    const asked_ms = after_ms && Math.min(after_ms, this.#limits.lateCheckMs);
    this.#schedule(entry, asked_ms ?? backoff_ms * (0.5 + Math.random() / 2));
  }

  /** @param {Entry} entry */
  #waitForConnection(entry) {
    clearTimeout(entry.timer);
    if (entry.unknown) return;
    entry.timer = setTimeout(() => {
      if (entry.attempts === 0) this.#notSent(entry);
      else this.#answerUnknown(entry);
    }, this.#limits.offlineTimeoutMs);
  }

  /** @param {Entry} entry @param {number} delay_ms */
  #schedule(entry, delay_ms) {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.#again(entry), delay_ms);
  }

  /** @param {Entry} entry */
  #notSent(entry) {
    const message = "There was no connection: the gift was not sent.";
    this.#finish(entry, { status: "rejected", code: "not_sent", message });
  }

  /** @param {Entry} entry */
  #answerUnknown(entry) {
    entry.unknown = true;
    entry.resolve({ status: "unknown", ref: entry.command.ref, command: entry.command });
    this.#changed();
  }

  /** @param {Entry} entry @param {Omit<GiftResult, "ref"|"command">} outcome */
  #finish(entry, outcome) {
    clearTimeout(entry.timer);
    this.#entries.delete(/** @type {string} */ (entry.command.id));
    const result = { ...outcome, ref: entry.command.ref, command: entry.command };
    if (entry.unknown) this.#onLate(result);
    else entry.resolve(result);
    this.#changed();
  }

  #changed() {
    const unknown = [...this.#entries.values()].filter((entry) => entry.unknown).length;
    this.#onChange({ waiting: this.#entries.size - unknown, unknown });
  }
}
