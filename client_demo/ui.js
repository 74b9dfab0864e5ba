/** Small DOM helpers. Text from the server enters a page through `textContent` only, so it is never read as HTML. */

const TOASTS_MAX = 4;
const TOAST_MS = 3_500;
/** What went wrong stays long enough to be read twice. */
const TOAST_BAD_MS = 7_000;

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {number} value @returns {string} all digits, grouped */
export const formatNumber = (value) => whole.format(value);

/**
 * For where there is little room.
 *
 * @param {number} value
 * @param {number} [from] where "12.3K" begins to replace all digits
 * @returns {string}
 */
export const formatShort = (value, from = 10_000) => (Math.abs(value) < from ? whole : short).format(value);

/** @param {number} coins @returns {string} with the word */
export const formatCoins = (coins) => `${whole.format(coins)} ${coins === 1 ? "coin" : "coins"}`;

/** @returns {boolean} whether the user asked for little motion */
export const reducedMotion = () => calm.matches;

/**
 * An element. `text` becomes its textContent, `data` its dataset, `on` its listeners, all else attributes.
 *
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function el(tag, { text, data, on, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = String(text);
  for (const [name, value] of Object.entries(data ?? {})) node.dataset[name] = String(value);
  for (const [name, listener] of Object.entries(on ?? {})) node.addEventListener(name, listener);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) node.append(child);
  return node;
}

/** @param {string} id @returns {any} the page's element; a missing one is a mistake in the page */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element #${id}`);
  return node;
}

/**
 * Shows a number; `data-value` keeps it plain for whoever reads the page by program.
 *
 * @param {HTMLElement} node
 * @param {number|null|undefined} value
 * @param {(value: number) => string} [format]
 * @returns {boolean} whether it changed
 */
export function setNumber(node, value, format = formatNumber) {
  if (typeof value !== "number" || !Number.isFinite(value)) return false;
  if (node.dataset.value === String(value)) return false;
  node.dataset.value = String(value);
  node.textContent = format(value);
  if (format !== formatNumber) node.title = formatNumber(value);
  return true;
}

/** @param {HTMLElement} node @param {string} text leaves the page alone when it says so already */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes a function that may be called at any rate and runs at most once per period, soon after the first call and
 * always after the last. Frames come up to 25 times a second, and nobody reads figures that fast.
 *
 * @param {() => void} run
 * @param {number} period_ms
 * @returns {() => void}
 */
export function paced(run, period_ms) {
  let last_ms = -Infinity;
  let scheduled = false;
  const now = () => performance.now();
  return () => {
    if (scheduled) return;
    scheduled = true;
    setTimeout(
      () => {
        scheduled = false;
        last_ms = now();
        run();
      },
      Math.max(0, last_ms + period_ms - now()),
    );
  };
}

/** @type {WeakMap<HTMLElement, number>} when each element bumped last */
const bumped = new WeakMap();
const BUMP_MS = 280;

/** A short growth that says "this has just changed". @param {HTMLElement} node @param {number} [scale] */
export function bump(node, scale = 1.35) {
  const now_ms = performance.now();
  if (reducedMotion() || now_ms - (bumped.get(node) ?? -BUMP_MS) < BUMP_MS) return;
  bumped.set(node, now_ms);
  node.animate([{ transform: "scale(1)" }, { transform: `scale(${scale})`, offset: 0.3 }, { transform: "scale(1)" }], {
    duration: BUMP_MS,
    easing: "cubic-bezier(.2,.9,.3,1.2)",
  });
}

/** @param {any} user of an event; without id for anonymous gifts @returns {string} */
export function userName(user) {
  return String(user?.name || user?.id || "Anonymous");
}

/** A round badge with the initial. Avatars of other hosts are not loaded. @param {any} user @returns {HTMLElement} */
export function avatar(user) {
  const name = userName(user);
  const node = el("span", {
    class: "avatar",
    "aria-hidden": "true",
    text: user?.id ? [...name][0].toUpperCase() : "?",
  });
  let hash = 0;
  for (const char of String(user?.id ?? name)) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 65_521;
  // The golden angle: ids that differ in one letter get colours that are far apart.
  node.style.setProperty("--hue", String(Math.round(hash * 137.5) % 360));
  return node;
}

const NO_ICON = "🎁";

/**
 * A gift's icon: an emoji as text, or a picture by its address. The gift's first letter stands in until the picture is
 * loaded. Pictures are loaded when they come into sight, without a referrer.
 *
 * @param {any} gift
 * @param {string} className
 * @returns {HTMLElement}
 */
export function giftIcon(gift, className) {
  const icon = String(gift?.icon || NO_ICON);
  if (!icon.startsWith("https://")) return el("span", { class: className, text: icon, "aria-hidden": "true" });
  const letter = [...String(gift.name || NO_ICON)][0].toUpperCase();
  const node = el("span", { class: `${className} icon-picture`, "aria-hidden": "true", data: { letter } });
  const picture = /** @type {HTMLImageElement} */ (
    el("img", { alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer", src: icon })
  );
  picture.addEventListener("load", () => node.classList.add("is-there"));
  picture.addEventListener("error", () => picture.remove());
  node.append(picture);
  return node;
}

/** @returns {HTMLElement} */
function toastList() {
  const existing = document.getElementById("toasts");
  if (existing) return existing;
  const list = el("div", { id: "toasts", class: "toasts", role: "status", "aria-live": "polite" });
  document.body.append(list);
  return list;
}

// A live region speaks only of what changes after it is there.
toastList();

/**
 * A note that goes away by itself; the same one again while it is there only counts up.
 *
 * @param {string} message
 * @param {"info"|"good"|"bad"|"warn"} [kind]
 */
export function toast(message, kind = "info") {
  const list = toastList();
  const same = [...list.children].find((node) => /** @type {HTMLElement} */ (node).dataset.message === message);
  const node = /** @type {HTMLElement} */ (same ?? newToast(message, kind));
  const times = Number(node.dataset.times) + 1;
  node.dataset.times = String(times);
  setText(/** @type {HTMLElement} */ (node.lastElementChild), times > 1 ? `×${times}` : "");
  if (same) bump(node, 1.03);
  else list.prepend(node);
  while (list.children.length > TOASTS_MAX) list.lastElementChild?.remove();
  clearTimeout(Number(node.dataset.timer));
  node.dataset.timer = String(
    setTimeout(() => node.remove(), kind === "bad" || kind === "warn" ? TOAST_BAD_MS : TOAST_MS),
  );
}

/** @param {string} message @param {string} kind @returns {HTMLElement} */
function newToast(message, kind) {
  const node = el("div", {
    class: `toast toast-${kind}`,
    data: { testid: "toast", kind, message, times: 0 },
    on: { click: () => node.remove() },
  });
  node.append(el("span", { text: message }), el("b", { class: "toast-times" }));
  return node;
}

/**
 * Copies text; the clipboard API is missing on plain-http pages of other hosts.
 *
 * @param {HTMLInputElement} input holds the text and is selected, so that the user can copy by hand if all else fails
 * @returns {Promise<boolean>}
 */
export async function copyFrom(input) {
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
