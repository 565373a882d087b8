// The live picture: nodes on a circle and what they send each other, as it is sent. Nodes are
// SVG; links and messages are drawn on a canvas below. After the animation at raft.github.io,
// but of a real cluster: each flight stands for messages that a node's `traffic` events count.

import { byId, cssColor, h, reducedMotion, setClass, setText, svg } from "./dom.js";
import { currentView } from "./router.js";
import { nodes, on, state } from "./state.js";
import { duration, rate } from "./words.js";

// Of the picture; it is scaled to its place.
const WIDTH = 420;
const HEIGHT = 370;
const RADIUS = 128;
const NODE_RADIUS = 37;
const FLIGHTS_MAX = 240;
// A real flight takes less than a millisecond on one machine: nobody would see it.
const FLIGHT_MS = 520;
const BALLOT_FLIGHT_MS = 800;
// A link on which nothing was answered for so long loses what is sent.
const LOST_AFTER_MS = 400;

const KINDS = {
  heartbeat: { name: "Heartbeat", color: "--m-heartbeat", size: 2.4 },
  append: { name: "Entries", color: "--m-append", size: 4 },
  probe: { name: "Probe", color: "--m-probe", size: 2.6, hollow: true },
  preround: { name: "Is it dead?", color: "--m-preround", size: 5, square: true, ballot: true },
  prevote: { name: "Pre-vote", color: "--m-prevote", size: 5, square: true, ballot: true },
  vote: { name: "Vote", color: "--m-vote", size: 6, ballot: true },
  transfer: { name: "Hand-over", color: "--m-transfer", size: 7, ballot: true },
  snapshot: { name: "Snapshot", color: "--m-snapshot", size: 6, square: true },
  other: { name: "Other", color: "--m-other", size: 2.2 },
};

const canvas = byId("ring-canvas");
const picture = byId("ring-nodes");
const context = canvas.getContext("2d");
const places = new Map();
const drawn = new Map();
const hiddenKinds = new Set(["other"]);
let flights = [];
let colors = {};
let counts = {};
const sentAt = new Map();
const answeredAt = new Map();
let running = false;
let lastFrame = 0;

// ---- Nodes ----

function place(names) {
  places.clear();
  const [x0, y0] = [WIDTH / 2, HEIGHT / 2 + (names.length === 3 ? 24 : 4)];
  names.forEach((name, i) => {
    const angle = (i / names.length) * 2 * Math.PI - Math.PI / 2;
    const radius = names.length === 1 ? 0 : RADIUS;
    places.set(name, { x: x0 + radius * Math.cos(angle), y: y0 + radius * Math.sin(angle) });
  });
  const centre = byId("ring-centre");
  centre.setAttribute("transform", names.length === 1 ? `translate(${x0} ${y0 + 78})` : `translate(${x0} ${y0})`);
}

function nodeGroup(name) {
  const ring = svg("circle", { class: "ring-halo", r: NODE_RADIUS + 6 });
  const lag = svg("circle", { class: "ring-lag", r: NODE_RADIUS + 2.5, pathLength: 100 });
  const group = svg(
    "g",
    {},
    ring,
    svg("circle", { class: "ring-body", r: NODE_RADIUS }),
    lag,
    svg("text", { class: "ring-name", y: -3 }, name),
    svg("text", { class: "ring-role", y: 14 }),
    svg("text", { class: "ring-term", y: NODE_RADIUS + 22 }),
  );
  picture.append(group);
  return { group, ring, lag, role: group.querySelector(".ring-role"), term: group.querySelector(".ring-term") };
}

function look(node) {
  const isLeader = state.leader.id === node.id && node.role !== "Candidate";
  if (node.mode === "solo") return "solo";
  if (node.mode === "faulted") return node.healthy ? "faulted" : "faulted down";
  if (!node.healthy && !node.byItself) return "down";
  if (isLeader) return "leader";
  return node.role === "Candidate" ? "candidate" : node.healthy ? "follower" : "down";
}

const WORDS = { leader: "leader", solo: "alone", faulted: "faulted", candidate: "candidate", down: "down" };

function show() {
  const all = nodes();
  const names = all.map((node) => node.id);
  if (names.join() !== [...places.keys()].join()) {
    place(names);
    for (const { group } of drawn.values()) group.remove();
    drawn.clear();
  }
  const top = Math.max(1, ...all.map((node) => node.commit));
  for (const node of all) {
    if (!drawn.has(node.id)) drawn.set(node.id, nodeGroup(node.id));
    const parts = drawn.get(node.id);
    const { x, y } = places.get(node.id);
    parts.group.setAttribute("transform", `translate(${x} ${y})`);
    const name = look(node);
    if (!parts.group.classList.contains("won")) setClass(parts.group, `ring-node ${name}`);
    setText(parts.role, name === "follower" ? node.role.toLowerCase() : WORDS[name.split(" ")[0]]);
    setText(parts.term, node.healthy || node.byItself ? `term ${node.term}${node.lag > 20 ? `, ${node.lag} behind` : ""}` : "");
    const applied = node.healthy ? Math.min(1, node.applied / top) : 0;
    parts.lag.setAttribute("stroke-dasharray", `${(applied * 100).toFixed(1)} 100`);
  }
  picture.setAttribute("aria-label", describeRing(all));
  centre();
}

