// Folds presence with the official client: node presence_bench.mjs, with a state, diffs and `go` on lines of standard
// input. For every `go` it folds all of them and prints the milliseconds of the state and the microseconds of a diff,
// with the parsing of their JSON.

import { Presence } from "phoenix";
import { createInterface } from "node:readline";

const texts = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "go") {
    texts.push(line);
    continue;
  }
  const [state, ...diffs] = texts;
  const start = performance.now();
  let list = Presence.syncState({}, JSON.parse(state));
  const synced = performance.now();
  for (const diff of diffs) {
    list = Presence.syncDiff(list, JSON.parse(diff));
  }
  const end = performance.now();
  console.log(synced - start, ((end - synced) / diffs.length) * 1e3, Object.keys(list).length);
}
