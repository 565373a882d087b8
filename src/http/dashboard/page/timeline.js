// The time line: what happened, newest first. What several nodes tell of one change is one line.

import { byId, h, setText } from "./dom.js";
import { on } from "./state.js";
import { clockTime, describe, FAMILIES } from "./words.js";

const LINES_MAX = 400;
// Nodes see one change within this time of each other, by their own clocks.
const SAME_WITHIN_MS = 4000;
// A node suspects once for each sign, milliseconds apart.
const SUSPECTED_AGAIN_MS = 1000;

const list = byId("events");
const hiddenFamilies = new Set();
/** Newest first: `{about, term, time_ms, reports, element}`. */
let lines = [];

function take(change) {
  const { family, tone, text, about } = describe(change);
  const again = change.kind === "suspected";
  const within = again ? SUSPECTED_AGAIN_MS : SAME_WITHIN_MS;
  const isSame = (line) => line.about === about && line.term === change.term && Math.abs(line.time_ms - change.time_ms) < within;
  const same = lines.find((line) => isSame(line) && (again || !line.reports.has(change.reporter)));
  if (same) {
    if (!same.reports.has(change.reporter)) same.reports.set(change.reporter, change.time_ms);
    if (change.time_ms < same.time_ms) move(same, change.time_ms);
    showReports(same);
    return;
  }
  const line = { about, term: change.term, time_ms: change.time_ms, reports: new Map([[change.reporter, change.time_ms]]) };
  line.told = h("span", { class: "told" });
  line.time = h("time");
  line.element = h(
    "li",
    { class: `event ${tone}`, "data-family": family, "data-kind": change.kind, hidden: hiddenFamilies.has(family) },
    line.time,
    h("i", { class: "mark", "aria-hidden": "true" }),
    h("span", { class: "text" }, text),
    line.told,
  );
  showTime(line);
  showReports(line);
  insert(line);
  setText(byId("no-events"), "");
}

function showTime({ time, time_ms }) {
  const at = new Date(time_ms);
  time.dateTime = at.toISOString();
  time.title = at.toLocaleString("en-GB");
  setText(time, clockTime(time_ms));
}

/** The first to see a change was not the first to be heard. */
function move(line, time_ms) {
  line.time_ms = time_ms;
  showTime(line);
  const at = lines.indexOf(line);
  if (at + 1 === lines.length || lines[at + 1].time_ms <= time_ms) return;
  lines.splice(at, 1);
  insert(line);
}

function insert(line) {
  const at = lines.findIndex((other) => other.time_ms <= line.time_ms);
  const before = at < 0 ? null : lines[at].element;
  // A reader who scrolled down keeps the place.
  const wasAt = list.scrollTop;
  list.insertBefore(line.element, before);
  if (wasAt > 4 && before !== null) list.scrollTop = wasAt + line.element.offsetHeight;
  lines.splice(at < 0 ? lines.length : at, 0, line);
  while (lines.length > LINES_MAX) lines.pop().element.remove();
}

function showReports(line) {
  const first = Math.min(...line.reports.values());
  const told = [...line.reports].map(([node, time_ms]) => (time_ms > first ? `${node} +${time_ms - first} ms` : node));
  setText(line.told, `term ${line.term}, told by ${told.join(", ")}`);
}

function startFilter() {
  for (const [family, name] of Object.entries(FAMILIES)) {
    const button = h("button", { type: "button", class: "chip", "aria-pressed": "true" }, name);
    button.addEventListener("click", () => {
      const hide = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!hide));
      if (hide) hiddenFamilies.add(family);
      else hiddenFamilies.delete(family);
      for (const { element } of lines) element.hidden = hiddenFamilies.has(element.dataset.family);
    });
    byId("event-filter").append(button);
  }
}

export function startTimeline() {
  startFilter();
  on("change", take);
}