function describeRing(all) {
  const parts = all.map((node) => `${node.id} ${look(node)}`);
  return `Nodes of the cluster: ${parts.join(", ")}`;
}

function centre() {
  const { id, term, since_ms } = state.leader;
  setClass(byId("ring-centre"), id ? "" : "none");
  setText(byId("ring-leader"), id ? `${id} leads` : "no leader");
  setText(byId("ring-since"), id && since_ms ? `for ${duration(Date.now() - since_ms)}` : `term ${term}`);
}

function onLeader({ id }) {
  show();
  const parts = drawn.get(id);
  if (!parts) return;
  // Begins anew where the same node wins twice.
  setClass(parts.group, "ring-node leader");
  parts.group.getBoundingClientRect();
  setClass(parts.group, "ring-node leader won");
  setTimeout(() => setClass(parts.group, "ring-node leader"), 1600);
}

// ---- Messages ----

function onTraffic({ node, sent }) {
  const at = performance.now();
  for (const message of sent) {
    const kind = KINDS[message.kind] ? message.kind : "other";
    counts[kind] = (counts[kind] ?? 0) + message.count;
    if (!places.has(node) || !places.has(message.to) || node === message.to) continue;
    const link = `${node} ${message.to}`;
    if (message.count) sentAt.set(link, at);
    if (message.answered || message.refused) answeredAt.set(link, at);
    if (hiddenKinds.has(kind) || reducedMotion.matches || document.hidden || currentView() !== "cluster") continue;
    if (KINDS[kind].ballot) launchBallot(node, message, kind, at);
    else launch(node, message, kind, at);
  }
  if (flights.length || reducedMotion.matches) run();
}

function fly(flight) {
  if (flights.length < FLIGHTS_MAX) flights.push(flight);
}

function launch(node, { to, count }, kind, at) {
  // Twice the dots for four times the messages, spread over the tenth of a second they were sent in.
  const dots = Math.min(3, Math.ceil(Math.sqrt(count / 2)));
  // An answer counts when it comes, so one report alone does not tell what is lost.
  const lost = at - (answeredAt.get(`${node} ${to}`) ?? at) > LOST_AFTER_MS;
  if (!answeredAt.has(`${node} ${to}`)) answeredAt.set(`${node} ${to}`, at);
  for (let i = 0; i < dots; i += 1) {
    const born = at + ((i + 0.5) / dots) * 100;
    fly({ from: node, to, kind, born, takes: FLIGHT_MS, lost, echo: kind === "append" || kind === "snapshot" });
  }
}

/** Questions of an election, and what came back: yes, no, or nothing. */
function launchBallot(node, { to, count, answered = 0, granted = 0 }, kind, at) {
  const flight = { kind, takes: BALLOT_FLIGHT_MS };
  for (let i = 0; i < Math.min(count, 2); i += 1) fly({ ...flight, from: node, to, born: at + i * 70 });
  // The true answer comes within milliseconds; its dot waits until the question's has arrived.
  const back = { ...flight, from: to, to: node, born: at + BALLOT_FLIGHT_MS };
  if (granted) fly({ ...back, reply: "granted" });
  else if (answered) fly({ ...back, reply: "denied" });
}

/** A point on the way: each direction has a lane of its own, bent to the right. */
function along(from, to, t) {
  const [a, b] = [places.get(from), places.get(to)];
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = Math.hypot(dx, dy) || 1;
  const inset = (NODE_RADIUS + 4) / length;
  const u = inset + (1 - 2 * inset) * t;
  const bend = Math.sin(Math.PI * t) * 10;
  return { x: a.x + dx * u - (dy / length) * bend, y: a.y + dy * u + (dx / length) * bend };
}

function draw(now) {
  const scale = canvas.width / WIDTH;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, WIDTH, HEIGHT);
  drawLinks(now);
  const next = [];
  for (const flight of flights) {
    const t = (now - flight.born) / flight.takes;
    if (t < 0) {
      next.push(flight);
    } else if (t < 1 && places.has(flight.from) && places.has(flight.to)) {
      drawFlight(flight, t);
      next.push(flight);
    } else if (flight.echo && !flight.lost && next.length < FLIGHTS_MAX) {
      next.push({ ...flight, from: flight.to, to: flight.from, born: now, echo: false, reply: "plain" });
    }
  }
  flights = next;
}

