// Find: what is hidden in a picture. Verify: is this picture in the ledger.

import { call, callJson, showBusy, showTrouble } from "./api.js";
import { byId, code, facts, setText } from "./dom.js";
import { dropZone } from "./drop.js";
import { SHOWN, showBlob } from "./picture.js";
import { bytes } from "./words.js";

const TEXT_SHOWN_BYTES_MAX = 16_384;
const ENDINGS = { "text/plain": "txt", "image/jpeg": "jpg", "image/svg+xml": "svg", "application/pdf": "pdf", "application/zip": "zip" };

const form = byId("find-form");
const message = byId("find-message");
const found = byId("find-result");
const verified = byId("verify-result");

const picture = dropZone(byId("find-picture"), () => {
  message.hidden = true;
  found.hidden = true;
  verified.hidden = true;
  byId("find-empty").hidden = false;
});

/** Runs one of the two, with the form shut meanwhile. */
async function busy(text, doing, work) {
  if (!picture.file) {
    message.textContent = "Choose a picture first.";
    message.className = "message bad";
    message.hidden = false;
    byId("find-picture").querySelector("input").focus();
    return;
  }
  const buttons = form.querySelectorAll(".actions button");
  for (const button of buttons) button.disabled = true;
  showBusy(message, text);
  try {
    await work();
    message.hidden = true;
    byId("find-empty").hidden = true;
  } catch (trouble) {
    showTrouble(message, doing, trouble);
    if (trouble.name === "AbortError") message.hidden = true;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

async function extract() {
  found.hidden = true;
  const data = new FormData();
  data.set("file", picture.file);
  if (form.elements.passphrase.value) data.set("passphrase", form.elements.passphrase.value);
  const response = await call("/api/extract", { method: "POST", body: data, headers: { Accept: "application/octet-stream" } });
  const blob = await response.blob();
  const type = (response.headers.get("x-recovered-mime") ?? "application/octet-stream").split(";")[0].trim();
  const [image, text, link] = [byId("found-image"), byId("found-text"), byId("found-download")];
  image.hidden = !SHOWN.includes(type);
  // Never of the type that the hidden file claims, but for pictures, which run nothing.
  showBlob(image, image.hidden ? null : new Blob([blob], { type }));
  text.hidden = !type.startsWith("text/");
  const isLong = blob.size > TEXT_SHOWN_BYTES_MAX;
  setText(text, text.hidden ? "" : (await blob.slice(0, TEXT_SHOWN_BYTES_MAX).text()) + (isLong ? "\n…" : ""));
  const digest = globalThis.crypto?.subtle ? await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()) : null;
  const hex = digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  facts(byId("find-facts"), [
    ["Type", type],
    ["Size", bytes(blob.size)],
    ["Read by", response.node],
    ["SHA-256", hex ? code(hex, 16) : null],
  ]);
  showBlob(link, new Blob([blob], { type: "application/octet-stream" }));
  link.setAttribute("download", `recovered.${ENDINGS[type] ?? (type.startsWith("image/") ? type.slice(6).replace(/[^a-z0-9]/g, "") : "bin")}`);
  found.hidden = false;
  found.querySelector("h2").focus();
}

async function verify() {
  verified.hidden = true;
  const data = new FormData();
  data.set("file", picture.file);
  const answer = await callJson("/api/verify", { method: "POST", body: data });
  const { record } = answer;
  setText(byId("verify-verdict"), answer.known ? "In the ledger" : "Not in the ledger");
  byId("verify-verdict").className = `verdict ${answer.known ? "good" : "warn"}`;
  setText(
    byId("verify-more"),
    answer.known ? "This very file was made by this cluster." : "No embed of this cluster made this very file. One pixel or one byte of another value makes another file.",
  );
  facts(byId("verify-facts"), [["SHA-256", code(answer.sha256, 16)], ...(record ? recordFacts(record) : [])]);
  verified.hidden = false;
  verified.querySelector("h2").focus();
}

/** What a record says, for people. */
export function recordFacts(record) {
  return [
    ["Record", code(record.id)],
    ["Made", new Date(record.time_ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })],
    ["By", record.node],
    ["Method", record.method === "none" ? "none: an entry without a picture" : record.method],
    ["Secret", bytes(record.secret_bytes)],
    ["Cover", bytes(record.cover_bytes)],
    ["Picture", bytes(record.stego_bytes)],
    ["Acknowledged by", record.durability === "quorum" ? "a quorum" : "one node alone"],
  ];
}

export function startFind() {
  form.addEventListener("submit", (submit) => {
    submit.preventDefault();
    if (submit.submitter?.value === "verify") busy("Looking the picture up in the ledger…", "verify the picture", verify);
    else busy("Looking for something hidden…", "find anything", extract);
  });
}

