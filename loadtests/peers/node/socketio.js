// A room on Socket.IO with its Redis adapter, and gifts with an acknowledgement each. For comparison only.
// `node socketio.js FD`, FD being a socket that listens, with LIVEGIFT_REDIS_URL in the environment.
"use strict";

const http = require("node:http");
const Redis = require("ioredis");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const gifts = require("./gifts");

async function main() {
  const publisher = new Redis(process.env.LIVEGIFT_REDIS_URL);
  const redis = gifts.connect();
  await gifts.load(redis);
  const server = http.createServer();
  const io = new Server(server, {
    adapter: createAdapter(publisher, publisher.duplicate()),
    transports: ["websocket"],
    serveClient: false,
  });
  io.on("connection", (socket) => {
    let user = "";
    // Its own client would ask to join once it is connected; ours sends nothing of its own accord.
    if (socket.handshake.query.room) socket.join(socket.handshake.query.room);
    socket.emit("welcome");
    socket.on("hello", (name, answer) => answer({ user: (user = name) }));
    socket.on("gift", async (gift, answer) => answer(await gifts.send(redis, user, gift)));
  });
  server.listen({ fd: Number(process.argv[2]) });
}

main();
