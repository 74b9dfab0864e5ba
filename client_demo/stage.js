/** Gifts flying over the stage. Decoration only: hidden from assistive technology, bounded, off with reduced motion. */

import { el, formatNumber, giftIcon, reducedMotion, userName } from "./ui.js";

const FLYING_MAX = 24;
const PER_EVENT_MAX = 5;
const BANNERS_MAX = 4;
const BANNER_MS = 2_600;
const BANNER_TIER = 2;

/** Celebrates gifts on a layer above the video. */
export class Stage {
  #flying = 0;
  /** @type {any[]} */
  #banners = [];
  #showing = false;

  /** @param {HTMLElement} layer */
  constructor(layer) {
    this.layer = layer;
  }

  /** @param {any} event a `gift` event that has just come */
  celebrate(event) {
    if (event.count === 0 || document.hidden) return;
    if (event.gift.tier >= BANNER_TIER) this.#queueBanner(event);
    if (reducedMotion()) return;
    const pieces = Math.min(event.count, PER_EVENT_MAX, FLYING_MAX - this.#flying);
    for (let i = 0; i < pieces; i += 1) this.#fly(event.gift, i);
  }

  /** @param {any} gift @param {number} index */
  #fly(gift, index) {
    const node = giftIcon(gift, "fly");
    node.dataset.tier = String(gift.tier);
    node.style.left = `${12 + Math.random() * 76}%`;
    this.layer.append(node);
    this.#flying += 1;
    const drift = (Math.random() - 0.5) * 120;
    const flight = node.animate(
      [
        { transform: "translate(-50%, 0) scale(.4)", opacity: 0 },
        { transform: `translate(calc(-50% + ${drift * 0.3}px), -18vh) scale(1.1)`, opacity: 1, offset: 0.25 },
        { transform: `translate(calc(-50% + ${drift}px), -62vh) scale(.9) rotate(${drift / 4}deg)`, opacity: 0 },
      ],
      { duration: 2_200 + Math.random() * 900, delay: index * 110, easing: "ease-out", fill: "both" },
    );
    flight.onfinish = flight.oncancel = () => {
      node.remove();
      this.#flying -= 1;
    };
  }

  /** @param {any} event a streak's later sends change the banner that waits for it instead of making another */
  #queueBanner(event) {
    const same = this.#banners.findIndex((other) => other.combo_id === event.combo_id);
    if (same >= 0) this.#banners[same] = event;
    else if (this.#banners.length < BANNERS_MAX) this.#banners.push(event);
    if (!this.#showing) this.#nextBanner();
  }

  #nextBanner() {
    const event = this.#banners.shift();
    this.#showing = Boolean(event);
    if (!event) return;
    const node = el(
      "div",
      { class: "banner", data: { tier: event.gift.tier } },
      giftIcon(event.gift, "banner-icon"),
      el("b", { class: "banner-name", text: userName(event.user), dir: "auto" }),
      el("span", {
        text: `sent ${event.gift.name}` + (event.repeat_count > 1 ? ` ×${formatNumber(event.repeat_count)}` : ""),
      }),
    );
    this.layer.append(node);
    setTimeout(() => {
      node.remove();
      this.#nextBanner();
    }, BANNER_MS);
  }
}