function drawLinks(now) {
  const names = [...places.keys()];
  context.lineCap = "round";
  for (let i = 0; i < names.length; i += 1) {
    for (let j = i + 1; j < names.length; j += 1) {
      const last = Math.max(sentAt.get(`${names[i]} ${names[j]}`) ?? -1e9, sentAt.get(`${names[j]} ${names[i]}`) ?? -1e9);
      const warm = Math.max(0, 1 - (now - last) / 1500);
      const [a, b] = [along(names[i], names[j], 0), along(names[i], names[j], 1)];
      context.strokeStyle = colors["--line"];
      context.lineWidth = 1.2 + (reducedMotion.matches ? 2.5 * warm : 0.8 * warm);
      context.setLineDash(now - last > 3000 ? [3, 5] : []);
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.lineTo(b.x, b.y);
      context.stroke();
    }
  }
  context.setLineDash([]);
}

function drawFlight(flight, t) {
  const kind = KINDS[flight.kind];
  // What is lost fades half-way.
  if (flight.lost && t > 0.6) return;
  const { x, y } = along(flight.from, flight.to, t);
  const color = flight.reply === "granted" ? colors["--good"] : flight.reply === "denied" ? colors["--bad"] : colors[kind.color];
  const size = flight.reply ? kind.size * 0.72 : kind.size;
  context.globalAlpha = flight.lost ? 1 - t / 0.6 : flight.reply === "plain" ? 0.55 : 1;
  if (kind.ballot) drawTrail(flight, t, color, size);
  context.fillStyle = color;
  context.strokeStyle = color;
  context.lineWidth = 1.6;
  context.beginPath();
  if (kind.square) {
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
    context.closePath();
  } else {
    context.arc(x, y, size, 0, 2 * Math.PI);
  }
  if (kind.hollow) context.stroke();
  else context.fill();
  context.globalAlpha = 1;
}

function drawTrail(flight, t, color, size) {
  context.strokeStyle = color;
  context.lineWidth = size;
  const alpha = context.globalAlpha;
  for (let step = 1; step <= 6; step += 1) {
    const [a, b] = [t - step * 0.025, t - (step - 1) * 0.025];
    if (a < 0) break;
    const [from, to] = [along(flight.from, flight.to, a), along(flight.from, flight.to, b)];
    context.globalAlpha = alpha * 0.4 * (1 - step / 7);
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
  }
  context.globalAlpha = alpha;
}

// ---- Frames ----

function frame(now) {
  if (document.hidden || currentView() !== "cluster") {
    running = false;
    flights = [];
    return;
  }
  // 30 a second are smooth enough for dots, and half the work.
  if (now - lastFrame > 30) {
    lastFrame = now;
    draw(now);
  }
  running = flights.length > 0;
  if (running) requestAnimationFrame(frame);
}

function run() {
  if (running) return;
  running = true;
  requestAnimationFrame(frame);
}

function resize() {
  const width = canvas.clientWidth;
  if (!width) return;
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(((width * HEIGHT) / WIDTH) * devicePixelRatio);
  draw(performance.now());
}

function readColors() {
  colors = {};
  for (const name of ["--line", "--good", "--bad", ...Object.values(KINDS).map((kind) => kind.color)]) colors[name] = cssColor(name);
  draw(performance.now());
}

// ---- Legend ----

const legend = new Map();

function startLegend() {
  for (const [kind, { name, color, square, hollow }] of Object.entries(KINDS)) {
    const count = h("span", { class: "n" }, "");
    const swatch = h("i", { class: `swatch${square ? " square" : ""}${hollow ? " hollow" : ""}`, "aria-hidden": "true" });
    swatch.style.setProperty("--swatch", `var(${color})`);
    const button = h("button", { type: "button", class: "legend", "aria-pressed": String(!hiddenKinds.has(kind)) }, swatch, h("span", {}, name), count);
    button.addEventListener("click", () => {
      if (!hiddenKinds.delete(kind)) hiddenKinds.add(kind);
      button.setAttribute("aria-pressed", String(!hiddenKinds.has(kind)));
    });
    legend.set(kind, count);
    byId("ring-legend").append(h("li", {}, button));
  }
}

let countedAt = performance.now();

function countUp() {
  const now = performance.now();
  const s = (now - countedAt) / 1000;
  countedAt = now;
  for (const [kind, element] of legend) setText(element, counts[kind] ? `${rate(counts[kind] / s)}/s` : "");
  counts = {};
  centre();
  if (!running && currentView() === "cluster" && !document.hidden) draw(now);
}

export function startRing() {
  startLegend();
  readColors();
  new ResizeObserver(resize).observe(canvas);
  document.documentElement.addEventListener("themechange", readColors);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColors);
  setInterval(countUp, 1000);
  on("status", show);
  on("leader", onLeader);
  on("traffic", onTraffic);
}
