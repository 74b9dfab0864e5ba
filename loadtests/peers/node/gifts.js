// The debit as one writes it with ioredis: a function call per gift, put together by its auto-pipelining.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const Redis = require("ioredis");

const REF_TTL_S = 86_400;
const PRICES = { rose: 1, heart: 5 };
const LIBRARY = path.join(__dirname, "..", "naive.lua");

function connect() {
  return new Redis(process.env.LIVEGIFT_REDIS_URL, { enableAutoPipelining: true });
}

async function load(redis) {
  await redis.call("FUNCTION", "LOAD", "REPLACE", fs.readFileSync(LIBRARY, "utf8"));
}

/** Debit one gift of `user`; the result as the protocol has it. */
async function send(redis, user, gift) {
  const coins = PRICES[gift.gift_id] * gift.count;
  const event = { user, ref: gift.ref, room: gift.room, gift_id: gift.gift_id, count: gift.count, coins, ts_ms: Date.now() };
  const keys = [`naive:wallet:${user}`, `naive:ref:${user}:${gift.ref}`, "naive:gifts"];
  const [status, balance, id] = await redis.fcall("naive_gift", 3, ...keys, coins, REF_TTL_S, JSON.stringify(event));
  return { type: "gift.result", ref: gift.ref, status, gift_event_id: id, coins, balance: Number(balance) };
}

module.exports = { connect, load, send };
