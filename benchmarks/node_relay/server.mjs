// The peer of the benchmark: a relay in the shape of the original application, Express for
// HTTP and `ws` for the sockets, that does as little as a relay can. It counts the audio and
// reports one word for each 0.4 s of it, with the cadence and the JSON of the scripted engine.
// No validation, no storage, no resampling, no bound on any queue.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import express from "express";
import { WebSocketServer } from "ws";

const WORD_MS = 400;
const WORDS_PER_FINAL = 8;
const BYTES_PER_SAMPLE = 2;
const VOCABULARY = (
  "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november " +
  "oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu"
).split(" ");

/** conversationId -> { seq, viewers } */
const conversations = new Map();

function conversation(id) {
  let found = conversations.get(id);
  if (!found) conversations.set(id, (found = { seq: 0, viewers: new Set() }));
  return found;
}

function transcribe(socket, query) {
  const conversationId = query.get("conversationId") ?? randomUUID();
  const speaker = query.get("speaker") ?? "Speaker";
  const language = query.get("language") ?? "en-US";
  const sampleRate = Number(query.get("sampleRate"));
  const channels = Number(query.get("channels") ?? 1);
  const streamId = randomUUID();
  const { viewers } = conversation(conversationId);
  const began = Date.now();
  const wordBytes = (WORD_MS * sampleRate * channels * BYTES_PER_SAMPLE) / 1000;
  let bytes = 0;
  let spoken = 0;
  let finals = 0;
  let words = [];

  function publish(type) {
    const result = {
      type,
      conversationId,
      utteranceId: `${streamId}-${finals}`,
      speaker,
      language,
      startTime: words[0].startTime,
      endTime: words.at(-1).endTime,
      text: words.map(({ word }) => word).join(" "),
      words,
      seq: ++conversation(conversationId).seq,
    };
    if (type === "final") {
      result.timestamp = new Date(began + result.startTime * 1000).toISOString();
      finals += 1;
      words = [];
    }
    const frame = Buffer.from(JSON.stringify(result)); // encoded once for all who get it
    socket.send(frame, { binary: false });
    for (const viewer of viewers) viewer.send(frame, { binary: false });
  }

  socket.on("message", (data, isBinary) => {
    if (!isBinary) {
      // The only text frame of the benchmark is `stop`.
      if (words.length) publish("final");
      const duration = bytes / (sampleRate * channels * BYTES_PER_SAMPLE);
      socket.send(JSON.stringify({ type: "closed", reason: "stopped", duration, finals }));
      socket.close(1000);
      return;
    }
    bytes += data.length;
    while (bytes >= (spoken + 1) * wordBytes) {
      words.push({
        word: VOCABULARY[spoken % VOCABULARY.length],
        startTime: (spoken * WORD_MS) / 1000,
        endTime: ((spoken + 1) * WORD_MS) / 1000,
        confidence: 1,
      });
      spoken += 1;
      publish(words.length === WORDS_PER_FINAL ? "final" : "partial");
    }
  });
  const ready = { type: "ready", conversationId, streamId, engine: "relay", language, sampleRate, channels };
  socket.send(JSON.stringify(ready));
}

function connect(socket, query) {
  const { viewers } = conversation(query.get("conversationId"));
  viewers.add(socket);
  socket.on("close", () => viewers.delete(socket));
}

const app = express();
app.get("/api/stt/healthcheck", (_request, response) => response.send("Yes, I'm ok"));
app.get("/stats", (_request, response) => {
  const { user, system } = process.cpuUsage(); // microseconds
  response.json({ cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss() });
});

const server = createServer(app);
const sockets = new WebSocketServer({ noServer: true });
const routes = { "/api/stt/transcribe": transcribe, "/api/stt/connect": connect };

server.on("upgrade", (request, stream, head) => {
  const url = new URL(request.url, "http://relay");
  const serve = routes[url.pathname];
  if (!serve) return stream.destroy();
  sockets.handleUpgrade(request, stream, head, (socket) => serve(socket, url.searchParams));
});

server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () =>
  console.log(JSON.stringify({ event: "serving", port: server.address().port })),
);
process.on("SIGTERM", () => process.exit(0));
