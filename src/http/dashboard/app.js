// The dashboard: follows /cluster/events, and embeds and extracts through the same API
// that every client uses. Texts from the cluster reach the page as text, never as markup.
"use strict";

const EVENTS_SHOWN_MAX = 200;
const RECONNECT_MS = 2000;
const TEXT_SHOWN_BYTES_MAX = 16384;
// Picture types that a browser shows without running anything.
const SHOWN_PICTURES = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

const $ = (id) => document.getElementById(id);
const plural = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function say(id, text, tone = "") {
  const element = $(id);
  element.textContent = text;
  element.classList.remove("good", "warn", "bad");
  if (tone) element.classList.add(tone);
}

function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 10000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 || ms < 0.05 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

function bytes(n) {
  if (n < 1024) return plural(n, "byte");
  const units = ["KiB", "MiB", "GiB"];
  let unit = -1;
  do { n /= 1024; unit += 1; } while (n >= 1024 && unit < units.length - 1);
  return `${n.toFixed(1)} ${units[unit]}`;
}

// ---- The cluster ----

function showStatus(status) {
  const nodes = status.nodes;
  const voters = nodes.filter((node) => node.voter);
  const up = voters.filter((node) => node.healthy);
  const me = nodes.find((node) => node.id === status.node);
  const solo = me !== undefined && me.mode === "solo";

  $("cluster").textContent = `${status.cluster_name}, as ${status.node ?? "this node"} sees it`;
  document.title = `${status.quorum ? "" : "! "}${status.cluster_name}: stegcluster`;

  say("leader", status.leader_id ?? "none", status.leader_id ? "" : "bad");
  say("leader-more", status.leader_id ? `term ${status.term}, at ${status.leader_address ?? "?"}` : `term ${status.term}`);
  say("quorum", status.quorum ? "reached" : solo ? "solo" : "lost", status.quorum ? "good" : solo ? "warn" : "bad");
  $("voters").replaceChildren(
    ...voters.map((node) => {
      const dot = make("span", node.healthy ? "dot" : "dot down");
      dot.title = `${node.id}: ${node.healthy ? "up" : "down"}`;
      return dot;
    }),
    make("span", "quiet", `${up.length} of ${plural(voters.length, "voter")} up`),
  );
  const spare = status.can_lose;
  const alone = voters.length <= 1;
  say("can-lose", status.quorum ? `${spare} more` : "–", spare > 0 || alone ? "" : "warn");
  say("can-lose-more", !status.quorum ? "no quorum to lose" : spare > 0 ? "and still serve" : "the next loss costs the quorum");
  const records = nodes.reduce((most, node) => Math.max(most, node.records), 0);
  const commit = nodes.reduce((most, node) => Math.max(most, node.commit), 0);
  say("records", records.toLocaleString("en"));
  say("records-more", `records, log index ${commit.toLocaleString("en")}`);
  const rate = nodes.reduce((sum, node) => sum + (node.healthy ? node.qps_1m : 0), 0);
  const slowest = nodes.reduce((most, node) => Math.max(most, node.healthy ? node.p95_ms : 0), 0);
  say("load", `${rate.toFixed(1)}/s`);
  say("load-more", slowest > 0 ? `slowest node’s p95 ${millis(slowest)}` : "no requests this minute");

  const down = nodes.filter((node) => !node.healthy).map((node) => node.id);
  if (solo) banner("This node reaches no quorum and serves alone; its records join the ledger when the others are back.", false);
  else if (!status.quorum) banner("No quorum: writes wait until a majority of the voters is back.", true);
  else if (down.length) banner(`Not healthy: ${down.join(", ")}.`, false);
  else $("banner").hidden = true;

  $("nodes").tBodies[0].replaceChildren(...nodes.map((node) => nodeRow(node, status)));
}

function banner(text, bad) {
  const element = $("banner");
  // Written only when it changed, so that screen readers do not repeat it each second.
  if (element.textContent !== text) element.textContent = text;
  element.className = bad ? "banner bad" : "banner";
  element.hidden = false;
}

