// What is known of the cluster, from all streams, and who wants to hear of it. Knows neither
// the network nor the document.

const EVENTS_MAX = 600;
// A status published just before a change of leader may arrive just after it.
const STALE_STATUS_MS = 1500;

const listeners = new Map();

/** `status`, `change`, `traffic`, `leader`, `streams`, `primary`, `silent`. */
export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, []);
  listeners.get(topic).push(listener);
}

export function emit(topic, value) {
  for (const listener of listeners.get(topic) ?? []) listener(value);
}

export const state = {
  /** The primary stream's last `/cluster/status`. */
  status: null,
  /** Each node's own last status, by its name, and when it came. */
  own: new Map(),
  leader: { id: null, term: 0, since_ms: null, heard_at: -Infinity },
  /** Oldest first: `{...change, received_ms}`. */
  events: [],
  /** Of this page, by name: `{base, state, home, error}`. */
  streams: new Map(),
  /** The name of the node whose status is shown. */
  primary: null,
  /** The node that the page was loaded from. */
  home: null,
};

const seen = new Set();

export function takeStatus(status, isPrimary) {
  state.own.set(status.node, { status, at: performance.now() });
  if (!isPrimary) return;
  state.status = status;
  const { leader } = state;
  const isStale = status.term < leader.term && performance.now() - leader.heard_at < STALE_STATUS_MS;
  const isSame = status.leader_id === leader.id && status.term === leader.term;
  const since_ms = status.leader_since_ms ?? null;
  // Each node tells when it learnt of the leader; the first to know is nearest to the truth.
  if (isSame && since_ms) leader.since_ms = Math.min(leader.since_ms ?? Infinity, since_ms);
  else if (!isSame && !isStale) leads(status.leader_id, status.term, since_ms);
  emit("status", status);
}

/** True where it was new. */
export function takeChange(change) {
  const key = JSON.stringify(change);
  if (seen.has(key)) return;
  seen.add(key);
  if (seen.size > EVENTS_MAX * 4) for (const old of [...seen].slice(0, EVENTS_MAX)) seen.delete(old);
  const isOld = Date.now() - change.time_ms > 10_000;
  const event = { ...change, received_ms: Date.now(), old: isOld };
  state.events.push(event);
  if (state.events.length > EVENTS_MAX) state.events.splice(0, state.events.length - EVENTS_MAX);
  if (change.kind === "leader_changed" && !isOld) takeLeader(change);
  emit("change", event);
}

// Any node may be the first to know a leader; that there is none, only the primary is believed,
// since a node that is cut off knows none either.
function takeLeader({ leader, term, reporter, time_ms }) {
  const isNews = term > state.leader.term || (term === state.leader.term && leader !== state.leader.id);
  if (!isNews || (leader === null && reporter !== state.primary)) return;
  state.leader.heard_at = performance.now();
  leads(leader, term, time_ms);
}

function leads(id, term, since_ms) {
  const before = state.leader.id;
  Object.assign(state.leader, { id, term, since_ms });
  emit("leader", { id, term, before });
}

/** A node as the primary tells of it, and by its own account where the primary hears nothing. */
export function nodes() {
  return (state.status?.nodes ?? []).map((node) => {
    const own = state.own.get(node.id);
    const fresh = own && performance.now() - own.at < 2500 && state.streams.get(node.id)?.state === "open";
    const self = fresh && own.status.nodes.find((other) => other.id === node.id);
    const isSelf = node.id === state.status.node;
    const strange = self && !isSelf && (!node.healthy || self.mode !== node.mode);
    return strange ? { ...self, healthy: node.healthy, last_contact_ms: node.last_contact_ms, trouble: node.trouble, byItself: true } : node;
  });
}

export const nodeAddress = (node) => `${node.ip.includes(":") ? `[${node.ip}]` : node.ip}:${node.http_port}`;
