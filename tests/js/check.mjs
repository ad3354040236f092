// Drives a server with the official client: node check.mjs websocket|longpoll URL AUTH_URL
//
// URL is an endpoint without auth tokens, AUTH_URL one that takes them. Prints `ok NAME` or `not ok NAME: why` for
// every case, then how many of how many; exits with 1 unless all are ok.

import { LongPoll, Socket } from "phoenix";
import WebSocket from "ws";

const [transport, url, authUrl] = process.argv.slice(2);
const DEADLINE = 20_000;
const NEVER = 1_000_000;

const cases = {
  "join": async (socket) => {
    const [status, response] = await outcome(socket.channel("echo:1", { a: 1 }).join());
    equal([status, response], ["ok", { joined: "echo:1", params: { a: 1 } }]);
  },
  "join refused": async (socket) => {
    equal(await outcome(socket.channel("echo:refuse").join()), ["error", { reason: "unauthorized" }]);
  },
  "join of an unmatched topic": async (socket) => {
    // Its reply has no join ref, so the client's own channel takes it for the join's all the same.
    equal(await outcome(socket.channel("nosuch:1").join()), ["error", { reason: "unmatched topic" }]);
  },
  "join crashed": async (socket) => {
    equal(await outcome(socket.channel("echo:crashjoin").join()), ["error", { reason: "join crashed" }]);
  },
  "push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    equal(await outcome(channel.push("echo", { x: "é" })), ["ok", { x: "é" }]);
  },
  "push refused": async (socket) => {
    const channel = await joined(socket, "echo:1");
    equal(await outcome(channel.push("err", {})), ["error", { reason: "nope" }]);
  },
  "push with another status": async (socket) => {
    const channel = await joined(socket, "echo:1");
    equal(await outcome(channel.push("custom_status", { status: "weird" })), ["weird", { custom: true }]);
  },
  "push without a reply": async (socket) => {
    const channel = await joined(socket, "echo:1");
    const unanswered = outcome(channel.push("noreply", {})).then(() => "answered");
    await outcome(channel.push("echo", {}));
    equal(await Promise.race([unanswered, Promise.resolve("silent")]), "silent");
  },
  "binary push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    const [status, response] = await outcome(channel.push("echo_bin", Uint8Array.of(0, 1, 2, 255).buffer));
    equal([status, bytes(response)], ["ok", [0, 1, 2, 255]]);
  },
  "binary push refused": async (socket) => {
    const channel = await joined(socket, "echo:1");
    const [status, response] = await outcome(channel.push("echo_bin_err", Uint8Array.of(254).buffer));
    equal([status, bytes(response)], ["error", [254]]);
  },
  "server push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    const seen = [];
    channel.on("msg", (payload) => seen.push(payload));
    await outcome(channel.push("push_me", { n: 2, size: 3 }));
    equal(seen, [{ data: "xxx", i: 1 }, { data: "xxx", i: 2 }]);
  },
  "binary server push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    const seen = [];
    channel.on("bin", (payload) => seen.push(bytes(payload)));
    await outcome(channel.push("push_bin", { n: 1, size: 2 }));
    equal(seen, [[0, 0, 0, 1, 255, 255]]);
  },
  "broadcast": async (socket) => {
    const channel = await joined(socket, "room:1");
    const seen = [];
    channel.on("shout", (payload) => seen.push(payload));
    channel.on("shout_bin", (payload) => seen.push(bytes(payload)));
    await outcome(channel.push("shout", { t: 1 }));
    await outcome(channel.push("shout_bin", Uint8Array.of(0, 255, 16).buffer));
    await outcome(channel.push("shout_from", { t: 2 }));
    equal(seen, [{ t: 1 }, [0, 255, 16]]);
  },
  "intercepted broadcast": async (socket) => {
    const channel = await joined(socket, "intercept:1", { who: "A" });
    const seen = new Promise((resolve) => channel.on("shout", resolve));
    channel.push("shout", { m: 1 });
    equal(await seen, { m: 1, seen_by: "A" });
  },
  "crash, then rejoin": async (socket) => {
    const channel = socket.channel("echo:s");
    const joins = queue();
    channel.join().receive("ok", joins.add);
    await joins.next();
    const crashed = new Promise((resolve) => channel.onError(resolve));
    channel.push("crash", {});
    equal(await crashed, { reason: "channel_crash" });
    await joins.next();
    equal(await outcome(channel.push("echo", { again: true })), ["ok", { again: true }]);
  },
  "close by the server": async (socket) => {
    const channel = await joined(socket, "echo:s");
    const closed = new Promise((resolve) => channel.onClose(resolve));
    channel.push("stop", {});
    equal(await closed, {});
    equal(channel.state, "closed");
  },
  // Raw: a channel of the client would leave the topic first.
  "duplicate join": async (socket) => {
    const { push, next } = raw(socket, "echo:dup");
    push("1", "1", "phx_join");
    equal(await next(), ["1", "1", "phx_reply", "ok"]);
    push("2", "2", "phx_join");
    equal([await next(), await next()], [["2", "2", "phx_reply", "ok"], ["1", "1", "phx_close", undefined]]);
    push("1", "3", "echo");
    push("2", "4", "echo");
    equal(await next(), ["2", "4", "phx_reply", "ok"]);
  },
  "leave": async (socket) => {
    const { push, next } = raw(socket, "echo:left");
    push("1", "1", "phx_join");
    equal(await next(), ["1", "1", "phx_reply", "ok"]);
    push("1", "2", "phx_leave");
    equal([await next(), await next()], [["1", "2", "phx_reply", "ok"], ["1", "1", "phx_close", undefined]]);
    push("1", "3", "echo");
    equal(await next(), [null, "3", "phx_reply", "error"]);
  },
  // The second goes out only once the first is answered; one unanswered ends the connection.
  "heartbeat": async () => {
    const socket = connect(url, { heartbeatIntervalMs: 500 });
    const beats = queue();
    socket.onMessage(({ topic }) => topic === "phoenix" && beats.add("beat"));
    socket.onError(() => beats.add("error"));
    socket.onClose(() => beats.add("close"));
    equal([await beats.next(), await beats.next()], ["beat", "beat"]);
    socket.disconnect();
  },
  "auth token": async () => {
    const socket = connect(authUrl, { authToken: "tok-123", params: { user_id: "u1" } });
    const channel = await joined(socket, "echo:1");
    const [status, response] = await outcome(channel.push("whoami", {}));
    equal([status, response.auth_token], ["ok", "tok-123"]);
    socket.disconnect();
  },
  "auth token refused": async () => {
    const socket = connect(authUrl, { authToken: "bad" });
    equal(await failure(socket), "Unexpected server response: 403");
  },
  "auth token unanswered": async () => {
    const socket = connect(url, { authToken: "tok-123" });
    equal(await failure(socket), "Server sent no subprotocol");
  },
  "connect refused": async () => {
    const socket = connect(url, { params: { deny: "429" } });
    equal(await failure(socket), "Unexpected server response: 429");
  },
};

