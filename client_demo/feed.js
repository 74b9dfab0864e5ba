/**
 * The gift feed: one row per streak, newest first, bounded.
 *
 * Events change a model at once; the page follows a few times a second, so a burst of a thousand events costs a few
 * passes over the rows that changed.
 *
 * @typedef {object} Row
 * @property {string} combo_id
 * @property {any} user
 * @property {any} gift
 * @property {number} count cumulative in the streak
 * @property {boolean} ended
 * @property {boolean} revoked none of its gifts counts any more; `count` is what was struck out
 * @property {string} message
 * @property {HTMLElement} node
 */

import { avatar, bump, el, formatNumber, giftIcon, paced, reducedMotion, setText, userName } from "./ui.js";

const ROWS_MAX = 60;
/** A streak that grows further down than this comes back up, so that it is seen. */
const SETTLED_DEPTH = 5;
const RENDER_MS = 90;
/** When more rows than this change at once, motion would only blur them. */
const MOVING_ROWS_MAX = 6;
const ANNOUNCE_MS = 6_000;
/** How many ids of revoked gifts are kept, so that one that is announced twice is taken out once. */
const REVOKED_MAX = 500;

/** Speaks for those who do not see the feed: a summary now and then instead of every gift. */
class Announcer {
  #gifts = 0;
  #last = "";
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;

  /** @param {HTMLElement} region */
  constructor(region) {
    this.region = region;
  }

  /** @param {any} event */
  add(event) {
    this.#gifts += 1;
    this.#last = `${userName(event.user)} sent ${formatNumber(event.count)} ${event.gift.name}`;
    this.#timer ??= setTimeout(() => this.#speak(), ANNOUNCE_MS);
  }

  #speak() {
    this.#timer = undefined;
    const others = this.#gifts - 1;
    const more = others > 0 ? `, and ${formatNumber(others)} more ${others === 1 ? "gift" : "gifts"}` : "";
    this.region.textContent = this.#last + more;
    this.#gifts = 0;
  }
}

/** Shows `gift` events in a list element. */
export class GiftFeed {
  /** @type {Map<string, Row>} oldest first */
  #rows = new Map();
  /** @type {Set<Row>} */
  #changed = new Set();
  #renderSoon = paced(() => this.#render(), RENDER_MS);
  #announcer;
  #omitted = 0;
  /** @type {Set<string>} */
  #revoked = new Set();

  /**
   * @param {HTMLElement} list
   * @param {object} options
   * @param {HTMLElement} options.announcer a live region
   * @param {HTMLElement} options.footnote says how many small gifts were left out
   * @param {boolean} [options.amounts] coins and diamonds in every row
   */
  constructor(list, { announcer, footnote, amounts = false }) {
    this.list = list;
    this.footnote = footnote;
    this.amounts = amounts;
    this.#announcer = new Announcer(announcer);
  }

  /** @param {any} event a `gift` event, or an open streak of a snapshot */
  apply(event) {
    const combo_id = String(event.combo_id ?? event.id);
    const known = this.#rows.get(combo_id);
    // A streak's end carries nothing of its own: without its row there is nothing to end.
    if (!known && event.count === 0 && event.repeat_end) return;
    const row = known ?? this.#add(combo_id, event);
    // Events come in order, and the server's count leaves out what was revoked: the latest is right. The end of a streak
    // of which nothing is left does not bring a struck-out row back.
    const count = event.repeat_count ?? event.count ?? 1;
    if (count > 0) [row.count, row.revoked] = [count, false];
    row.ended = row.revoked || Boolean(event.repeat_end);
    row.message = event.message || row.message;
    this.#touch(row);
  }

  /** Tells listeners by ear of a gift that has just come. @param {any} event */
  announce(event) {
    if (event.count > 0) this.#announcer.add(event);
  }

  /** After a (re)join: what the room says is open is open, every other streak has ended. @param {any[]} combos */
  reconcile(combos) {
    const open = new Set(combos.map((event) => String(event.combo_id)));
    for (const row of this.#rows.values()) {
      if (row.ended || open.has(row.combo_id)) continue;
      row.ended = true;
      this.#touch(row);
    }
    for (const event of [...combos].sort((a, b) => (a.ts_ms ?? 0) - (b.ts_ms ?? 0))) this.apply(event);
  }

