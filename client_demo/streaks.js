/** The streaks that are open right now, longest first: what a creator thanks for. */

import { bump, el, formatNumber, giftIcon, paced, setText, userName } from "./ui.js";

const STREAKS_MAX = 200;
const SHOWN_MAX = 6;
const RENDER_MS = 150;

/** A short list that follows `gift` events. */
export class OpenStreaks {
  /** @type {Map<string, any>} last event of each open streak */
  #open = new Map();
  #renderSoon = paced(() => this.#render(), RENDER_MS);

  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} empty shown when there is none
   */
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
  }

  /** @param {any[]} combos the truth at a (re)join */
  reset(combos) {
    this.#open = new Map(combos.map((event) => [String(event.combo_id), event]));
    this.#renderSoon();
  }

  /** @param {any} event a `gift` event */
  apply(event) {
    const id = String(event.combo_id);
    if (event.repeat_end) this.#open.delete(id);
    else if (this.#open.has(id) || this.#open.size < STREAKS_MAX) this.#open.set(id, event);
    this.#renderSoon();
  }

  /** @param {any} event a `gift.revoked` */
  revoke({ combo_id, count }) {
    const id = String(combo_id);
    const open = this.#open.get(id);
    if (!open) return;
    const repeat_count = open.repeat_count - count;
    if (repeat_count > 0) this.#open.set(id, { ...open, repeat_count });
    else this.#open.delete(id);
    this.#renderSoon();
  }

  #render() {
    const longest = [...this.#open.values()].sort((a, b) => b.repeat_count - a.repeat_count).slice(0, SHOWN_MAX);
    const old = new Map(
      [...this.list.children].map((node) => [/** @type {HTMLElement} */ (node).dataset.comboId, node]),
    );
    this.list.replaceChildren(...longest.map((event) => this.#row(event, old.get(String(event.combo_id)))));
    this.empty.hidden = longest.length > 0;
  }

  /** @param {any} event @param {Element|undefined} known @returns {Element} */
  #row({ combo_id, user, gift, repeat_count }, known) {
    const text = `×${formatNumber(repeat_count)}`;
    const row = known ?? this.#newRow(combo_id, user, gift);
    const count = /** @type {HTMLElement} */ (row.lastElementChild);
    if (known && count.textContent !== text) bump(count, 1.4);
    setText(count, text);
    return row;
  }

  /** @param {string} comboId @param {any} user @param {any} gift @returns {HTMLElement} */
  #newRow(comboId, user, gift) {
    return el(
      "li",
      { class: "streak-row", data: { testid: "open-streak", comboId } },
      giftIcon(gift, "feed-icon"),
      el("span", { class: "top-name", text: userName(user), dir: "auto" }),
      el("span", { class: "muted", text: gift.name }),
      el("b", { class: "feed-count" }),
    );
  }
}
