// The cluster at a glance: tiles, the table of nodes, what is wrong, and which node tells it.

import { announce, byId, h, setAttr, setClass, setText, svg } from "./dom.js";
import { nodeAddress, nodes, on, state } from "./state.js";
import { NONE, clockTime, duration, list, millis, number, plural, rate, sentence } from "./words.js";

const COLUMNS = [
  ["Role", (node) => node.role],
  ["Health", null],
  ["Term", (node) => number(node.term), "n"],
  ["Commit", (node) => number(node.commit), "n"],
  ["Applied", (node) => number(node.applied), "n"],
  ["Lag", (node) => number(node.lag), "n"],
  ["Heard", (node) => (node.id === state.status.node ? "itself" : millis(node.last_contact_ms)), "n", true],
  ["Round trip", (node) => (node.id === state.status.node ? NONE : millis(node.rtt_ms)), "n"],
  ["fsync p99", (node) => millis(node.fsync_p99_ms), "n"],
  ["CPU", null, "n"],
  ["Memory", (node) => `${node.mem_pct.toFixed(1)} %`, "n"],
  ["Req/s", (node) => rate(node.qps_1m), "n"],
  ["p95", (node) => (node.p95_ms > 0 ? millis(node.p95_ms) : NONE), "n"],
  ["Up", (node) => duration(node.uptime_s * 1000).split(" ").slice(0, 2).join(" "), "n"],
];

const SPARK_POINTS = 60;
// Signs of one death follow each other closer than this.
const ONE_SUSPICION_MS = 1500;
// A node that was started anew is back sooner.
const UNREACHED_MS = 5000;
const sparks = { commit: [], qps: [] };
const rows = new Map();
let lastCommit = null;

// ---- Tiles ----

function tile(name, big, more, tone = "") {
  setText(byId(`tile-${name}`), big);
  setClass(byId(`tile-${name}`), `big ${tone}`);
  if (more !== null) setText(byId(`tile-${name}-more`), more);
}

function showLeader() {
  const { id, term, since_ms } = state.leader;
  const since = since_ms ? `, since ${sinceWords(since_ms)}` : "";
  tile("leader", id ?? "none", `term ${term}${id ? since : ""}`, id ? "" : "bad");
  for (const [name, row] of rows) setClass(row.element, rowClass(row.node, name === id));
}

