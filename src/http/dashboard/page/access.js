// Access tokens: asked for when a node wants one, kept for this tab only, sent to no other node
// than the one that they are for.

import { announce, byId, h } from "./dom.js";
import { state } from "./state.js";

const KEY = "stegcluster.tokens";
/** Where all nodes share a file of tokens, one is good for all. */
const ALL = "*";

const tokens = new Map(Object.entries(stored()));
const listeners = [];

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(Object.fromEntries(tokens)));
  } catch {
    // Then they last as long as this page.
  }
  for (const listener of listeners) listener();
  showButton();
}

export const onTokenChange = (listener) => listeners.push(listener);

const shared = () => state.status?.access === "tokens";

/** For reads and embeds: only where the cluster asks everyone for a token. */
export const tokenFor = () => tokens.get(ALL) ?? null;

/** For orders to `node`. */
export const adminTokenFor = (node) => tokens.get(ALL) ?? tokens.get(node) ?? null;

export function setToken(node, token, forAll = shared()) {
  tokens.set(forAll ? ALL : node, token);
  keep();
}

export function forgetToken(node) {
  tokens.delete(ALL);
  tokens.delete(node);
  keep();
}

let asking = null;

/**
 * Asks the person for a token of `node`; resolves to true if one was given.
 * Calls that need one at the same time share the question.
 */
export function askToken(node, why, forAll = shared()) {
  asking ??= ask(node, why, forAll).finally(() => {
    asking = null;
  });
  return asking;
}

function ask(node, why, forAll) {
  const dialog = byId("token-dialog");
  const input = byId("token-input");
  byId("token-why").textContent = why;
  byId("token-where").replaceChildren(
    ...(forAll
      ? ["Your operator has one for you, from the file that the nodes were started with ", h("code", {}, "--tokens"), "."]
      : ["It is in the file ", h("code", {}, "admin.token"), ` in the data folder of ${node ?? "the node"}; the node says where when it starts.`]),
  );
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "use" && input.value.trim() !== "";
        if (given) setToken(node, input.value.trim(), forAll);
        input.value = "";
        done(given);
      },
      { once: true },
    );
  });
}

function showButton() {
  const button = byId("forget-token");
  button.hidden = tokens.size === 0;
}

/**
 * The cluster shows itself only to those with a token: resolves once there is one. Asks once by
 * itself, and then at the press of a button.
 */
export async function askForAccess() {
  const button = byId("give-token");
  const why = tokens.has(ALL) ? "The token that this page had is not taken any more." : "This cluster asks everyone for an access token.";
  tokens.delete(ALL);
  for (let given = await askToken(null, why, true); !given; given = await askToken(null, why, true)) {
    button.hidden = false;
    announce("This cluster asks for an access token");
    await new Promise((pressed) => button.addEventListener("click", pressed, { once: true }));
  }
  button.hidden = true;
}

export function startAccess() {
  showButton();
  byId("forget-token").addEventListener("click", () => {
    tokens.clear();
    keep();
  });
  byId("token-cancel").addEventListener("click", () => byId("token-dialog").close("cancel"));
}
