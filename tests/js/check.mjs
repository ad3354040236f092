// Drives a server with the official client: node check.mjs websocket|longpoll URL AUTH_URL [GUESTS]
//
// URL is an endpoint without auth tokens, AUTH_URL one that takes them. Prints `ok NAME` or `not ok NAME: why` for
// every case, then how many of how many; exits with 1 unless all are ok.
// GUESTS is how many other clients are in the random case of presence, and say so when their lists are equal to the one
// they are told.
// SEED=N takes the steps of a random case that failed with it.

import { LongPoll, Presence, Socket } from "phoenix";
import WebSocket from "ws";

const [transport, url, authUrl, guests = 0] = process.argv.slice(2);
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
  "presence": async () => {
    const ann = await present("presence:1", "ann", { v: 1 });
    const bob = await present("presence:1", "bob", { v: 2 });
    await agree(ann, bob);

    // An update: bob is there before the join, and still there behind the leave.
    const seen = queue();
    const values = (presence) => presence?.metas.map((meta) => meta.v ?? meta.dev);
    ann.presence.onJoin((key, current, joined) => seen.add(["join", key, values(current), values(joined)]));
    ann.presence.onLeave((key, current, left) => seen.add(["leave", key, values(current), values(left)]));
    equal(await outcome(bob.channel.push("update_meta", { v: 3 })), ["ok", {}]);
    await agree(ann, bob);
    equal([await seen.next(), await seen.next()], [["join", "bob", [2], [3]], ["leave", "bob", [3], [2]]]);

    const phone = await present("presence:1", "bob", { dev: "phone" });
    await agree(ann, bob, phone);
    equal(await seen.next(), ["join", "bob", [3], ["phone"]]);
    cut(phone.socket);
    equal(await seen.next(), ["leave", "bob", [3], ["phone"]]);
    cut(bob.socket);
    equal(await seen.next(), ["leave", "bob", [], [3]]);
    await agree(ann);
    equal(ann.presence.list((key) => key), ["ann"]);
  },
  "presence keys": async () => {
    const odd = ["__proto__", "constructor", "", "é"];
    const devices = [];
    for (const key of odd) devices.push(await present("presence:keys", key, { v: 1 }));
    await agree(...devices);
    for (const { channel } of devices) equal(await outcome(channel.push("update_meta", { v: 2 })), ["ok", {}]);
    await agree(...devices);
    const [{ presence }] = devices;
    equal(presence.list((key, { metas }) => [key, metas.map((meta) => meta.v)]).sort(), odd.map((key) => [key, [2]]).sort());
    for (const { channel } of devices.slice(1)) equal(await outcome(channel.push("untrack", {})), ["ok", {}]);
    await agree(...devices);
    equal(presence.list((key) => key), ["__proto__"]);
  },
  "presence, at random": async () => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
    try {
      await before(DEADLINE * 0.9, atRandom(seed));
    } catch (error) {
      throw new Error(`SEED=${seed}: ${error.message}`);
    }
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

const opened = [];
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
  opened.splice(0).forEach((socket) => socket.disconnect());
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
  opened.push(socket);
  socket.connect();
  return socket;
}

async function joined(socket, topic, params = {}) {
  const channel = socket.channel(topic, params);
  equal((await outcome(channel.join()))[0], "ok");
  return channel;
}

// A client that is present under a key. `joins` tells of its joins, rejoins too.
async function present(topic, user, meta = {}, options = {}) {
  const device = { socket: connect(url, options), topic, user, meta, ghosts: new Set() };
  await enter(device);
  return device;
}

async function enter(device) {
  device.channel = device.socket.channel(device.topic, { user: device.user, meta: device.meta });
  device.joins = queue();
  foreseeGhosts(device);
  device.presence = new Presence(device.channel);
  device.channel.join().receive("ok", device.joins.add);
  equal(await device.joins.next(), { user: device.user });
}

// The client keeps diffs that are queued while it waits for a state, and applies them to the state of a later join if
// the one they came with brings none. Who they tell of may have left since: that is the client's fault, not the server's.
// These handlers come before the client's own.
function foreseeGhosts({ channel, ghosts }) {
  let synced;
  let waiting = [];
  channel.on("presence_diff", ({ joins }) => {
    if (synced !== channel.joinRef()) waiting.push([channel.joinRef(), joins]);
  });
  channel.on("presence_state", () => {
    synced = channel.joinRef();
    for (const [joinRef, joins] of waiting) {
      if (joinRef !== synced) Object.values(joins).forEach(({ metas }) => metas.forEach((meta) => ghosts.add(meta.phx_ref)));
    }
    waiting = [];
  });
}

