// Faults on purpose, one node at a time, each after a question. The order goes to a node that
// answers, which passes it on: so a node that is cut off can be restored.

import { adminTokenFor } from "./access.js";
import { callJson, showBusy, showTrouble } from "./api.js";
import { confirm } from "./confirm.js";
import { announce, byId, h, setClass, setText } from "./dom.js";
import { nodes, on, state } from "./state.js";
import { reachable } from "./streams.js";

const message = byId("drill-message");

const FOR = (texts) => texts.map((s) => (s ? [String(s * 1000), `${s} s`] : ["", "until it is restored"]));

const FAULTS = {
  crash: {
    name: "Crash",
    text: (node) => `The process of ${node} ends at once, as by SIGKILL. Something must start it again: serve --supervise, or systemd.`,
  },
  freeze: {
    name: "Freeze",
    text: (node) => `The process of ${node} stands still, as by SIGSTOP, and goes on by itself. Its connections stay open.`,
    choice: { label: "For", options: FOR([2, 5, 10]) },
  },
  pause: {
    name: "Pause",
    text: (node) => `${node} answers clients with 503. It stays part of the cluster.`,
    choice: { label: "For", options: FOR([10, 30, 0]) },
  },
  isolate: {
    name: "Isolate",
    text: (node) => `${node} neither sends to the other nodes nor hears them, as if its cable were pulled.`,
    choice: { label: "For", options: FOR([10, 30, 0]) },
  },
};

/** A node that answers, rather one whose token is known, and rather not the one that is to fail. */
export function orderTaker(victim) {
  const up = reachable();
  const known = up.filter((node) => adminTokenFor(node));
  const others = (names) => names.find((node) => node !== victim);
  return others(known) ?? known[0] ?? others(up) ?? up[0] ?? state.primary;
}

async function order(doing, path, body, victim) {
  const node = orderTaker(victim);
  showBusy(message, `Asking ${node}…`);
  try {
    const answer = await callJson(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
      node,
      admin: true,
      why: `To ${doing}, ${node} wants its admin token.`,
    });
    message.textContent = `${answer.node ?? node}: ${answer.done ?? "done"}`;
    message.className = "message good";
    announce(message.textContent);
  } catch (trouble) {
    if (trouble.code === "unreachable" && body.action === "crash" && node === victim) {
      message.textContent = `${victim} crashed before it could answer, as asked.`;
      message.className = "message good";
      return;
    }
    showTrouble(message, doing, trouble);
    if (trouble.name === "AbortError") message.hidden = true;
  }
}

async function fail(action, node) {
  const { name, text, choice } = FAULTS[action];
  const chosen = await confirm({ title: `${name} ${node}?`, text: text(node), action: `${name} ${node}`, choice });
  if (chosen === null) return;
  const body = { action, node };
  if (chosen) body.duration_ms = Number(chosen);
  await order(`${action} ${node}`, "/admin/fail", body, node);
}

async function restore(node) {
  await order(`restore ${node}`, "/admin/restore", { node }, null);
}

async function transfer(node) {
  const yes = await confirm({
    title: `Let ${node} lead?`,
    text: `The leader hands over to ${node} as planned: no request fails, and none waits longer than some milliseconds.`,
    action: `Hand over to ${node}`,
  });
  if (yes !== null) await order(`hand over to ${node}`, "/admin/transfer-leader", { to: node }, null);
}

const cards = new Map();

function makeCard(name) {
  const role = h("span", { class: "pill" });
  const button = (label, act, style = "") => {
    const element = h("button", { type: "button", class: `small ${style}`, "aria-label": `${label} ${name}` }, label);
    element.addEventListener("click", act);
    return element;
  };
  const lead = button("Make leader", () => transfer(name));
  const back = button("Restore", () => restore(name));
  const element = h(
    "li",
    { class: "drill-node" },
    h("h3", {}, name, " ", role),
    h("div", { class: "buttons" }, ...Object.keys(FAULTS).map((action) => button(FAULTS[action].name, () => fail(action, name), "danger")), back, lead),
  );
  return { element, role, lead };
}

function show() {
  const all = nodes();
  const place = byId("drill-nodes");
  for (const [name, card] of cards) {
    if (all.some((node) => node.id === name)) continue;
    card.element.remove();
    cards.delete(name);
  }
  for (const node of all) {
    if (!cards.has(node.id)) {
      cards.set(node.id, makeCard(node.id));
      place.append(cards.get(node.id).element);
    }
    const { role, lead } = cards.get(node.id);
    const leads = state.leader.id === node.id;
    const word = node.mode === "faulted" ? "faulted" : node.mode === "solo" ? "alone" : node.healthy ? (leads ? "Leader" : node.role) : "down";
    setText(role, word);
    setClass(role, `pill ${{ faulted: "bad", alone: "warn", down: "bad", Leader: "leader" }[word] ?? ""}`);
    lead.disabled = leads || !node.healthy || !node.voter;
  }
}

export function startDrill() {
  on("status", show);
  on("leader", show);
}