function sinceWords(since_ms) {
  const day = new Date(since_ms).toDateString() === new Date().toDateString();
  return day ? clockTime(since_ms).slice(0, 8) : new Date(since_ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function showTiles(all) {
  const { status } = state;
  const voters = all.filter((node) => node.voter);
  const up = voters.filter((node) => node.healthy);
  const me = status.nodes.find((node) => node.id === status.node);
  const solo = me?.mode === "solo";
  tile("quorum", status.quorum ? "reached" : solo ? "alone" : "lost", `${up.length} of ${plural(voters.length, "voter")} up`, status.quorum ? "good" : solo ? "warn" : "bad");
  byId("tile-voters").replaceChildren(...voters.map((node) => h("span", { class: node.healthy ? "dot" : "dot down", title: `${node.id} is ${node.healthy ? "up" : "down"}` })));
  const spare = status.can_lose;
  const single = voters.length <= 1;
  tile("spare", status.quorum ? String(spare) : NONE, !status.quorum ? "no quorum to lose" : spare > 0 ? `more ${spare === 1 ? "node" : "nodes"} may fail` : single ? "the only node" : "no further loss", status.quorum && spare === 0 && !single ? "warn" : "");
  const records = Math.max(0, ...all.map((node) => node.records));
  const commit = Math.max(0, ...all.map((node) => node.commit));
  const waiting = all.reduce((sum, node) => sum + node.journal, 0);
  tile("ledger", number(records), waiting ? `records, ${number(waiting)} wait for a quorum` : `records, log index ${number(commit)}`, waiting ? "warn" : "");
  const qps = all.reduce((sum, node) => sum + (node.healthy ? node.qps_1m : 0), 0);
  const p95 = Math.max(0, ...all.filter((node) => node.healthy).map((node) => node.p95_ms));
  tile("load", `${rate(qps)}/s`, p95 > 0 ? `requests, p95 ${millis(p95)}` : "no requests this minute");
}

function spark() {
  if (!state.status) return;
  const all = state.status.nodes;
  const commit = Math.max(0, ...all.map((node) => node.commit));
  sparks.commit.push(lastCommit === null ? 0 : Math.max(0, commit - lastCommit));
  lastCommit = commit;
  sparks.qps.push(all.reduce((sum, node) => sum + (node.healthy ? node.qps_1m : 0), 0));
  for (const [name, points] of Object.entries(sparks)) {
    while (points.length > SPARK_POINTS) points.shift();
    const top = Math.max(1, ...points);
    const x = (i) => ((i + SPARK_POINTS - points.length) / (SPARK_POINTS - 1)) * 100;
    const line = points.map((value, i) => `${x(i).toFixed(1)},${(23 - (value / top) * 21).toFixed(1)}`);
    const element = byId(`spark-${name}`);
    if (!element.firstChild) element.append(svg("polyline", { class: "spark-fill" }), svg("polyline", { class: "spark-line" }));
    element.firstChild.setAttribute("points", `${x(0).toFixed(1)},24 ${line.join(" ")} 100,24`);
    element.lastChild.setAttribute("points", line.join(" "));
  }
  setText(byId("spark-commit-now"), `${number(sparks.commit.at(-1))}/s`);
}

// ---- The table ----

const rowClass = (node, leads) => `node-row${leads ? " leads" : ""}${node.healthy ? "" : " down"}`;

function makeRow(node) {
  const link = h("a", { target: "_blank", rel: "noopener" }, node.id);
  const where = h("small");
  const cells = new Map();
  const element = h("tr", { role: "row" }, h("th", { scope: "row", role: "rowheader" }, link, where));
  for (const [name, , style] of COLUMNS) {
    const cell = h("td", { role: "cell", class: style ?? "", "data-label": name });
    cells.set(name, cell);
    element.append(cell);
  }
  const role = h("span", { class: "pill" });
  const mode = h("span", { class: "pill warn", hidden: true });
  cells.get("Role").append(role, mode);
  const health = h("span", { class: "pill" });
  const detail = h("small");
  cells.get("Health").append(health, detail);
  const bar = h("i", { class: "bar", "aria-hidden": "true" });
  const cpu = h("span");
  cells.get("CPU").append(bar, cpu);
  return { element, link, where, cells, role, mode, health, detail, bar, cpu, node };
}

function fillRow(row, node) {
  row.node = node;
  const address = nodeAddress(node);
  setAttr(row.link, "href", `${location.protocol}//${address}/`);
  setText(row.where, address);
  const leads = state.leader.id === node.id;
  setClass(row.element, rowClass(node, leads));
  setText(row.role, leads ? "Leader" : node.role);
  setClass(row.role, `pill ${leads ? "leader" : node.role === "Candidate" ? "warn" : ""}`);
  row.mode.hidden = node.mode === "normal" || node.role === "Unknown";
  setText(row.mode, node.mode);
  setClass(row.mode, `pill ${node.mode === "faulted" ? "bad" : "warn"}`);
  setText(row.health, node.healthy ? (node.condition && node.condition !== "well" ? node.condition : "healthy") : "down");
  setClass(row.health, `pill ${!node.healthy ? "bad" : node.condition && node.condition !== "well" ? "warn" : "good"}`);
  setText(row.detail, detailOf(node));
  setAttr(row.detail, "title", row.detail.textContent);
  const known = node.healthy || node.byItself;
  for (const [name, show, , always] of COLUMNS) {
    if (show && name !== "Role") setText(row.cells.get(name), known || (always && node.last_contact_ms !== null) ? show(node) : NONE);
  }
  setText(row.cpu, known ? `${node.cpu_pct.toFixed(0)} %` : NONE);
  row.bar.style.setProperty("--part", known ? Math.min(1, node.cpu_pct / 100) : 0);
}

function detailOf(node) {
  if (node.byItself) return "by its own account";
  if (!node.healthy) return node.trouble ?? "";
  if (node.handing_over) return "handing over";
  return node.journal ? `${plural(node.journal, "record")} wait` : node.detector;
}

function showTable(all) {
  const body = byId("nodes").tBodies[0];
  const names = new Set(all.map((node) => node.id));
  for (const [name, row] of rows) {
    if (names.has(name)) continue;
    row.element.remove();
    rows.delete(name);
  }
  for (const node of all) {
    if (!rows.has(node.id)) rows.set(node.id, makeRow(node));
    fillRow(rows.get(node.id), node);
  }
  const wanted = all.map((node) => rows.get(node.id).element);
  if (wanted.some((element, i) => body.children[i] !== element)) body.replaceChildren(...wanted);
}

// ---- What is wrong, and who tells it ----

/** The most important thing only: `[tone, text]`. */
function summary(all) {
  const { status } = state;
  const me = status.nodes.find((node) => node.id === status.node);
  if (silent) return ["bad", `No node answers. What is shown is from ${silentSince}; trying again.`];
  if (me?.mode === "solo") return ["warn", `${me.id} reaches no quorum and serves alone. Its records join the ledger when the others are back.`];
  if (!status.quorum) return ["bad", "No quorum: writes wait until a majority of the voters see each other."];
  const faulted = all.filter((node) => node.mode === "faulted").map((node) => node.id);
  const isAway = state.home !== null && state.primary !== state.home;
  const told = (node) => node.mode === "faulted" || (isAway && node.id === state.home);
  const down = all.filter((node) => !node.healthy && !told(node)).map((node) => node.id);
  const also = down.length ? ` Not healthy: ${list(down)}.` : "";
  if (isAway) {
    return ["warn", `${state.home}, which this page came from, does not answer. ${state.primary} tells the rest.${also}`];
  }
  const spare = status.can_lose > 0 ? `${status.can_lose} more may fail` : "the next loss costs the quorum";
  if (faulted.length) return ["warn", `Failing on purpose: ${list(faulted)}. Restore it under Load and drill.${also}`];
  if (down.length) return ["warn", `${also.trim()} ${sentence(spare)}`];
  if (status.warnings?.length) return ["quiet", status.warnings.map(sentence).join(" ")];
  const voters = all.filter((node) => node.voter).length;
  return ["well", voters > 1 ? `All ${plural(all.length, "node")} healthy, ${spare}.` : "One node, healthy. Start more with --peers to survive its loss."];
}

let silent = false;
let silentSince = "";

function showSummary() {
  if (!state.status) {
    if (silent) banner(["bad", "No node answers yet; trying again."]);
    return;
  }
  banner(summary(nodes()));
}

function banner(what) {
  const element = byId("banner");
  setText(element, what[1]);
  setClass(element, `banner ${what[0]}`);
}

function showLive() {
  const live = byId("live");
  const word = silent ? "no node answers" : state.primary ? `live from ${state.primary}` : "connecting";
  setText(live, word);
  setClass(live, `pill live ${silent ? "bad" : state.primary ? (state.primary === state.home ? "good" : "warn") : ""}`);
}

/** Nodes that are well, but that this browser has not reached for some time. */
function showUnreached() {
  const broken = ([, stream]) => stream.state === "broken" && performance.now() - stream.brokenAt > UNREACHED_MS;
  const isWell = (name) => state.status?.nodes.find((node) => node.id === name)?.healthy;
  const names = silent ? [] : [...state.streams].filter(broken).map(([name]) => name).filter(isWell);
  setText(byId("unreached"), names.length ? `This browser does not reach ${list(names)}: what ${names.length === 1 ? "it sends" : "they send"} is not shown.` : "");
}

function showAll() {
  const { status } = state;
  const all = nodes();
  setText(byId("cluster-name"), status.cluster_name);
  document.title = `${status.quorum && !silent ? "" : "! "}${status.cluster_name}: ${state.leader.id ? `${state.leader.id} leads` : "no leader"}`;
  setAttr(document.documentElement, "data-formed", status.leader_id ? "true" : "false");
  showTiles(all);
  showTable(all);
  showLeader();
  showSummary();
}

// ---- How long a change of leader took ----

function noteFailover({ id, term, before }) {
  showLeader();
  if (!id) {
    announce(`No leader, term ${term}`);
    return;
  }
  announce(`${id} leads, term ${term}`);
  const change = state.events.findLast((event) => event.kind === "leader_changed" && event.leader === id && event.term === term);
  if (!change) return;
  const recent = (event) => event.time_ms <= change.time_ms && change.time_ms - event.time_ms < 10_000;
  const suspected = firstSign(change, state.events.filter((event) => event.kind === "suspected" && event.leader !== id && recent(event)));
  const handed = state.events.findLast((event) => event.kind === "handed_over" && event.to === id && recent(event));
  const old = suspected?.leader ?? handed?.node ?? before;
  const took = suspected ? `, ${change.time_ms - suspected.time_ms} ms after ${change.reporter} first suspected ${suspected.leader}` : handed ? ", handed over as planned" : "";
  setText(byId("failover"), `Last change of leader: ${old && old !== id ? `${old} → ` : ""}${id} at ${clockTime(change.time_ms)}${took}.`);
}

/** Where the reporter's suspicion that led to `change` began; not an older one that came to nothing. */
function firstSign(change, suspicions) {
  let first = null;
  for (const sign of suspicions.filter((event) => event.reporter === change.reporter).reverse()) {
    if ((first ?? change).time_ms - sign.time_ms > ONE_SUSPICION_MS) break;
    first = sign;
  }
  return first;
}

export function startCluster() {
  const head = byId("nodes").tHead.rows[0];
  for (const [name, , style] of COLUMNS) head.append(h("th", { scope: "col", role: "columnheader", class: style ?? "" }, name));
  on("status", showAll);
  on("leader", noteFailover);
  on("streams", () => {
    showLive();
    showSummary();
  });
  on("primary", ({ from, to }) => {
    if (from) announce(`${from} no longer answers; ${to} tells the rest`);
    showLive();
  });
  on("silent", (is) => {
    if (is && !silent) {
      silentSince = new Date().toLocaleTimeString("en-GB");
      announce("No node answers");
    }
    silent = is;
    setAttr(document.documentElement, "data-silent", is ? "true" : null);
    showLive();
    showSummary();
  });
  setInterval(() => {
    spark();
    showUnreached();
  }, 1000);
}
