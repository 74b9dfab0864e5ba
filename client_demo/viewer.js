/** The viewer's page: watch a room, see every gift, send some. */

import { GiftFeed } from "./feed.js";
import { GiftPanel } from "./panel.js";
import { RoomView } from "./room-view.js";
import { api, openSession, pageParams } from "./session.js";
import { Stage } from "./stage.js";
import { bump, byId, formatCoins, formatNumber, setNumber, setText, toast, userName } from "./ui.js";

const TEST_COINS = 1_000;
const CATALOGUE_RETRY_MS = 4_000;
/** Rejections that say the catalogue on this page is an old one. */
const STALE_CATALOGUE = new Set(["price_changed", "gift_not_found"]);

const { room, user, name, problem } = pageParams("guest");
const { client } = openSession({ user, role: "viewer", room, name });
const panel = new GiftPanel(send);
const feed = new GiftFeed(byId("feed"), { announcer: byId("announcer"), footnote: byId("feed-footnote") });
const stage = new Stage(byId("stage-layer"));
const view = new RoomView(client, room, { feed, stage, onGift, onStatus });

/** @param {import("./panel.js").Gift} gift @param {number} count */
async function send(gift, count) {
  const result = await client.sendGift({ room, gift_id: gift.id, count, price: gift.coins });
  if (result.status === "unknown") {
    toast("No answer yet: will check. This gift is never charged twice.", "warn");
  } else if (result.status === "rejected") {
    showRejection(result);
  } else if (result.combo && gift.streakable) {
    panel.showStreak(result.combo, gift);
  }
}

/** @param {import("./livegift.js").GiftResult} result */
function showRejection({ code, message, shortfall, retry_after_ms }) {
  const parts = [message || `The gift was refused (${code}).`];
  if (shortfall) parts.push(`You need ${formatCoins(shortfall)} more.`);
  if (retry_after_ms) parts.push(`Try again in ${Math.ceil(retry_after_ms / 1000)} s.`);
  toast(parts.join(" "), "bad");
  if (STALE_CATALOGUE.has(code ?? "")) loadGifts();
}

/** @param {any} event */
function onGift(event) {
  if (event.repeat_end) panel.endStreak(String(event.combo_id));
}

/** @param {RoomView} at */
function onStatus({ status, creator }) {
  panel.setClosed(status === "ended");
  byId("stage-ended").hidden = status !== "ended";
  if (creator) setText(byId("creator-name"), `with ${userName(creator)}`);
}

/** @param {any} settled the late end of a gift whose outcome was unknown */
function onSettled(settled) {
  if (settled.status === "rejected") showRejection(settled);
  else if (settled.status === "unknown")
    toast("Still no answer about a gift. Your balance shows what was charged.", "warn");
  else toast("Checked: the gift arrived, and was charged once.", "good");
}

/** @param {{kind: string, percent: number, allowed: number, used: number}} reminder */
function showReminder({ kind, percent, allowed, used }) {
  toast(`${percent} % of your limit for this ${kind} is used: ${formatNumber(used)} of ${formatCoins(allowed)}.`, "warn");
}

/** @param {{waiting: number, unknown: number}} pending */
function showPending({ waiting, unknown }) {
  const parts = [];
  // A gift on its way is answered within milliseconds: only one that waits for a connection is worth a word.
  if (waiting && client.state !== "ready") parts.push(`${waiting} waiting for the connection`);
  if (unknown) parts.push(`${unknown} unknown, will check`);
  setText(byId("pending"), parts.join(" · "));
}

async function loadGifts() {
  try {
    const { gifts } = await api("/v1/gifts");
    panel.show(gifts);
  } catch (/** @type {any} */ error) {
    toast(`The gifts could not be loaded: ${error.message}`, "bad");
    setTimeout(loadGifts, CATALOGUE_RETRY_MS);
  }
}

async function getCoins() {
  const button = byId("get-coins");
  button.disabled = true;
  try {
    const { coins } = await api("/demo/coins", { method: "POST", body: { user, coins: TEST_COINS } });
    toast(`${formatNumber(coins ?? TEST_COINS)} test coins are on their way.`, "good");
  } catch (/** @type {any} */ error) {
    toast(`No coins: ${error.message}`, "bad");
  }
  button.disabled = false;
}

/** @param {number} balance */
function showBalance(balance) {
  const first = byId("balance").dataset.value === undefined;
  if (setNumber(byId("balance"), balance) && !first) bump(byId("balance"), 1.15);
  panel.setBalance(balance);
}

/** @template T @param {string} type @param {(detail: T) => void} listener */
function on(type, listener) {
  client.addEventListener(type, (event) => listener(/** @type {CustomEvent<T>} */ (event).detail));
}

function start() {
  setText(byId("user-name"), name ?? user);
  view.setTitle(room);
  if (problem) {
    toast(problem, "bad");
    return;
  }
  on("balance", (/** @type {{balance: number}} */ { balance }) => showBalance(balance));
  on("welcome", (/** @type {any} */ { limits }) => {
    panel.streakMs = limits?.combo_timeout_ms ?? panel.streakMs;
  });
  on("gift.settled", onSettled);
  on("pending", showPending);
  on("reminder", showReminder);
  byId("get-coins").addEventListener("click", getCoins);
  loadGifts();
  client.join(room);
  client.connect();
}

start();
