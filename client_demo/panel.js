/** The gift panel: catalogue, choice, and the buttons that send. */

import { bump, byId, el, formatCoins, formatNumber, formatShort, giftIcon, reducedMotion, setText } from "./ui.js";

/** How long a streak waits for its next gift until the server has said otherwise; here it only paces a bar. */
const STREAK_MS = 3_000;
/** A catalogue of more gifts than this is searched rather than looked through. */
const SEARCHED_FROM = 24;

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

/** @param {string} text @returns {string} without case and accents, as people type it */
const searchable = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[’‘]/g, "'")
    .toLowerCase()
    .trim();

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
    this.search = /** @type {HTMLInputElement} */ (byId("gift-search"));
    this.search.addEventListener("input", () => this.#filter());
    const count = /** @type {HTMLSelectElement} */ (byId("gift-count"));
    count.addEventListener("change", () => {
      /** @type {HTMLButtonElement} */ (document.querySelector(".primary[data-count]")).dataset.count = count.value;
      this.#refresh();
    });
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
    this.search.hidden = gifts.length < SEARCHED_FROM;
    this.#filter();
    this.select(this.selected && this.gifts.has(this.selected.id) ? this.selected.id : gifts[0]?.id);
  }

  /** @param {string|undefined} id */
  select(id) {
    this.selected = this.gifts.get(id ?? "") ?? null;
    for (const node of this.list.children) {
      const on = node.dataset.gift === this.selected?.id;
      node.setAttribute("aria-checked", String(on));
    }
    this.#setTabStop();
    this.#refresh();
  }

  /** One stop of the tab key for all gifts; the arrow keys choose among them. */
  #setTabStop() {
    const shown = this.#shown();
    const stop = shown.find((node) => node.dataset.gift === this.selected?.id) ?? shown[0];
    for (const node of this.list.children) node.tabIndex = node === stop ? 0 : -1;
  }

  /** @returns {HTMLElement[]} the gifts that the search leaves */
  #shown() {
    return /** @type {HTMLElement[]} */ ([...this.list.children].filter((node) => !node.hidden));
  }

  #filter() {
    const wanted = searchable(this.search.hidden ? "" : this.search.value);
    for (const node of this.list.children) {
      const gift = this.gifts.get(node.dataset.gift);
      node.hidden = !(gift && (searchable(gift.name).includes(wanted) || gift.id === wanted));
    }
    byId("gift-none").hidden = this.#shown().length > 0;
    this.list.scrollTo({ left: 0, top: 0 });
    this.#setTabStop();
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
    count.replaceChildren(giftIcon(gift, "streak-icon"), ` ×${formatNumber(combo.repeat_count)}`);
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
      giftIcon(gift, "gift-icon"),
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
        formatShort((selected?.coins ?? 0) * count, 100_000),
      );
      if (selected)
        button.setAttribute("aria-label", `Send ${count} ${selected.name} for ${formatCoins(selected.coins * count)}`);
    }
    for (const node of this.list.children) {
      const gift = this.gifts.get(node.dataset.gift);
      node.classList.toggle("too-expensive", Boolean(gift && gift.coins > this.#balance));
    }
    setText(this.hint, this.#hintText());
  }

  /** @returns {string} */
  #hintText() {
    if (this.#closed) return "This room has ended";
    if (!this.selected) return "";
    const short = this.selected.coins - this.#balance;
    if (short > 0) return `You need ${formatNumber(short)} more ${short === 1 ? "coin" : "coins"}`;
    return this.selected.streakable ? "Tap again for a streak" : "A single big moment";
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const shown = this.#shown();
    if (!step || shown.length === 0) return;
    event.preventDefault();
    const at = shown.findIndex((node) => node.dataset.gift === this.selected?.id);
    const node = shown[(at + step + shown.length) % shown.length];
    this.select(node.dataset.gift);
    node.focus();
    node.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}
