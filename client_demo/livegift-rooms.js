/**
 * What a client knows of one room's order of events. Part of the client library: pure, no socket, no timers.
 *
 * Every event of a room has a `seq` and every frame says which numbers it covers, so a client can tell for itself that
 * it has everything once: what is at or below its last `seq` is dropped, a hole makes it ask again.
 *
 * @typedef {object} Missed events that cannot be had any more
 * @property {number|null} count null when the room started a new life (its epoch changed)
 *
 * @typedef {object} Arrival what a frame comes to
 * @property {import("./protocol.js").RoomSnapshot} [snapshot] a `room.snapshot` that is news
 * @property {import("./protocol.js").RoomEvents[]} frames `room.events` frames to show, in order, with nothing in them that was shown before
 * @property {Missed} [missed]
 * @property {boolean} resync ask again: send `joinCommand()`
 */

/** While a snapshot is awaited frames are held back; more than this and the hole is asked for again afterwards. */
const HELD_FRAMES_MAX = 100;

/** Sequence checks of one room. */
export class RoomTracker {
  /** @type {number|null} */
  seq = null;
  /** @type {number|null} */
  epoch = null;
  /** A snapshot was asked for and has not come yet. */
  awaiting = false;
  joined = false;
  /** @type {any[]} */
  #held = [];

  /** @param {string} room */
  constructor(room) {
    this.room = room;
  }

  /** @returns {object} the command that asks for the room, from what is known on */
  joinCommand() {
    this.awaiting = true;
    const command = { type: "room.join", room: this.room };
    return this.seq === null ? command : { ...command, since: this.seq, since_epoch: this.epoch };
  }

  /** The connection is gone: what it still owed will not come. */
  disconnected() {
    this.awaiting = false;
    this.joined = false;
    this.#held = [];
  }

  /**
   * @param {import("./protocol.js").RoomSnapshot} message
   * @returns {Arrival}
   */
  onSnapshot(message) {
    const sameLife = this.epoch === null || message.epoch === this.epoch;
    const known = this.seq ?? message.seq;
    // One that overtook newer frames, and that nobody asked for, says nothing new.
    if (sameLife && !this.awaiting && message.seq < known) return { frames: [], resync: false };
    const events = (message.events ?? []).filter((/** @type {any} */ event) => !sameLife || event.seq > known);
    const missed = this.#missedBefore(message, events, sameLife, known);
    this.seq = sameLife ? Math.max(known, message.seq) : message.seq;
    this.epoch = message.epoch;
    this.awaiting = false;
    this.joined = true;
    const arrival = { snapshot: { ...message, events }, missed, frames: [], resync: false };
    return this.#release(arrival);
  }

  /**
   * @param {import("./protocol.js").RoomEvents} message
   * @returns {Arrival}
   */
  onEvents(message) {
    if (this.awaiting || this.seq === null) {
      if (this.#held.length >= HELD_FRAMES_MAX) this.#held.shift();
      this.#held.push(message);
      return { frames: [], resync: false };
    }
    if (message.epoch !== this.epoch || message.first_seq > this.seq + 1) {
      this.awaiting = true;
      this.#held.push(message);
      return { frames: [], resync: true };
    }
    if (message.seq <= this.seq) return { frames: [], resync: false };
    const known = this.seq;
    this.seq = message.seq;
    const events = message.events.filter((/** @type {any} */ event) => event.seq > known);
    return { frames: [{ ...message, events }], resync: false };
  }

  /**
   * @param {import("./protocol.js").RoomGap} message
   * @returns {Arrival}
   */
  onGap(message) {
    // A snapshot that came before it may have told the same already.
    if (this.seq !== null && message.to_seq <= this.seq) return { frames: [], resync: false };
    const from_seq = this.seq === null ? message.from_seq : Math.max(message.from_seq, this.seq + 1);
    this.seq = message.to_seq;
    return { frames: [], missed: { count: message.to_seq - from_seq + 1 }, resync: false };
  }

  /**
   * @param {any} message
   * @param {any[]} events
   * @param {boolean} sameLife
   * @param {number} known
   * @returns {Missed|undefined}
   */
  #missedBefore(message, events, sameLife, known) {
    if (!sameLife) return { count: null };
    if (message.complete !== false || message.seq <= known) return undefined;
    const until_seq = events.length > 0 ? events[0].seq - 1 : message.seq;
    return until_seq > known ? { count: until_seq - known } : undefined;
  }

  /** @param {Arrival} arrival @returns {Arrival} */
  #release(arrival) {
    const held = this.#held;
    this.#held = [];
    for (const message of held) {
      // A frame of the life before is answered by the snapshot; only one that is newer can be a hole.
      if (message.epoch !== this.epoch) continue;
      const next = this.onEvents(message);
      arrival.frames.push(...next.frames);
      arrival.resync ||= next.resync;
    }
    return arrival;
  }
}