function nodeRow(node, status) {
  const host = node.ip.includes(":") ? `[${node.ip}]` : node.ip;
  const link = make("a", "", node.id);
  link.href = `http://${host}:${node.http_port}/`;
  const name = make("th", "", link, make("small", "", `${host}:${node.http_port}${node.id === status.node ? ", this node" : ""}`));
  name.scope = "row";
  const roleTone = { Leader: " leader", Candidate: " warn" }[node.role] ?? "";
  const modeTone = { normal: "", faulted: " bad" }[node.mode] ?? " warn";
  const cells = [
    make("td", "", make("span", "pill" + (node.healthy ? roleTone : ""), node.role)),
    make("td", "", node.mode === "normal" ? "normal" : make("span", "pill" + modeTone, node.mode)),
    make("td", "", make("span", node.healthy ? "pill good" : "pill bad", node.healthy ? "healthy" : "down"),
      make("small", "", node.healthy ? node.detector : "")),
  ];
  const contact = node.id === status.node ? "itself" : millis(node.last_contact_ms);
  const known = node.role !== "Unknown" || node.healthy;
  const numbers = [
    ...[node.term, node.commit, node.applied, node.lag].map((n) => (known ? n.toLocaleString("en") : "–")),
    contact,
    node.healthy ? node.qps_1m.toFixed(1) : "–",
    node.healthy && node.p95_ms > 0 ? millis(node.p95_ms) : "–",
  ];
  return make("tr", node.healthy ? "" : "down", name, ...cells, ...numbers.map((text) => make("td", "n", text)));
}

function describe(event) {
  switch (event.kind) {
    case "leader_changed": return event.leader ? [`${event.leader} leads`, "good"] : ["No leader", "bad"];
    case "role_changed": return [`${event.node} is now ${event.role}`];
    case "health_changed": return event.healthy ? [`${event.node} is healthy`, "good"] : [`${event.node} is down`, "bad"];
    case "membership_changed": return [`Voters: ${event.voters.join(", ") || "none"}${event.learners.length ? `; learners: ${event.learners.join(", ")}` : ""}`];
    case "suspected": return [`Leader ${event.leader} suspected (attempt ${event.attempt}): ${event.cause}`, "bad"];
    case "campaigning": return [`${event.node} asks for votes`];
    case "formed": return [`Cluster formed by ${event.members.join(", ")}`, "good"];
    case "joined": return [`${event.node} joined`, "good"];
    case "handed_over": return [`${event.node} handed over to ${event.to}: ${event.cause}`];
    case "condition_changed": return [`${event.node} is ${event.condition === "well" ? "well again" : `not well: ${event.condition}`}`, event.condition === "well" ? "" : "bad"];
    case "fault": return [`Fault on purpose at ${event.node}: ${event.action}`, "bad"];
    case "missed": return [`${plural(event.events, "event")} missed`];
    default: return [event.kind];
  }
}

function showEvent(event) {
  const [text, tone] = describe(event);
  const at = new Date(event.time_ms);
  const time = make("time", "", at.toLocaleTimeString("en-GB") + "." + String(at.getMilliseconds()).padStart(3, "0"));
  time.dateTime = at.toISOString();
  const item = make("li", "", time, make("span", tone, text), make("span", "term", `term ${event.term}, reported by ${event.reporter}`));
  const list = $("events");
  list.prepend(item);
  while (list.children.length > EVENTS_SHOWN_MAX) list.lastElementChild.remove();
  $("no-events").hidden = true;
}

function follow() {
  const source = new EventSource("/cluster/events");
  source.addEventListener("open", () => say("live", "live", "good"));
  source.addEventListener("status", (message) => showStatus(JSON.parse(message.data)));
  source.addEventListener("change", (message) => showEvent(JSON.parse(message.data)));
  source.addEventListener("error", () => {
    say("live", "reconnecting", "bad");
    banner("This node does not answer; what is shown may be old. Another node’s dashboard may know more.", true);
    // A browser gives up for good when the answer is an error, such as that of a paused node.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, RECONNECT_MS);
  });
}

// ---- Embed and extract ----