// What each client has come to is what the server has: a reply comes behind all that was told before.
async function agree(...devices) {
  for (const { channel, presence, ghosts } of devices) {
    const [status, list] = await outcome(channel.push("list", {}));
    equal(status, "ok");
    const there = new Set(Object.values(list).flatMap(({ metas }) => metas.map((meta) => meta.phx_ref)));
    const real = ({ phx_ref }) => there.has(phx_ref) || !ghosts.has(phx_ref);
    const own = presence.list((key, { metas }) => [key, metas.filter(real)]).filter(([, metas]) => metas.length > 0);
    equal(own.map(byRef).sort(byKey), Object.entries(list).map(([key, { metas }]) => byRef([key, metas])).sort(byKey));
  }
}

function byRef([key, metas]) {
  return [key, [...metas].sort((one, other) => (one.phx_ref < other.phx_ref ? -1 : 1))];
}

function byKey([one], [other]) {
  return one < other ? -1 : 1;
}

// Ends a connection as a network does. A session over long-poll would outlive that for long: what is no message ends it.
function cut({ connection: { transport: connection } }) {
  if (transport === "websocket") return connection.terminate();
  const headers = { "Content-Type": "application/x-ndjson" };
  fetch(connection.endpointURL(), { method: "POST", headers, body: "[" }).catch(() => {});
  connection.ontimeout();
}

// Devices of a few users, each with a will of its own.
async function atRandom(seed) {
  const STEPS = 50;
  const users = ["ann", "bob", "__proto__"];
  const devices = await Promise.all(Array.from({ length: 6 }, async (_, n) => {
    const options = { reconnectAfterMs: () => 1, rejoinAfterMs: () => 1 };
    const device = await present("presence:random", users[n % users.length], { n }, options);
    return { device, random: generator(seed + n), tracked: true };
  }));
  await Promise.all(devices.map(async (state) => {
    for (let step = 0; step < STEPS; step += 1) await act(state, step);
    if (!state.tracked) await toggle(state);
  }));
  // The server has heard of all that was cut once as many are present as there are.
  const count = async ({ channel }) => {
    const [, list] = await outcome(channel.push("list", {}));
    return Object.values(list).flatMap(({ metas }) => metas).length;
  };
  while ((await count(devices[0].device)) !== devices.length + Number(guests)) continue;
  await agree(...devices.map(({ device }) => device));
  // And with it the lists of the other clients.
  const [{ device: { channel, presence } }] = devices;
  const equals = queue();
  channel.on("told", equals.add);
  await outcome(channel.push("tell", { list: Object.fromEntries(presence.list((key, { metas }) => [key, { metas }])) }));
  for (let guest = 0; guest < Number(guests); guest += 1) equal(await equals.next(), { equal: true });
}

async function act(state, step) {
  const { device, random } = state;
  const action = random(8);
  if (action < 3) {
    if (state.tracked) equal(await outcome(device.channel.push("update_meta", { step })), ["ok", {}]);
  } else if (action < 5) {
    await toggle(state);
  } else if (action === 5) {
    const gone = closed(device);
    device.channel.leave();
    await gone;
    await enter(device);
    state.tracked = true;
  } else if (action === 6) {
    // Once more as soon as it is joined, perhaps before the state.
    for (let times = 1 + random(2); times > 0; times -= 1) {
      cut(device.socket);
      await device.joins.next();
    }
    state.tracked = true;
  } else if (state.tracked) {
    // What is tracked already crashes the channel.
    device.channel.push("track", {});
    await device.joins.next();
  }
}

async function toggle(state) {
  equal(await outcome(state.device.channel.push(state.tracked ? "untrack" : "track", {})), ["ok", {}]);
  state.tracked = !state.tracked;
}

// Broadcasts have no join ref: a new channel on the topic would take those of the old one for its own until this.
function closed({ socket, channel }) {
  const joinRef = channel.joinRef();
  return new Promise((resolve) => {
    const handler = socket.onMessage(({ topic, event, join_ref }) => {
      if (topic !== channel.topic || event !== "phx_close" || join_ref !== joinRef) return;
      socket.off([handler]);
      resolve();
    });
  });
}

// mulberry32
function generator(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
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