// What is otherwise over long-poll.
const polled = {
  "binary push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    equal(await outcome(channel.push("bin_size", Uint8Array.of(0, 1, 2, 255).buffer)), ["ok", { size: 4 }]);
    await unsayable(() => channel.push("echo_bin", Uint8Array.of(0, 1, 2, 255).buffer));
  },
  "binary push refused": async (socket) => {
    const channel = await joined(socket, "echo:1");
    await unsayable(() => channel.push("echo_bin_err", Uint8Array.of(254).buffer));
  },
  "binary server push": async (socket) => {
    const channel = await joined(socket, "echo:1");
    await unsayable(() => channel.push("push_bin", { n: 1, size: 2 }));
  },
  "broadcast": async (socket) => {
    const channel = await joined(socket, "room:1");
    const seen = [];
    channel.on("shout", (payload) => seen.push(payload));
    await outcome(channel.push("shout", { t: 1 }));
    await outcome(channel.push("shout_from", { t: 2 }));
    equal(seen, [{ t: 1 }]);
    await unsayable(() => channel.push("shout_bin", Uint8Array.of(0, 255, 16).buffer));
  },
  // The client sends none of its own accord.
  "heartbeat": async (socket) => {
    const beats = queue();
    socket.onMessage(({ topic, ref, event, payload }) => topic === "phoenix" && beats.add([ref, event, payload]));
    await new Promise((resolve) => socket.onOpen(resolve));
    socket.push({ topic: "phoenix", event: "heartbeat", payload: {}, ref: "h" });
    equal(await beats.next(), ["h", "phx_reply", { response: {}, status: "ok" }]);
  },
  "auth token refused": async () => {
    equal(await failure(connect(authUrl, { authToken: "bad" })), 403);
  },
  "auth token unanswered": async () => {
    const socket = connect(url, { authToken: "tok-123" });
    equal(await failure(socket), "opened");
    socket.disconnect();
  },
  "connect refused": async () => {
    equal(await failure(connect(url, { params: { deny: "429" } })), 403);
  },
};

