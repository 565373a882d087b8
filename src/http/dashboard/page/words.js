// Numbers and events in words.

const NONE = "–";

export const number = (n) => Math.round(n).toLocaleString("en");
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const sentence = (text) => {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
};

/** Milliseconds, to three digits at the most. */
export function millis(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return NONE;
  if (ms >= 90_000) return duration(ms);
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 || ms < 0.05 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

/** A longer time: its two largest units. */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [d, hr, m] = [Math.floor(s / 86_400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} d ${hr} h`;
  if (hr) return `${hr} h ${m} min`;
  return m ? `${m} min ${s % 60} s` : `${s} s`;
}

export function bytes(n) {
  if (n < 1024) return plural(n, "byte");
  const units = ["KiB", "MiB", "GiB"];
  let unit = -1;
  do {
    n /= 1024;
    unit += 1;
  } while (n >= 1024 && unit < units.length - 1);
  return `${n.toFixed(n < 10 ? 2 : 1)} ${units[unit]}`;
}

export function rate(n) {
  if (n >= 10 || n === 0) return number(n);
  return n.toFixed(n >= 0.05 ? 1 : 2);
}

export function clockTime(time_ms) {
  const at = new Date(time_ms);
  return `${at.toLocaleTimeString("en-GB")}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export const list = (names) => {
  if (names.length < 2) return names[0] ?? "none";
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
};

export { NONE };

/** What kinds of change there are: the filter of the time line, and the text of each. */
export const FAMILIES = {
  leader: "Leadership",
  vote: "Elections",
  health: "Health",
  member: "Members",
  solo: "Alone",
  fault: "Faults",
};

/** `{family, tone, text, about}` of one change; `about` joins what several nodes say of it. */
export function describe(change) {
  const as = (family, tone, text, about) => ({ family, tone, text, about: `${change.kind} ${about}` });
  const { node } = change;
  switch (change.kind) {
    case "leader_changed":
      return change.leader
        ? as("leader", "good", `${change.leader} leads`, change.leader)
        : as("leader", "bad", "No leader", "none");
    case "role_changed":
      return as("vote", "", `${node} is ${article(change.role)} ${change.role.toLowerCase()}`, `${node} ${change.role}`);
    case "health_changed":
      return change.healthy
        ? as("health", "good", `${node} is healthy`, `${node} up`)
        : as("health", "bad", `${node} is down`, `${node} down`);
    case "condition_changed":
      return change.condition === "well"
        ? as("health", "good", `${node} is well again`, `${node} well`)
        : as("health", "bad", `${node} is not well: ${change.condition}`, `${node} ${change.condition}`);
    case "membership_changed": {
      const learners = change.learners.length ? `; learning: ${list(change.learners)}` : "";
      return as("member", "", `Voters: ${list(change.voters)}${learners}`, `${change.voters} ${change.learners}`);
    }
    case "formed":
      return as("member", "good", `Cluster formed by ${list(change.members)}`, "");
    case "joined":
      return as("member", "good", `${node} joined`, node);
    case "removed":
      return as("member", "warn", `${node} was removed`, node);
    case "suspected":
      return as("leader", "bad", `${change.leader} is suspected: ${change.cause}`, change.leader);
    case "campaigning":
      return as("vote", "warn", `${node} asks for votes`, node);
    case "voted": {
      const { candidate } = change;
      return change.granted
        ? as("vote", "", `${node} votes for ${node === candidate ? "itself" : candidate}`, `${node} ${candidate}`)
        : as("vote", "warn", `${node} denies ${candidate} its vote`, `${node} ${candidate} no`);
    }
    case "stepped_down":
      return as("leader", "warn", `${node} steps down`, node);
    case "handed_over":
      return as("leader", "good", `${node} handed over to ${change.to}: ${change.cause}`, `${node} ${change.to}`);
    case "solo_began":
      return as("solo", "warn", `${node} reaches no quorum and serves alone`, node);
    case "solo_ended":
      return as("solo", "good", `${node} reaches a quorum again, with ${plural(change.records, "record")} of its own`, node);
    case "journal_drained":
      return as("solo", "good", `${plural(change.records, "record")} of ${node} entered the ledger`, node);
    case "record_conflict":
      return as("solo", "bad", `Two embeds under one id ${change.id}: the other is kept as ${change.kept_as}`, change.id);
    case "fault":
      return as("fault", "bad", `Fault on purpose at ${node}: ${change.action}`, `${node} ${change.action}`);
    case "restored":
      return as("fault", "good", `${node} is restored`, node);
    case "missed":
      return as("health", "warn", `${plural(change.events, "event")} missed`, "");
    default:
      return as("member", "", change.kind.replaceAll("_", " ") + (node ? `: ${node}` : ""), node ?? "");
  }
}

const article = (word) => (/^[aeiou]/i.test(word) ? "an" : "a");
