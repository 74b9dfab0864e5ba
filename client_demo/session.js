/** What the viewer's and the creator's page share: address, HTTP, token and client of one user of the demo. */

import { LiveGift } from "./livegift.js";
import { toast } from "./ui.js";

const ID = /^[A-Za-z0-9._:-]{1,64}$/;
const HTTP_TIMEOUT_MS = 10_000;
const SERVER_ERROR = 500;

/** An HTTP answer that is not a success (RFC 9457), or none at all (`status` 0). */
export class HttpProblem extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
    /** The same request would get the same answer. LiveGift stops on it instead of asking for a token for ever. */
    this.permanent = status >= 400 && status < SERVER_ERROR && status !== 408 && status !== 429;
  }
}

/**
 * @param {string} path
 * @param {{method?: string, body?: object, token?: string}} [request]
 * @returns {Promise<any>} the JSON of the answer; throws HttpProblem
 */
export async function api(path, { method = "GET", body, token } = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  let response;
  try {
    const signal = AbortSignal.timeout(HTTP_TIMEOUT_MS);
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch {
    throw new HttpProblem(0, "unreachable", "The server cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const message = answer.detail || answer.message || answer.title || `The server answered ${response.status}.`;
  throw new HttpProblem(response.status, answer.code ?? "", String(message));
}

/**
 * The page's room and user; what is missing is made up and written to the address, so that a reload is the same user.
 *
 * @param {string} userPrefix
 * @returns {{room: string, user: string, name: string|undefined, title: string|undefined, problem: string|undefined}}
 */
export function pageParams(userPrefix) {
  const query = new URLSearchParams(location.search);
  const room = query.get("room") || "demo";
  const user = query.get("user") || `${userPrefix}-${1000 + Math.floor(Math.random() * 9000)}`;
  query.set("room", room);
  query.set("user", user);
  history.replaceState(null, "", `${location.pathname}?${query}`);
  const wrong = [room, user].find((id) => !ID.test(id));
  const problem = wrong && `“${wrong}” is not a valid name: use 1 to 64 letters, digits or . _ : -`;
  return { room, user, name: query.get("name") ?? undefined, title: query.get("title") ?? undefined, problem };
}

/**
 * A client for one user of the demo, and tokens for the HTTP API.
 *
 * @param {{user: string, role: "viewer"|"creator", room?: string, name?: string}} identity
 */
export function openSession(identity) {
  const getToken = async () => (await api("/demo/token", { method: "POST", body: identity })).token;
  const url = new URL("/v1/ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const client = new LiveGift({ url: url.href, getToken });
  addEventListener("online", () => client.reconnectNow());
  client.addEventListener("problem", (event) => toast(/** @type {CustomEvent} */ (event).detail.message, "bad"));

  let token = "";
  /** @param {string} path @param {{method?: string, body?: object}} [request] with a token, a new one when it is old */
  async function call(path, request) {
    token ||= await getToken();
    try {
      return await api(path, { ...request, token });
    } catch (error) {
      if (!(error instanceof HttpProblem) || error.status !== 401) throw error;
      token = await getToken();
      return api(path, { ...request, token });
    }
  }
  return { client, call };
}
