/**
 * The one connection of a client: token, hello, heartbeat, goodbye, reconnect. Part of the client library: no DOM.
 *
 * @typedef {"idle"|"connecting"|"ready"|"draining"|"waiting"|"stopped"|"closed"} LinkState
 * @typedef {object} LinkOptions
 * @property {string} url
 * @property {() => Promise<string>} getToken
 * @property {typeof WebSocket} WebSocketClass
 * @property {(detail: {state: LinkState, reason?: string, code?: number, retryInMs?: number}) => void} onState
 * @property {(message: import("./protocol.js").ServerMessage) => void} onMessage every frame of the server, as an object
 */

export const SUBPROTOCOL = "livegift.v1";

const LIMITS = Object.freeze({
  backoffBaseMs: 500,
  backoffMaxMs: 30_000,
  // A connection that lasted this long was a good one: the next back-off starts from the beginning.
  stableMs: 10_000,
  welcomeTimeoutMs: 10_000,
  heartbeatMs: 15_000,
  byeMaxMs: 60_000,
  tooFastPauseMs: 5_000,
  authFailuresMax: 3,
});

const CLOSE = Object.freeze({ badFrame: 4400, unauthenticated: 4401, forbidden: 4403, tooFast: 4429 });

/** Keeps one WebSocket alive from `connect` to `close`. */
export class Link {
  /** @type {LinkState} */
  state = "idle";

  #options;
  /** @type {WebSocket|null} */
  #socket = null;
  /** @type {string|null} */
  #token = null;
  /** @type {Record<string, ReturnType<typeof setTimeout>|undefined>} */
  #timers = {};
  #wanted = false;
  /** Raised whenever a socket is given up, so that a token that arrives late does not open a second one. */
  #generation = 0;
  #attempt = 0;
  #authFailures = 0;
  #readySince_ms = 0;
  #byeUntil_ms = 0;
  #pingUnanswered = false;
  #renewing = false;

