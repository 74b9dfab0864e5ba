/** The gift panel: catalogue, choice, and the buttons that send. */

import { bump, byId, el, formatCoins, formatNumber, formatShort, reducedMotion, setText } from "./ui.js";

/** How long a streak waits for its next gift until the server has said otherwise; here it only paces a bar. */
const STREAK_MS = 3_000;

/**
 * @typedef {object} Gift
 * @property {string} id
 * @property {string} name
 * @property {number} coins
 * @property {number} diamond_count
 * @property {boolean} streakable
 * @property {number} tier
 * @property {string} icon
 */

/** Shows gifts and asks for them to be sent. */
export class GiftPanel {
  /** @type {Map<string, Gift>} */
  gifts = new Map();
  /** @type {Gift|null} */
  selected = null;
  streakMs = STREAK_MS;
  #balance = 0;
  #closed = false;
  #streak = "";
  #buttons = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll("[data-count]")]);

  /** @param {(gift: Gift, count: number) => void} onSend */
  constructor(onSend) {
    this.list = byId("gifts");
    this.hint = byId("panel-hint");
    this.streak = byId("streak");
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#onKey(event));
    for (const button of this.#buttons) {
      button.addEventListener("click", () => {
        if (this.selected) onSend(this.selected, Number(button.dataset.count));
      });
    }
    this.#refresh();
  }

  /** @param {Gift[]} gifts of the catalogue; a gift that is still there stays selected */
  show(gifts) {
    this.gifts = new Map(gifts.map((gift) => [gift.id, gift]));
    this.list.replaceChildren(...gifts.map((gift) => this.#button(gift)));
    this.select(this.selected && this.gifts.has(this.selected.id) ? this.selected.id : gifts[0]?.id);
  }

  /** @param {string|undefined} id */
  select(id) {
    this.selected = this.gifts.get(id ?? "") ?? null;
    for (const node of this.list.children) {
      const on = node.dataset.gift === this.selected?.id;
      node.setAttribute("aria-checked", String(on));
      // One stop of the tab key for all gifts; the arrow keys choose among them.
      node.tabIndex = on ? 0 : -1;
    }
    this.#refresh();
  }

  /** @param {number} balance */
  setBalance(balance) {
    this.#balance = balance;
    this.#refresh();
  }

  /** @param {boolean} closed the room takes no gifts any more */
  setClosed(closed) {
    this.#closed = closed;
    this.#refresh();
  }

  /** The own streak, as the server counted it. @param {{id: string, repeat_count: number}} combo @param {Gift} gift */
  showStreak(combo, gift) {
    this.#streak = combo.id;
    this.streak.hidden = false;
    const count = /** @type {HTMLElement} */ (this.streak.querySelector("b"));
    setText(count, `${gift.icon} ×${formatNumber(combo.repeat_count)}`);
    bump(count, 1.3);
    if (reducedMotion()) return;
    const bar = /** @type {HTMLElement} */ (this.streak.querySelector("i"));
    for (const running of bar.getAnimations()) running.cancel();
    bar.animate([{ transform: "scaleX(1)" }, { transform: "scaleX(0)" }], {
      duration: this.streakMs,
      fill: "forwards",
    });
  }

  /** @param {string} comboId of a streak that has ended */
  endStreak(comboId) {
    if (comboId === this.#streak) this.streak.hidden = true;
  }

  /** @param {Gift} gift @returns {HTMLElement} */
  #button(gift) {
    return el(
      "button",
      {
        type: "button",
        class: "gift",
        role: "radio",
        data: { testid: `gift-${gift.id}`, gift: gift.id, tier: gift.tier },
        "aria-label": `${gift.name}, ${formatNumber(gift.coins)} coins, tier ${gift.tier}`,
        title: gift.streakable ? `${gift.name}: tap again and again for a streak` : gift.name,
        on: { click: () => this.select(gift.id) },
      },
      el("span", { class: "gift-icon", text: gift.icon || "🎁", "aria-hidden": "true" }),
      el("span", { class: "gift-name", text: gift.name }),
      el("span", { class: "gift-price coins", text: formatNumber(gift.coins) }),
    );
  }

  #refresh() {
    const { selected } = this;
    for (const button of this.#buttons) {
      const count = Number(button.dataset.count);
      button.disabled = this.#closed || !selected;
      setText(
        /** @type {HTMLElement} */ (button.querySelector(".coins")),
        formatShort((selected?.coins ?? 0) * count, 1_000_000),
      );
      if (selected)
        button.setAttribute("aria-label", `Send ${count} ${selected.name} for ${selected.coins * count} coins`);
    }
    for (const node of this.list.children) {
      const gift = this.gifts.get(node.dataset.gift);
      node.classList.toggle("too-dear", Boolean(gift && gift.coins > this.#balance));
    }
    setText(this.hint, this.#hintText());
  }

  /** @returns {string} */
  #hintText() {
    if (this.#closed) return "This room has ended";
    if (!this.selected) return "";
    const short = this.selected.coins - this.#balance;
    if (short > 0) return `${formatCoins(short)} more needed`;
    return this.selected.streakable ? "Tap again for a streak" : "A single big moment";
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const ids = [...this.gifts.keys()];
    if (!step || !this.selected || ids.length === 0) return;
    event.preventDefault();
    const next = (ids.indexOf(this.selected.id) + step + ids.length) % ids.length;
    this.select(ids[next]);
    const node = /** @type {HTMLElement} */ (this.list.children[next]);
    node.focus();
    node.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
