/** The creator's studio: open a room, see every gift with its worth, follow the diamonds, end the room. */

import { GiftFeed } from "./feed.js";
import { RoomView } from "./room-view.js";
import { HttpProblem, openSession, pageParams } from "./session.js";
import { OpenStreaks } from "./streaks.js";
import { bump, byId, copyFrom, el, formatNumber, reducedMotion, setNumber, setText, toast, userName } from "./ui.js";

const BALANCE_PACE_MS = 400;
const BOOKED_MS = 2_500;
const CREDIT_SHOWN_MS = 4_000;
const SETUP_RETRY_MS = 3_000;

const { room, user, name, title, problem } = pageParams("creator");
const { client, call } = openSession({ user, role: "creator", name });
const feed = new GiftFeed(byId("feed"), {
  announcer: byId("announcer"),
  footnote: byId("feed-footnote"),
  amounts: true,
});
const streaks = new OpenStreaks(byId("streaks"), byId("streaks-empty"));
const view = new RoomView(client, room, {
  feed,
  onGift: (event) => streaks.apply(event),
  onRevoked,
  onCombos: (combos) => streaks.reset(combos),
  onStatus,
});
const roomPath = `/v1/rooms/${encodeURIComponent(room)}`;

// --- Diamonds --------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof setTimeout>|undefined} */
let balanceTimer;

/** Credits come in batches, several a second in a busy room: one request serves them all. */
function refreshBalanceSoon() {
  balanceTimer ??= setTimeout(() => {
    balanceTimer = undefined;
    refreshBalance();
  }, BALANCE_PACE_MS);
}

async function refreshBalance() {
  try {
    const balance = await call("/v1/creator/balance");
    if (setNumber(byId("diamonds-total"), balance.diamonds_total)) bump(byId("diamonds-total"), 1.1);
    setNumber(byId("diamonds-pending"), balance.diamonds_pending);
    setNumber(byId("diamonds-available"), balance.diamonds_available);
  } catch {
    // The figures stay as they are; the next credit or reconnect asks again.
  }
}

/** A revoked gift's diamonds go when the ledger books it, a moment after the room hears of it. @param {any} event */
function onRevoked(event) {
  streaks.revoke(event);
  setTimeout(refreshBalanceSoon, BOOKED_MS);
}

/** @param {{batch_id: string, diamonds: number}} credit */
function onCredited({ diamonds }) {
  refreshBalanceSoon();
  const pulse = el("span", {
    class: "credit",
    text: `+${formatNumber(diamonds)} credited`,
    data: { testid: "credited" },
  });
  const shown = byId("credits");
  shown.replaceChildren(pulse);
  if (!reducedMotion()) {
    pulse.animate(
      [
        { opacity: 0, transform: "translateY(10px) scale(.9)" },
        { opacity: 1, transform: "none" },
      ],
      260,
    );
    byId("diamonds-card").animate(
      [{ boxShadow: "inset 0 0 60px #6fe3ff80" }, { boxShadow: "inset 0 0 60px #6fe3ff00" }],
      900,
    );
  }
  setTimeout(() => pulse.remove(), CREDIT_SHOWN_MS);
}

// --- The room --------------------------------------------------------------------------------------------------------

/** @returns {Promise<any>} the room, opened when there was none */
async function findOrOpenRoom() {
  try {
    return await call(roomPath);
  } catch (error) {
    if (!(error instanceof HttpProblem) || error.status !== 404) throw error;
  }
  const body = { id: room, title: title ?? `${name ?? user}’s live`, kind: "live" };
  const opened = await call("/v1/rooms", { method: "POST", body });
  toast(`Room “${room}” is open.`, "good");
  return opened;
}

/** @param {RoomView} at */
function onStatus({ status, creator }) {
  const ended = status === "ended";
  const mine = !creator || creator.id === user;
  byId("end-room").disabled = ended || !mine;
  byId("ended").hidden = !ended;
  byId("not-mine").hidden = mine;
  if (!mine) setText(byId("not-mine"), `This room belongs to ${userName(creator)}: you see what its viewers see.`);
}

async function endRoom() {
  const button = byId("end-room");
  button.disabled = true;
  try {
    await call(roomPath, { method: "PATCH", body: { status: "ended" } });
    toast("The room has ended.", "good");
  } catch (/** @type {any} */ error) {
    button.disabled = false;
    toast(`The room could not be ended: ${error.message}`, "bad");
  }
}

function wireEnding() {
  const dialog = byId("end-dialog");
  byId("end-room").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "end") endRoom();
    dialog.returnValue = "";
  });
  const next = new URLSearchParams({ room: `${room.slice(0, 58)}-${1000 + Math.floor(Math.random() * 9000)}`, user });
  byId("open-another").href = `?${next}`;
}

function wireLink() {
  const link = new URL("/demo/viewer", location.href);
  link.searchParams.set("room", room);
  const input = byId("viewer-link");
  input.value = link.href;
  byId("open-viewer").href = link.href;
  byId("copy-link").addEventListener("click", async () => {
    if (await copyFrom(input)) toast("Link copied.", "good");
    else toast("Copy the selected link by hand.", "warn");
  });
}

async function enter() {
  try {
    const found = await findOrOpenRoom();
    if (found?.title) view.setTitle(found.title);
  } catch (/** @type {any} */ error) {
    toast(`The room could not be opened: ${error.message}`, "bad");
    if (!error.permanent) setTimeout(enter, SETUP_RETRY_MS);
    return;
  }
  client.join(room);
  client.connect();
}

function start() {
  setText(byId("user-name"), name ?? user);
  view.setTitle(room);
  if (problem) {
    toast(problem, "bad");
    return;
  }
  wireLink();
  wireEnding();
  client.addEventListener("credited", (event) => onCredited(/** @type {CustomEvent} */ (event).detail));
  client.addEventListener("welcome", refreshBalanceSoon);
  enter();
}

start();
