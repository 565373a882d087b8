// Calls of the HTTP API. A call goes to the primary; where it is lost on the way it goes to the
// next node, if it may be repeated. What went wrong is told in words: what, where, what to do.

import { adminTokenFor, askToken, forgetToken, tokenFor } from "./access.js";
import { h } from "./dom.js";
import { state } from "./state.js";
import { baseOf, reachable } from "./streams.js";
import { bytes, sentence } from "./words.js";

/** Why a call failed, for people. */
export class Trouble extends Error {
  constructor(node, problem, status) {
    super(problem.error ?? `status ${status}`);
    this.node = node;
    this.problem = problem;
    this.status = status;
    this.code = problem.code ?? "";
  }
}

const LOST = {
  error: "the connection failed before there was an answer",
  code: "unreachable",
};

/** What a node would rather have another do. */
const ELSEWHERE = ["faulted", "not_ready", "busy"];

const ADVICE = {
  unreachable: "Try again: under the same id it cannot be done twice.",
  busy: "The node has all the work it takes. Try again in a second.",
  not_ready: "The node has no leader yet. Try again in a second, or look at Cluster.",
  no_quorum: "A majority of the nodes must see each other. Look at Cluster to see which are missing.",
  faulted: "Restore the node under Load and drill, or use another node.",
  not_a_picture: "Choose a PNG, JPEG, WebP or BMP file.",
  no_payload: "Look at the passphrase, and use the very file that was made: a copy that was scaled, cropped or saved anew has lost what was hidden.",
  too_large: "Choose a smaller file.",
  bad_request: "",
  idempotency_conflict: "Press the button once more: it uses a new id.",
  unauthorized: "Give a token with enough rights.",
  forbidden: "Give a token with enough rights.",
  bench_running: "Wait until it ends, or cancel it.",
  journal_full: "The node cannot keep more while it is alone. Bring the other nodes back.",
};

function advice(trouble) {
  const { problem, code } = trouble;
  if (code === "cover_too_small") {
    const ways = [];
    if (problem.fits?.length) {
      const [best] = problem.fits;
      ways.push(`choose the method ${best.method}${best.method === "lsb" ? ` with ${best.bits} bits` : ""}, which has room for ${bytes(best.capacity_bytes)}`);
    }
    if (problem.cover_size_needed) {
      const { width, height } = problem.cover_size_needed;
      ways.push(`use a cover of ${width} × ${height} pixels or more`);
    }
    ways.push("hide a smaller file");
    return sentence(ways.length > 1 ? `${ways.slice(0, -1).join(", ")}, or ${ways.at(-1)}` : ways[0]);
  }
  return ADVICE[code] ?? "";
}

/** Fills `box` with what failed (`doing`: "hide the file"), on which node, and what to do. */
export function showTrouble(box, doing, trouble) {
  if (trouble.name === "AbortError") return;
  const where = trouble.node ? `${trouble.node} says: ` : "";
  const what = trouble instanceof Trouble ? trouble.message : `${trouble.message} (in this page)`;
  const todo = trouble instanceof Trouble ? advice(trouble) : "Load the page anew.";
  box.replaceChildren(
    h("strong", {}, `Could not ${doing}. `),
    h("span", {}, where + sentence(what)),
    ...(todo ? [h("span", { class: "todo" }, ` ${todo}`)] : []),
  );
  box.className = "message bad";
  box.hidden = false;
}

export function showBusy(box, text) {
  box.textContent = text;
  box.className = "message busy";
  box.hidden = false;
}

/**
 * @param {object} options `node`: this one only; `repeat`: false where a second try on another
 *   node could do it twice; `admin`: needs a token of the node's; `why`: for the question for it;
 *   the rest as of `fetch`.
 * @returns {Promise<Response>} one with a status of 2xx; its `node` is who answered.
 */
export async function call(path, options = {}) {
  const { node, repeat = true, ...request } = options;
  const up = reachable();
  const candidates = node ? [node] : up.length ? up : [state.primary ?? state.home];
  let last;
  for (const candidate of repeat ? candidates : candidates.slice(0, 1)) {
    try {
      return await callOne(candidate, path, request);
    } catch (trouble) {
      if (!(trouble instanceof Trouble)) throw trouble;
      last = trouble;
      if (trouble.code !== "unreachable" && !ELSEWHERE.includes(trouble.code)) throw trouble;
    }
  }
  throw last;
}

async function callOne(node, path, { admin = false, why = "", headers = {}, ...request }) {
  for (;;) {
    const token = admin ? adminTokenFor(node) : tokenFor();
    // Every order of a page's needs one, so the first is not even sent without.
    if (admin && !token) {
      if (!(await askToken(node, why))) throw aborted();
      continue;
    }
    const auth = token ? { Authorization: `Bearer ${token}` } : {};
    let response;
    try {
      response = await fetch(baseOf(node) + path, { ...request, headers: { ...headers, ...auth }, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Trouble(node, LOST, 0);
    }
    if (response.ok) {
      // The node's name for those who show it; a header would not survive a proxy.
      return Object.assign(response, { node });
    }
    const problem = await response.json().catch(() => ({ error: `status ${response.status}` }));
    const refused = response.status === 401 || (response.status === 403 && admin);
    if (refused) {
      // One with too few rights is still good for the rest.
      if (token && response.status === 401) forgetToken(node);
      const reason = !token ? "" : response.status === 401 ? `${node} did not take the token. ` : "This token has not enough rights. ";
      // Until there is one that it takes, or the person gives up.
      if (await askToken(node, reason + (why || `${node} asks for an access token.`), !admin || undefined)) continue;
      throw aborted();
    }
    throw new Trouble(node, problem, response.status);
  }
}

const aborted = () => Object.assign(new Error("not asked"), { name: "AbortError" });

/** The answer's JSON. */
export async function callJson(path, options) {
  return (await call(path, options)).json();
}

/** A UUIDv7 (RFC 9562, section 5.7), as the service makes them, so that the ledger stays in order. */
export function freshId(time_ms = Date.now()) {
  // `crypto.randomUUID` makes another version, and is missing over plain HTTP from afar.
  const id = crypto.getRandomValues(new Uint8Array(16));
  let time = time_ms;
  for (let i = 5; i >= 0; i -= 1) {
    id[i] = time % 256;
    time = Math.floor(time / 256);
  }
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  const hex = Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
