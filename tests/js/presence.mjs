// Runs messages through the official client's own Presence: node presence.mjs < LINES
//
// Each line is a JSON array: ["new"] begins with an empty list whose first join was sent, ["join"] is a further join,
// ["state", PAYLOAD] and ["diff", PAYLOAD] are messages, ["drop"] drops the diffs that wait. Prints a line for each of
// them: the list, what was told, how many diffs wait.

import { Presence } from "phoenix";

let joinRef, receive, presence, told;

const steps = {
  new: () => {
    joinRef = 1;
    receive = {};
    presence = new Presence({ on: (event, callback) => (receive[event] = callback), joinRef: () => `${joinRef}` });
    presence.onJoin((key, current, joined) => tell({ kind: "join", key, current: current ?? null, new: joined }));
    presence.onLeave((key, current, left) => tell({ kind: "leave", key, current, left }));
    presence.onSync(() => tell({ kind: "sync" }));
  },
  join: () => (joinRef += 1),
  state: (payload) => receive["presence_state"](payload),
  diff: (payload) => receive["presence_diff"](payload),
  drop: () => (presence.pendingDiffs = []),
};

const lines = [];
for await (const chunk of process.stdin) lines.push(chunk);
const out = [];
for (const line of Buffer.concat(lines).toString().trimEnd().split("\n")) {
  const [name, argument] = JSON.parse(line);
  told = [];
  steps[name](argument);
  out.push(JSON.stringify([presence.state, told, presence.pendingDiffs.length]));
}
process.stdout.write(out.join("\n"));

// As it is now: the client changes it later on.
function tell(what) {
  told.push(JSON.parse(JSON.stringify(what)));
}