const transports = { websocket: [WebSocket, {}], longpoll: [LongPoll, polled] };
const [Transport, others] = transports[transport];

// The polls that were answered with an error.
const failed = queue();
const { fetch } = globalThis;
globalThis.fetch = async (address, options) => {
  const response = await fetch(address, options);
  if (!response.ok) failed.add([response.status, address]);
  return response;
};

let passed = 0;
for (const [name, run] of Object.entries({ ...cases, ...others })) {
  const socket = connect(url);
  try {
    await before(DEADLINE, run(socket));
    console.log(`ok ${name}`);
    passed += 1;
  } catch (error) {
    console.log(`not ok ${name}: ${error.message}`);
  }
  socket.disconnect();
}
console.log(`${passed} of ${Object.keys(cases).length}`);
process.exit(passed === Object.keys(cases).length ? 0 : 1);

function connect(endpoint, options = {}) {
  const socket = new Socket(endpoint, {
    transport: Transport,
    heartbeatIntervalMs: NEVER,
    reconnectAfterMs: () => NEVER,
    rejoinAfterMs: () => 10,
    ...options,
  });
  socket.connect();
  return socket;
}

async function joined(socket, topic, params = {}) {
  const channel = socket.channel(topic, params);
  equal((await outcome(channel.join()))[0], "ok");
  return channel;
}

function outcome(push) {
  return new Promise((resolve) => {
    for (const status of ["ok", "error", "weird", "timeout"]) {
      push.receive(status, (response) => resolve([status, response]));
    }
  });
}

// Messages of a topic that no channel of the client has.
function raw(socket, topic) {
  const messages = queue();
  socket.onMessage((message) => {
    const { join_ref, ref, event, payload } = message;
    if (message.topic === topic) messages.add([join_ref, ref, event, payload.status]);
  });
  const push = (join_ref, ref, event) => socket.push({ topic, event, payload: {}, ref, join_ref });
  return { push, next: messages.next };
}

function failure(socket) {
  return new Promise((resolve) => {
    socket.onError((error) => resolve(error.message ?? error));
    socket.onOpen(() => resolve("opened"));
  });
}

// A binary message that is no UTF-8 cannot be polled for: that poll fails, and all with it is lost. The client gives up
// then, but the session lives.
async function unsayable(send) {
  send();
  const [status, poll] = await failed.next();
  equal(status, 500);
  const push = { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: '[null,"p","nosuch:1","e",{}]' };
  equal(await (await fetch(poll, push)).json(), { status: 200 });
  const { status: told, messages } = await (await fetch(poll)).json();
  const reply = [null, "p", "nosuch:1", "phx_reply", { response: { reason: "unmatched topic" }, status: "error" }];
  equal([told, JSON.parse(messages.at(-1))], [200, reply]);
}

function queue() {
  const items = [];
  const waiting = [];
  const add = (item) => (waiting.length > 0 ? waiting.shift()(item) : items.push(item));
  const next = () => (items.length > 0 ? Promise.resolve(items.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return { add, next };
}

function bytes(buffer) {
  equal(buffer.constructor, ArrayBuffer);
  return [...new Uint8Array(buffer)];
}

function before(ms, promise) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`nothing for ${ms} ms`)), ms).unref());
  return Promise.race([promise, late]);
}

function equal(got, want) {
  const [left, right] = [got, want].map((value) => (typeof value === "function" ? value.name : JSON.stringify(sorted(value))));
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

function sorted(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return Array.isArray(value) ? value.map(sorted) : value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}
