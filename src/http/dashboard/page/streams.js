// One stream of events to every node that this browser reaches. One of them is the primary: its
// view is what the tables show. When it breaks, another takes over.
//
// `fetch` and not EventSource: an access token goes along in a header, and a stream that is
// silent is noticed.

import { askForAccess, onTokenChange, tokenFor } from "./access.js";
import { emit, nodeAddress, state, takeChange, takeStatus } from "./state.js";

// A node publishes its status five times a second; a frozen one holds its connections.
const SILENT_MS = 2500;
const CONNECT_MS = 4000;
const RETRY_MS = [200, 400, 800, 1500, 2000];
// A node that never answered this browser is perhaps behind a wall.
const RETRY_UNREACHED_MS = 10_000;
const HISTORY = 300;

class Stream {
  /** @param {string} base of its addresses; empty for the node that this page is from. */
  constructor(base) {
    this.base = base;
    this.node = null;
    this.state = "connecting";
    this.error = "";
    this.heardAt = performance.now();
    this.opened = false;
    this.brokenAt = 0;
    this.locked = false;
    this.attempt = 0;
    this.stopped = false;
    this.abort = null;
    this.run();
  }

  get home() {
    return this.base === "";
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
  }

  async run() {
    while (!this.stopped) {
      try {
        await this.follow();
        this.broke("it closed the stream");
      } catch (error) {
        this.locked = error.status === 401;
        this.broke(error.status ? error.message : this.opened ? "the connection broke" : "it cannot be reached from here");
      }
      if (this.stopped) return;
      // The others ask the same, and one answer is good for all.
      if (this.locked && this.home) await askForAccess();
      const isLast = this.attempt >= RETRY_MS.length;
      const wait = isLast && !this.opened && !this.home ? RETRY_UNREACHED_MS : RETRY_MS[Math.min(this.attempt, RETRY_MS.length - 1)];
      this.attempt += 1;
      await new Promise((done) => {
        this.wake = done;
        setTimeout(done, wait);
      });
    }
  }

  async follow() {
    this.abort = new AbortController();
    this.heardAt = performance.now() + CONNECT_MS - SILENT_MS;
    const token = tokenFor();
    const response = await fetch(`${this.base}/cluster/events?history=${HISTORY}&traffic=1`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: this.abort.signal,
      cache: "no-store",
    });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw Object.assign(new Error(problem.error ?? `status ${response.status}`), { status: response.status });
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser((event, data) => this.take(event, data));
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.heardAt = performance.now();
      parser.feed(value);
    }
  }

  take(event, data) {
    if (event === "status") {
      const status = JSON.parse(data);
      this.knows(status.node);
      if (this.state !== "open") {
        this.state = "open";
        this.opened = true;
        this.error = "";
        this.attempt = 0;
        choosePrimary();
        emit("streams");
      }
      takeStatus(status, state.primary === this.node);
      if (state.primary === this.node) reconcile(status);
    } else if (event === "change") {
      takeChange(JSON.parse(data));
    } else if (event === "traffic") {
      emit("traffic", JSON.parse(data));
    }
  }

  knows(node) {
    if (this.node === node) return;
    this.node = node;
    if (this.home) state.home = node;
    // The address of a node may lead to where this page is from: one stream is enough.
    for (const other of [...all]) {
      if (other !== this && other.node === node && !other.home) drop(other);
    }
    state.streams.set(node, this);
  }

  broke(error) {
    if (this.stopped) return;
    const wasOpen = this.state === "open";
    if (this.state !== "broken") this.brokenAt = performance.now();
    this.state = "broken";
    this.error = error;
    if (wasOpen) choosePrimary();
    emit("streams");
  }
}

/** Takes apart `text/event-stream` (WHATWG HTML, section 9.2). */
class Parser {
  constructor(dispatch) {
    this.dispatch = dispatch;
    this.rest = "";
    this.event = "";
    this.data = [];
  }

  feed(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length) this.dispatch(this.event, this.data.join("\n"));
      this.event = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.event = value;
    else if (name === "data") this.data.push(value);
  }
}

const all = new Set();

function drop(stream) {
  stream.stop();
  all.delete(stream);
  if (state.streams.get(stream.node) === stream) state.streams.delete(stream.node);
}

/** A stream to each node that the primary names, and to no other. */
function reconcile(status) {
  const wanted = new Map(status.nodes.map((node) => [node.id, `${location.protocol}//${nodeAddress(node)}`]));
  for (const stream of [...all]) {
    if (stream.home || !stream.node) continue;
    if (wanted.get(stream.node) !== stream.base) drop(stream);
  }
  for (const [node, base] of wanted) {
    if (state.streams.has(node)) continue;
    const stream = new Stream(base);
    stream.node = node;
    all.add(stream);
    state.streams.set(node, stream);
  }
}

function choosePrimary() {
  const open = [...all].filter((stream) => stream.state === "open");
  const current = open.find((stream) => stream.node === state.primary);
  const best = open.find((stream) => stream.home) ?? current ?? open[0];
  if (!best) {
    emit("silent", true);
    return;
  }
  emit("silent", false);
  if (best.node === state.primary) return;
  const from = state.primary;
  state.primary = best.node;
  emit("primary", { from, to: best.node });
  const own = state.own.get(best.node);
  if (own && from) takeStatus(own.status, true);
}

/** The base address of `node`, or of the primary; empty is the page's own. */
export function baseOf(node = state.primary) {
  return state.streams.get(node)?.base ?? "";
}

/** Names of the nodes that answer now, the primary first. */
export function reachable() {
  const open = [...all].filter((stream) => stream.state === "open").map((stream) => stream.node);
  return open.sort((a, b) => (b === state.primary) - (a === state.primary));
}

export function startStreams() {
  all.add(new Stream(""));
  setInterval(() => {
    for (const stream of all) {
      if (stream.state === "broken" || performance.now() - stream.heardAt < SILENT_MS) continue;
      // What breaks it is the abort; that it was silent is what people need to know.
      const { abort } = stream;
      stream.broke("it is silent");
      stream.state = "broken";
      abort?.abort();
    }
  }, 250);
  onTokenChange(() => {
    for (const stream of all) stream.wake?.();
  });
}
