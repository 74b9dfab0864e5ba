/** A room's figures on a page: connection, title, viewers, totals, top gifters; feeds the gift feed and the stage. */

import { avatar, bump, el, formatShort, paced, setNumber, setText, toast, userName } from "./ui.js";

const FIGURES_MS = 120;

/** @typedef {import("./livegift.js").LiveGift} LiveGift */
/** @typedef {import("./feed.js").GiftFeed} GiftFeed */
/** @typedef {import("./stage.js").Stage} Stage */

/**
 * Keeps a page's figures of one room up to date. Elements are found by `data-room`: `connection`, `title`, `viewers`,
 * `coins`, `gifts`, `gifters`, `top`, `matches`; a page has those it wants.
 */
export class RoomView {
  status = "";
  /** @type {{id: string, name?: string}|null} */
  creator = null;
  #joined = false;
  #hint = "";
  #topShown = "";
  /** @type {Map<string, any>} active sponsor matches by id */
  #matches = new Map();
  /** @type {{totals?: Record<string, number>, top?: any[]}} the latest of each */
  #figures = {};
  #showFiguresSoon = paced(() => this.#showFigures(), FIGURES_MS);
  /** @type {Map<string, HTMLElement[]>} */
  #nodes = new Map();

  /**
   * @param {LiveGift} client
   * @param {string} room
   * @param {object} options
   * @param {GiftFeed} options.feed
   * @param {Stage} [options.stage]
   * @param {(event: any) => void} [options.onGift] every new `gift` event, streak ends too
   * @param {(event: any) => void} [options.onRevoked] every new `gift.revoked` event
   * @param {(combos: any[]) => void} [options.onCombos] open streaks at a (re)join
   * @param {(view: RoomView) => void} [options.onStatus] the room's status or creator became known or changed
   */
  constructor(client, room, { feed, stage, onGift, onRevoked, onCombos, onStatus }) {
    this.client = client;
    this.room = room;
    this.feed = feed;
    this.stage = stage;
    this.onGift = onGift;
    this.onRevoked = onRevoked;
    this.onCombos = onCombos;
    this.onStatus = onStatus;
    for (const node of document.querySelectorAll("[data-room]")) {
      const found = /** @type {HTMLElement} */ (node);
      const name = found.dataset.room ?? "";
      this.#nodes.set(name, [...(this.#nodes.get(name) ?? []), found]);
    }
    this.#listen("state", (detail) => this.#onState(detail));
    this.#listen("snapshot", (detail) => this.#onSnapshot(detail));
    this.#listen("events", (detail) => this.#onEvents(detail));
    this.#listen("pulse", (message) => {
      this.#number("viewers", message.viewers);
      this.#takeFigures(message);
    });
    this.#listen("gap", ({ count }) => this.#onGap(count));
    this.#listen("join.failed", (detail) => this.#onJoinFailed(detail));
    this.#showConnection();
  }

  /** @param {string} title */
  setTitle(title) {
    for (const node of this.#nodes.get("title") ?? []) setText(node, title);
    document.title = `${title} · livegift`;
  }

  /** @param {string} type @param {(detail: any) => void} listener */
  #listen(type, listener) {
    this.client.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
  }

  /** @param {{state: string, reason?: string}} detail */
  #onState({ state, reason }) {
    if (state !== "draining") this.#joined = false;
    this.#hint = reason ?? "";
    if (state === "stopped") toast(`Not connected: ${reason}`, "bad");
    this.#showConnection();
  }

  /** @param {any} detail */
  #onJoinFailed({ code, message, willRetry }) {
    this.#hint = message;
    for (const node of this.#nodes.get("connection") ?? []) {
      node.dataset.state = "waiting";
      setText(node, code === "room_not_found" ? "no such room yet" : willRetry ? "joining…" : "not allowed");
      node.title = message;
    }
    if (!willRetry) toast(message, "bad");
  }

  #showConnection() {
    const [state, text] = this.#connection();
    for (const node of this.#nodes.get("connection") ?? []) {
      node.dataset.state = state;
      node.title = this.#hint;
      setText(node, text);
    }
  }

  /** @returns {[string, string]} state for the style, text for the reader */
  #connection() {
    if (this.#joined) return this.status === "ended" ? ["ended", "ended"] : ["live", "live"];
    const { state } = this.client;
    if (state === "ready") return ["busy", "joining…"];
    if (state === "waiting" || state === "draining") return ["waiting", "reconnecting…"];
    if (state === "stopped" || state === "closed") return ["stopped", "offline"];
    return ["busy", "connecting…"];
  }

  /** @param {any} snapshot */
  #onSnapshot(snapshot) {
    this.#joined = true;
    this.#number("viewers", snapshot.viewers);
    this.#takeFigures(snapshot);
    // The protocol leaves open whether it is the creator's id or a user.
    const { creator } = snapshot;
    this.creator = typeof creator === "string" ? { id: creator } : (creator ?? null);
    if (snapshot.title) this.setTitle(snapshot.title);
    for (const event of snapshot.events) this.#onEvent(event);
    this.#matches = new Map((snapshot.matches ?? []).map((/** @type {any} */ match) => [match.match_id, match]));
    this.#showMatches();
    const combos = snapshot.combos ?? [];
    this.feed.reconcile(combos);
    this.onCombos?.(combos);
    this.#setStatus(snapshot.status);
  }

  /** @param {any} frame */
  #onEvents(frame) {
    this.#takeFigures(frame);
    this.feed.omitted(frame.omitted);
    for (const event of frame.events) {
      this.#onEvent(event);
      if (event.type !== "gift") continue;
      this.feed.announce(event);
      this.stage?.celebrate(event);
    }
  }

  /** @param {any} event */
  #onEvent(event) {
    if (event.type === "gift") {
      this.feed.apply(event);
      this.onGift?.(event);
    } else if (event.type === "gift.revoked") {
      this.feed.revoke(event);
      this.onRevoked?.(event);
    } else if (event.type === "match") {
      this.#onMatch(event);
    } else if (event.type === "room") {
      if (event.title) this.setTitle(event.title);
      if (event.status) this.#setStatus(event.status);
    }
  }

  /** @param {number|null} count */
  #onGap(count) {
    const what = count === null ? "Some events" : count === 1 ? "1 event" : `${count} events`;
    this.feed.note(`${what} missed while away; the totals are right`);
  }

  /** @param {string} status */
  #setStatus(status) {
    this.status = status === "ended" ? "ended" : "live";
    this.#showConnection();
    this.onStatus?.(this);
  }

  /** @param {{totals?: Record<string, number>, top?: any[]}} frame */
  #takeFigures({ totals, top }) {
    this.#figures = { totals: totals ?? this.#figures.totals, top: top ?? this.#figures.top };
    this.#showFiguresSoon();
  }

  #showFigures() {
    const { totals, top } = this.#figures;
    for (const name of ["coins", "gifts", "gifters", "diamonds"]) this.#number(name, totals?.[name]);
    if (top) this.#showTop(top);
  }

  /** @param {string} name @param {number|undefined} value */
  #number(name, value) {
    for (const node of this.#nodes.get(name) ?? []) {
      const first = node.dataset.value === undefined;
      const format = "short" in node.dataset ? formatShort : undefined;
      if (setNumber(node, value, format) && !first && name !== "viewers") bump(node, 1.12);
    }
  }

  /** @param {any} event its numbers are absolute: an older one changes nothing */
  #onMatch(event) {
    if (event.status !== "active") this.#matches.delete(event.match_id);
    else if (event.used_coins >= (this.#matches.get(event.match_id)?.used_coins ?? 0)) {
      this.#matches.set(event.match_id, event);
    }
    this.#showMatches();
  }

  #showMatches() {
    for (const node of this.#nodes.get("matches") ?? []) {
      node.hidden = this.#matches.size === 0;
      const rows = [...this.#matches.values()].map(({ sponsor, title, used_coins, budget_coins }) =>
        el(
          "li",
          { data: { testid: "match" } },
          el("b", { text: sponsor, dir: "auto" }),
          el("span", { text: title, dir: "auto" }),
          el("span", { class: "coins", text: `${formatShort(used_coins)} / ${formatShort(budget_coins)}` }),
        ),
      );
      node.replaceChildren(...rows);
    }
  }

  /** @param {any[]} top */
  #showTop(top) {
    const shown = JSON.stringify(top);
    if (shown === this.#topShown) return;
    this.#topShown = shown;
    const rows = () =>
      top.map(({ user, coins, rank }, index) =>
        el(
          "li",
          { class: "top-row", data: { testid: "top-row", rank: rank ?? index + 1 } },
          el("span", { class: "top-rank", text: rank ?? index + 1 }),
          avatar(user),
          el("span", { class: "top-name", text: userName(user), dir: "auto" }),
          el("span", { class: "coins", text: formatShort(coins) }),
        ),
      );
    for (const node of this.#nodes.get("top") ?? []) node.replaceChildren(...rows());
  }
}
