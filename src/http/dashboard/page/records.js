// The ledger, a page at a time. Ids are ordered by time, so a page can begin at any moment.

import { callJson, freshId, showTrouble } from "./api.js";
import { byId, code, facts, h, setText } from "./dom.js";
import { recordFacts } from "./find.js";
import { onShown } from "./router.js";
import { state } from "./state.js";
import { bytes, number } from "./words.js";

const PAGE = 25;
const TYPING_MS = 250;

const rows = byId("records-table").tBodies[0];
const message = byId("records-message");
/** Where the pages before this one began. */
let trail = [];
let after = null;
let next = null;
let query = "";
let turn = 0;
let timer = 0;

async function load() {
  const mine = (turn += 1);
  const parameters = new URLSearchParams({ limit: PAGE });
  if (after) parameters.set("after", after);
  if (query) parameters.set("q", query);
  // Without a quorum there is no newest state to wait for, and this node's is better than none.
  if (state.status && !state.status.quorum) parameters.set("consistency", "stale");
  rows.parentElement.setAttribute("aria-busy", "true");
  try {
    const page = await callJson(`/api/records?${parameters}`);
    if (mine !== turn) return;
    message.hidden = true;
    // A search reads so much of the ledger and no more; what it seeks may be further on.
    if (query && !page.records.length && page.next) {
      after = page.next;
      await load();
      return;
    }
    show(page);
  } catch (trouble) {
    if (mine === turn) showTrouble(message, "read the ledger", trouble);
  } finally {
    if (mine === turn) rows.parentElement.removeAttribute("aria-busy");
  }
}

function show({ records, next: following, total, consistency }) {
  next = following ?? null;
  rows.replaceChildren(...records.map(row));
  if (!records.length) {
    const text = query ? `Nothing in the ledger matches “${query}”.` : after ? "Nothing after this." : "The ledger is empty: hide something first.";
    rows.append(h("tr", {}, h("td", { colspan: 8, class: "quiet" }, text)));
  }
  const stale = consistency === "stale" ? ", as this node has them (there is no quorum)" : "";
  setText(byId("records-total"), `${number(total)} records${stale}`);
  setText(byId("records-page"), `Page ${trail.length + 1}`);
  byId("records-back").disabled = trail.length === 0;
  byId("records-next").disabled = next === null;
}

function row(record) {
  const open = h("button", { type: "button", class: "link", "aria-label": `Record ${record.id}` }, code(record.id));
  open.addEventListener("click", () => openRecord(record));
  const at = new Date(record.time_ms);
  const cell = (label, content, name = "") => h("td", { "data-label": label, class: name }, content);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, open),
    cell("Made", h("time", { datetime: at.toISOString() }, at.toLocaleString("en-GB"))),
    cell("By", record.node),
    cell("Method", record.method),
    cell("Secret", bytes(record.secret_bytes), "n"),
    cell("Picture", bytes(record.stego_bytes), "n"),
    cell("Kept by", h("span", { class: record.durability === "quorum" ? "pill" : "pill warn" }, record.durability)),
    cell("SHA-256", code(record.stego_sha256, 12)),
  );
}

function openRecord(record) {
  facts(byId("record-facts"), [...recordFacts(record), ["Cover’s SHA-256", code(record.cover_sha256)], ["Picture’s SHA-256", code(record.stego_sha256)]]);
  byId("record-dialog").showModal();
}

function restart(from = null) {
  trail = [];
  after = from;
  load();
}

export function startRecords() {
  byId("records-back").addEventListener("click", () => {
    after = trail.pop() ?? null;
    load();
  });
  byId("records-next").addEventListener("click", () => {
    trail.push(after);
    after = next;
    load();
  });
  byId("records-search").addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      query = event.target.value.trim();
      restart();
    }, TYPING_MS);
  });
  byId("records-since").addEventListener("change", (event) => {
    const minutes = Number(event.target.value);
    // All ids of that millisecond and later come after the first one of it.
    restart(minutes ? freshId(Date.now() - minutes * 60_000).slice(0, 13) + "-7000-8000-000000000000" : null);
  });
  byId("records-form").addEventListener("submit", (event) => event.preventDefault());
  byId("record-close").addEventListener("click", () => byId("record-dialog").close());
  onShown("records", load);
}
