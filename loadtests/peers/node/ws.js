// A room on `ws`, the event serialised once for all, and gifts with a result each. For comparison only.
// `node ws.js FD`, FD being a socket that listens, with LIVEGIFT_REDIS_URL in the environment.
"use strict";

const http = require("node:http");
const Redis = require("ioredis");
const { WebSocket, WebSocketServer } = require("ws");
const gifts = require("./gifts");

const CHANNEL = "bench:events";

async function main() {
  const redis = gifts.connect();
  await gifts.load(redis);
  const server = http.createServer();
  const viewers = new WebSocketServer({ server });
  viewers.on("connection", (socket) => {
    let user = "";
    socket.send('{"type":"connected"}');
    socket.on("message", async (data) => {
      const command = JSON.parse(data);
      if (command.type === "hello") {
        user = command.user;
        socket.send(JSON.stringify({ type: "welcome", user: { id: user } }));
      } else {
        socket.send(JSON.stringify(await gifts.send(redis, user, command)));
      }
    });
  });
  const subscriber = new Redis(process.env.LIVEGIFT_REDIS_URL);
  subscriber.on("messageBuffer", (_channel, event) => {
    for (const viewer of viewers.clients) {
      if (viewer.readyState === WebSocket.OPEN) viewer.send(event, { binary: false });
    }
  });
  await subscriber.subscribe(CHANNEL);
  server.listen({ fd: Number(process.argv[2]) });
}

main();