  /** @param {LinkOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** Connect, and stay connected until `close`. */
  connect() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = this.#authFailures = 0;
    this.#open();
  }

  /** Try at once instead of waiting for the back-off. */
  reconnectNow() {
    if (this.state === "waiting") this.#open();
  }

  /** Disconnect for good. */
  close() {
    if (this.state === "closed") return; // a listener of that state may call it again
    this.#wanted = false;
    this.#dropSocket();
    this.#setState("closed");
  }

  /** Put a command on the wire; without an open socket it is gone. @param {object} command */
  send(command) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(command));
  }

  async #open() {
    const generation = ++this.#generation;
    clearTimeout(this.#timers.retry);
    this.#setState("connecting");
    try {
      this.#token ??= await this.#options.getToken();
    } catch (/** @type {any} */ error) {
      if (generation !== this.#generation) return;
      if (error?.permanent) this.#stop(String(error.message));
      else this.#retryLater(this.#backoff());
      return;
    }
    if (generation === this.#generation && this.#wanted) this.#dial();
  }

  #dial() {
    let socket;
    try {
      socket = new this.#options.WebSocketClass(this.#options.url, [SUBPROTOCOL]);
    } catch (/** @type {any} */ error) {
      return this.#stop(String(error?.message ?? error)); // not a valid address
    }
    this.#socket = socket;
    // `close` follows and says as much. Without a listener the sockets of `ws` would end the process.
    socket.onerror = () => {};
    socket.onopen = () => this.send({ type: "hello", token: this.#token });
    socket.onmessage = ({ data }) => socket === this.#socket && this.#onText(data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#onClosed(code, reason);
    this.#timers.welcome = setTimeout(() => this.#onClosed(1006, "no welcome in time"), LIMITS.welcomeTimeoutMs);
  }

  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#generation += 1;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    socket?.close(1000);
  }

  /** @param {number} code @param {string} reason */
  #onClosed(code, reason) {
    this.#dropSocket();
    if (this.#readySince_ms && Date.now() - this.#readySince_ms > LIMITS.stableMs) this.#attempt = 0;
    this.#readySince_ms = 0;
    if (code === CLOSE.badFrame || code === CLOSE.forbidden) return this.#stop(reason || "refused by the server", code);
    if (code === CLOSE.unauthenticated) {
      this.#token = null;
      this.#authFailures += 1;
      if (this.#authFailures >= LIMITS.authFailuresMax) return this.#stop(reason || "the token was refused", code);
    }
    const delay_ms = this.#byeUntil_ms ? Math.max(0, this.#byeUntil_ms - Date.now()) : this.#backoff();
    this.#byeUntil_ms = 0;
    this.#retryLater(code === CLOSE.tooFast ? delay_ms + LIMITS.tooFastPauseMs : delay_ms, code);
  }

  /** @returns {number} between half and all of a delay that doubles, so that a crowd does not come back as one */
  #backoff() {
    const full_ms = Math.min(LIMITS.backoffMaxMs, LIMITS.backoffBaseMs * 2 ** this.#attempt);
    this.#attempt += 1;
    return full_ms * (0.5 + Math.random() / 2);
  }

  /** @param {number} delay_ms @param {number} [code] */
  #retryLater(delay_ms, code) {
    clearTimeout(this.#timers.retry);
    this.#timers.retry = setTimeout(() => this.#open(), delay_ms);
    this.#setState("waiting", { retryInMs: Math.round(delay_ms), code });
  }

  /** @param {string} reason @param {number} [code] */
  #stop(reason, code) {
    this.#wanted = false;
    this.#dropSocket();
    this.#setState("stopped", { reason, code });
  }

  /** @param {LinkState} state @param {object} [more] */
  #setState(state, more) {
    this.state = state;
    this.#options.onState({ state, ...more });
  }

  /** A ping per period; any frame counts as an answer. A socket whose peer has vanished would stay open for minutes. */
  #heartbeat() {
    if (this.#pingUnanswered) return this.#onClosed(1006, "no answer");
    this.#pingUnanswered = true;
    this.send({ type: "ping", t: Date.now() });
    this.#timers.heartbeat = setTimeout(() => this.#heartbeat(), LIMITS.heartbeatMs);
  }

  /** @param {unknown} text */
  #onText(text) {
    this.#pingUnanswered = false;
    let message;
    try {
      message = JSON.parse(String(text));
    } catch {
      return;
    }
    if (message?.type === "welcome") this.#onWelcome();
    else if (message?.type === "bye") this.#onBye(message);
    else if (message?.type === "error" && message.code === "token_expired") this.#renewToken();
    this.#options.onMessage(message);
  }

  #onWelcome() {
    clearTimeout(this.#timers.welcome);
    this.#authFailures = 0;
    // A second welcome answers the hello of a renewed token: the connection and its rooms are what they were.
    if (this.state !== "connecting") return;
    this.#readySince_ms = Date.now();
    this.#timers.heartbeat = setTimeout(() => this.#heartbeat(), LIMITS.heartbeatMs);
    this.#setState("ready");
  }

  async #renewToken() {
    if (this.#renewing) return;
    const generation = this.#generation;
    this.#token = null;
    this.#renewing = true;
    try {
      this.#token = await this.#options.getToken();
    } catch {
      return; // The server closes with 4401 in a minute; the reconnect asks for a token again.
    } finally {
      this.#renewing = false;
    }
    if (generation === this.#generation) this.send({ type: "hello", token: this.#token });
  }

  /** The server is about to go. Answers to what is under way still come on this connection. @param {import("./protocol.js").Bye} message */
  #onBye(message) {
    const delay_ms = Math.min(LIMITS.byeMaxMs, Math.max(0, Number(message.reconnect_in_ms) || 0));
    this.#byeUntil_ms = Date.now() + delay_ms;
    clearTimeout(this.#timers.heartbeat);
    this.#timers.bye = setTimeout(() => this.#leaveDraining(), delay_ms);
    this.#setState("draining", { reason: message.reason, retryInMs: delay_ms });
  }

  #leaveDraining() {
    this.#byeUntil_ms = this.#readySince_ms = 0;
    this.#dropSocket();
    this.#open();
  }
}
