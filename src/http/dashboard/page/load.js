// A bench that runs in a node, watched as it runs. It goes on without this page, and a page
// that comes later finds it.

import { Trouble, callJson, showBusy, showTrouble } from "./api.js";
import { TimeChart } from "./charts.js";
import { orderTaker } from "./drill.js";
import { adminTokenFor } from "./access.js";
import { announce, byId, facts, setText } from "./dom.js";
import { onShown } from "./router.js";
import { on } from "./state.js";
import { baseOf } from "./streams.js";
import { millis, number, rate } from "./words.js";

const NODE_COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];
const form = byId("bench-form");
const message = byId("bench-message");
const charts = {};
/** `{node, id}` of the bench that is shown. */
let bench = null;
let running = false;
let last = null;

// ---- Orders ----

function plan() {
  const { mode, clients, amount, unit, rate_rps } = form.elements;
  return {
    mode: mode.value,
    clients: Number(clients.value),
    requests: unit.value === "requests" ? Number(amount.value) : null,
    duration_s: unit.value === "seconds" ? Number(amount.value) : null,
    rate_rps: rate_rps.value ? Number(rate_rps.value) : null,
  };
}

async function begin(submit) {
  submit.preventDefault();
  const node = orderTaker();
  showBusy(message, `Asking ${node} to begin…`);
  try {
    const { id } = await callJson("/admin/bench", {
      method: "POST",
      body: JSON.stringify(plan()),
      headers: { "Content-Type": "application/json" },
      node,
      admin: true,
      repeat: false,
      why: `To run a bench, ${node} wants its admin token.`,
    });
    message.hidden = true;
    bench = { node, id };
    for (const chart of Object.values(charts)) chart.clear();
    last = null;
    byId("bench-report").hidden = true;
    follow();
  } catch (trouble) {
    showTrouble(message, "begin the bench", trouble);
    if (trouble.name === "AbortError") message.hidden = true;
  }
}

async function cancel() {
  try {
    await callJson("/admin/bench", { method: "DELETE", node: bench.node, admin: true });
  } catch (trouble) {
    if (trouble instanceof SyntaxError) return; // The answer may have no body.
    showTrouble(message, "cancel the bench", trouble);
  }
}

// ---- What it tells ----

function setRunning(is) {
  running = is;
  byId("bench-start").disabled = is;
  byId("bench-cancel").hidden = !is;
  byId("bench-state").textContent = is ? `running on ${bench.node}` : "";
}

async function follow() {
  setRunning(true);
  const { node } = bench;
  let failures = 0;
  while (running && bench?.node === node && failures < 20) {
    try {
      const response = await fetch(`${baseOf(node)}/admin/bench/events`, { headers: { Authorization: `Bearer ${adminTokenFor(node)}` }, cache: "no-store" });
      if (!response.ok) throw new Error(`status ${response.status}`);
      await read(response);
      failures = 0;
    } catch {
      failures += 1;
    }
    if (running) await new Promise((done) => setTimeout(done, 500));
  }
  if (running) {
    setRunning(false);
    showTrouble(message, "follow the bench", new Trouble(null, { error: `${node} no longer answers, and its bench ended with it` }));
  }
}

async function read(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) take(block);
  }
}

function take(block) {
  const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
  const data = field("data");
  if (!data) return;
  const event = field("event");
  if (event === "tick") tick(JSON.parse(data));
  else if (event === "end") end(JSON.parse(data));
}

const linesOf = (names) => names.map((label, i) => ({ label, color: NODE_COLORS[i % NODE_COLORS.length] }));

function tick(now) {
  // A stream that was joined anew may begin with what was shown.
  if (last && now.t_s <= last.t_s) return;
  const names = Object.keys(now.per_node ?? {}).sort();
  charts.nodes.setLines(linesOf(names));
  const s = last ? now.t_s - last.t_s : now.t_s || 1;
  const more = (value, before) => Math.max(0, (value - (before ?? 0)) / s);
  charts.rate.add(now.t_s, [now.rps, more(now.failed, last?.failed)]);
  charts.latency.add(now.t_s, [now.p50_ms, now.p95_ms, now.p99_ms]);
  charts.nodes.add(now.t_s, names.map((name) => more(now.per_node[name].ok, last?.per_node?.[name]?.ok)));
  if (last && now.leader && now.leader !== leaderShown) for (const chart of Object.values(charts)) chart.mark(now.t_s, now.leader);
  if (now.leader) leaderShown = now.leader;
  last = now;
  for (const chart of Object.values(charts)) chart.show();
  setText(byId("bench-now"), `${number(now.ok)} ok, ${number(now.failed)} failed, ${rate(now.rps)}/s, p95 ${millis(now.p95_ms)}`);
}

let leaderShown = null;

function end({ state: how, error, report }) {
  setRunning(false);
  announce(`The bench is ${how}`);
  setText(byId("bench-state"), how);
  if (error) showTrouble(message, "finish the bench", new Trouble(bench.node, { error }));
  if (report) showReport(report);
}

function showReport(report) {
  byId("bench-report").hidden = false;
  const latency = report.latency_ms ?? {};
  facts(byId("bench-facts"), [
    ["Requests", `${number(report.ok)} ok, ${number(report.failed)} failed, ${number(report.retried ?? 0)} needed another try`],
    ["Throughput", `${rate(report.throughput_rps)}/s for ${report.duration_s.toFixed(1)} s`],
    ["Latency", `p50 ${millis(latency.p50)}, p95 ${millis(latency.p95)}, p99 ${millis(latency.p99)}, at most ${millis(latency.max)}`],
    ["Longest gap", `${millis(report.max_gap_ms)} in which no request succeeded`],
    ["Elections", number(report.elections ?? 0)],
  ]);
}

/** A bench that another page, or this one before it was loaded anew, began. */
async function lookForOne() {
  const node = orderTaker();
  if (running || !adminTokenFor(node)) return;
  try {
    const found = await callJson("/admin/bench", { node, admin: true });
    bench = { node, id: found.id };
    if (found.state === "running") follow();
    else if (found.report) showReport(found.report);
  } catch {
    // There is none.
  }
}

export function startLoad() {
  charts.rate = new TimeChart(byId("chart-rate"), { unit: "", lines: [{ label: "ok/s", color: "--c1", fill: true }, { label: "failed/s", color: "--bad" }] });
  charts.latency = new TimeChart(byId("chart-latency"), { unit: " ms", lines: [{ label: "p50", color: "--c2" }, { label: "p95", color: "--c3" }, { label: "p99", color: "--c4" }] });
  charts.nodes = new TimeChart(byId("chart-nodes"), { unit: "", lines: [{ label: "node", color: "--c1" }] });
  form.addEventListener("submit", begin);
  byId("bench-cancel").addEventListener("click", cancel);
  form.elements.unit.addEventListener("change", () => {
    form.elements.amount.value = form.elements.unit.value === "seconds" ? 15 : 200;
  });
  on("status", ({ nodes }) => {
    if (!last) charts.nodes.setLines(linesOf(nodes.map((node) => node.id)));
  });
  onShown("load", () => {
    for (const chart of Object.values(charts)) chart.show();
    lookForOne();
  });
}
