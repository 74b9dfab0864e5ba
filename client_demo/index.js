/** The start page: names to begin with, and the rooms that are live. */

import { api } from "./session.js";
import { byId, el } from "./ui.js";

const ROOMS_SHOWN_MAX = 12;

const guest = () => `guest-${1000 + Math.floor(Math.random() * 9000)}`;

/** @param {any} room @returns {HTMLElement} */
function roomLink(room) {
  const address = `/demo/viewer?${new URLSearchParams({ room: room.id, user: guest() })}`;
  return el(
    "li",
    {},
    el(
      "a",
      { class: "room-link", href: address },
      el("b", { text: room.title || room.id, dir: "auto" }),
      el("span", { class: "muted", text: room.id }),
    ),
  );
}

async function showRooms() {
  const { items } = await api("/v1/rooms").catch(() => ({ items: [] }));
  const live = (items ?? []).filter((/** @type {any} */ room) => room.status !== "ended").slice(0, ROOMS_SHOWN_MAX);
  byId("rooms").replaceChildren(...live.map(roomLink));
  byId("rooms-box").hidden = live.length === 0;
}

byId("viewer-user").value = guest();
showRooms();