/** A UUIDv7 (RFC 9562, section 5.7), as the service makes them, so that the ledger stays in order. */
function freshId() {
  // `crypto.randomUUID` makes another version, and is missing over plain HTTP from afar.
  const id = crypto.getRandomValues(new Uint8Array(16));
  let time = Date.now();
  for (let i = 5; i >= 0; i -= 1) { id[i] = time % 256; time = Math.floor(time / 256); }
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  const hex = Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Resolves to the answer, or rejects with a sentence for people. */
async function post(path, form, headers) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body: form, headers });
  } catch {
    throw new Error("This node did not answer. Press the button again, or use another node.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ error: `status ${response.status}` }));
  const again = response.headers.has("retry-after") ? " It is safe to press the button again." : "";
  throw new Error(problem.error.charAt(0).toUpperCase() + problem.error.slice(1) + "." + again);
}

/** Wires a form: `send` makes the request, `show` fills the result. */
function wire(id, busyText, send, show) {
  const form = $(id);
  const card = form.parentElement;
  const [button, message, result] = ["button", ".message", ".result"].map((part) => card.querySelector(part));
  let url = null;
  const tell = (text, bad) => {
    message.textContent = text;
    message.className = bad ? "message bad" : "message";
    message.hidden = !text;
  };
  form.addEventListener("submit", async (submit) => {
    submit.preventDefault();
    button.disabled = true;
    result.hidden = true;
    tell(busyText, false);
    try {
      const response = await send(form);
      const blob = await response.blob();
      if (url) URL.revokeObjectURL(url);
      // Never of the type that the hidden file claims: a page must not run on this origin.
      url = URL.createObjectURL(new Blob([blob], { type: id === "embed" ? "image/png" : "application/octet-stream" }));
      await show(result, response.headers, blob, url);
      result.hidden = false;
      tell("", false);
    } catch (error) {
      tell(error.message, true);
    } finally {
      button.disabled = false;
    }
  });
}

function facts(result, pairs) {
  result.querySelector("dl").replaceChildren(...pairs.flatMap(([term, value]) => [make("dt", "", term), make("dd", "", value)]));
}

function fillForm(form) {
  const data = new FormData(form);
  for (const name of ["cover", "passphrase"]) {
    const value = data.get(name);
    if (value === "" || (value instanceof File && value.size === 0)) data.delete(name);
  }
  return data;
}

// Kept until the form changes or is answered, so that a second press after an unclear
// failure cannot make a second record.
let embedId = freshId();
$("embed").addEventListener("input", () => { embedId = freshId(); });

wire("embed", "Hiding the file, and waiting for a quorum to keep the record…",
  async (form) => {
    const response = await post("/api/embed", fillForm(form), { Accept: "image/png", "Idempotency-Key": embedId });
    embedId = freshId();
    return response;
  },
  (result, headers, blob, url) => {
    const id = headers.get("x-request-id");
    result.querySelector("img").src = url;
    facts(result, [
      ["Record", id],
      ["Kept by", headers.get("x-durability") === "quorum" ? "a quorum" : "this node alone, until it reaches a quorum"],
      ["Made by", headers.get("x-node")],
      ["Hidden", `${bytes(Number(headers.get("x-secret-size-bytes")))} of ${bytes(Number(headers.get("x-capacity-bytes")))}`],
      ["Picture", `${headers.get("x-cover-width")} × ${headers.get("x-cover-height")}, ${bytes(blob.size)}`],
    ]);
    const link = result.querySelector("a");
    link.href = url;
    link.download = `${id}.png`;
  });

wire("extract", "Looking for a hidden file…",
  (form) => post("/api/extract", fillForm(form), { Accept: "application/octet-stream" }),
  async (result, headers, blob, url) => {
    const type = (headers.get("x-recovered-mime") ?? "application/octet-stream").split(";")[0].trim();
    const [image, text, link] = ["img", "pre", "a"].map((tag) => result.querySelector(tag));
    image.hidden = !SHOWN_PICTURES.includes(type);
    if (!image.hidden) image.src = url;
    text.hidden = !type.startsWith("text/");
    text.textContent = text.hidden ? "" : await blob.slice(0, TEXT_SHOWN_BYTES_MAX).text();
    facts(result, [["Type", type], ["Size", bytes(blob.size)]]);
    const ending = { "text/plain": "txt", "image/jpeg": "jpg", "application/pdf": "pdf", "application/zip": "zip" }[type]
      ?? (type.startsWith("image/") ? type.slice(6).replace(/[^a-z0-9]/g, "") : "bin");
    link.href = url;
    link.download = `recovered.${ending}`;
  });

follow();