  /**
   * Takes a gift that no longer counts out of its row, and strikes the row out when nothing is left of it.
   *
   * @param {any} event a `gift.revoked`
   */
  revoke({ gift_event_id, combo_id, count }) {
    if (this.#revoked.has(gift_event_id)) return;
    this.#revoked.add(gift_event_id);
    for (const oldest of this.#revoked) {
      if (this.#revoked.size <= REVOKED_MAX) break;
      this.#revoked.delete(oldest);
    }
    const row = this.#rows.get(String(combo_id));
    if (!row || row.revoked) return;
    if (row.count > count) row.count -= count;
    else row.revoked = row.ended = true;
    this.#touch(row);
  }

  /** A line between the rows, such as for missed events. @param {string} text */
  note(text) {
    this.#render();
    this.list.prepend(el("li", { class: "feed-note", text, data: { testid: "feed-note" } }));
    this.#trim();
  }

  /** @param {{count: number, coins: number}} [omitted] of a frame */
  omitted(omitted) {
    if (!omitted?.count) return;
    this.#omitted += omitted.count;
    setText(this.footnote, `and ${formatNumber(this.#omitted)} smaller gifts, counted in the totals`);
  }

  /** @param {string} combo_id @param {any} event @returns {Row} */
  #add(combo_id, event) {
    const { user, gift } = event;
    const row = {
      combo_id,
      user,
      gift,
      count: 0,
      ended: false,
      revoked: false,
      message: "",
      node: this.#newNode(event),
    };
    this.#rows.set(combo_id, row);
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= ROWS_MAX) break;
      this.#rows.get(oldest)?.node.remove();
      this.#rows.delete(oldest);
    }
    return row;
  }

  /** @param {any} event @returns {HTMLElement} */
  #newNode({ user, gift, combo_id, id, to_user }) {
    const node = el(
      "li",
      { class: "feed-row", data: { testid: "feed-row", comboId: combo_id ?? id, tier: gift.tier ?? 1 } },
      avatar(user),
      el(
        "span",
        { class: "feed-text" },
        el("b", { class: "feed-name", text: userName(user), dir: "auto" }),
        el("span", {
          class: "feed-what",
          text: `sent ${gift.name}`,
          title: to_user ? `to ${userName(to_user)}` : false,
        }),
        el("span", { class: "feed-message", dir: "auto" }),
      ),
      giftIcon(gift, "feed-icon"),
      el("b", { class: "feed-count" }),
    );
    if (this.amounts)
      node.append(
        el("span", { class: "feed-amounts" }, el("span", { class: "coins" }), el("span", { class: "diamonds" })),
      );
    return node;
  }

  /** @param {Row} row */
  #touch(row) {
    this.#changed.add(row);
    this.#renderSoon();
  }

  #render() {
    const changed = [...this.#changed].filter((row) => this.#rows.get(row.combo_id) === row);
    this.#changed.clear();
    const still = reducedMotion() || document.hidden || changed.length > MOVING_ROWS_MAX;
    for (const row of changed) {
      const isNew = !row.node.isConnected;
      if (isNew || (!row.ended && this.#depth(row.node) >= SETTLED_DEPTH)) this.#raise(row, still);
      this.#fill(row, isNew || still);
    }
    this.#trim();
  }

  /**
   * To the newest place, in the model too: what was lively lately is trimmed last.
   *
   * @param {Row} row
   * @param {boolean} still
   */
  #raise(row, still) {
    this.#rows.delete(row.combo_id);
    this.#rows.set(row.combo_id, row);
    this.list.prepend(row.node);
    if (still) return;
    row.node.animate(
      [
        { opacity: 0, transform: "translateX(-14px)" },
        { opacity: 1, transform: "none" },
      ],
      {
        duration: 220,
        easing: "ease-out",
      },
    );
  }

  /** @param {Node} node @returns {number} how many rows stand above it, counted no further than needed */
  #depth(node) {
    let depth = 0;
    for (let at = node.previousSibling; at && depth < SETTLED_DEPTH; at = at.previousSibling) depth += 1;
    return depth;
  }

  /** @param {Row} row @param {boolean} still */
  #fill({ node, gift, count, ended, revoked, message }, still) {
    const grown = node.dataset.repeatCount !== String(count);
    node.dataset.repeatCount = String(count);
    node.dataset.repeatEnd = String(ended);
    node.classList.toggle("revoked", revoked);
    const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (node.querySelector(`.feed-${name}`));
    setText(part("count"), `×${formatNumber(count)}`);
    setText(part("message"), message);
    if (grown && !still) bump(part("count"), 1.5);
    if (!this.amounts) return;
    setText(/** @type {HTMLElement} */ (node.querySelector(".coins")), formatNumber(gift.coins * count));
    setText(/** @type {HTMLElement} */ (node.querySelector(".diamonds")), formatNumber(gift.diamond_count * count));
  }

  /** Notes count as well: the list never holds more than its limit. */
  #trim() {
    while (this.list.children.length > ROWS_MAX) {
      const last = /** @type {HTMLElement} */ (this.list.lastElementChild);
      this.#rows.delete(last.dataset.comboId ?? "");
      last.remove();
    }
  }
}
