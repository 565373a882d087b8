// Hide: a secret goes into a cover. What fits is shown before anything is sent; afterwards the
// result stands beside the original, with what was changed.

import { callJson, call, freshId, showBusy, showTrouble } from "./api.js";
import { byId, code, facts, h, setAttr, setText } from "./dom.js";
import { dropZone } from "./drop.js";
import { drawChanges, fromBase64, showBlob } from "./picture.js";
import { onShown } from "./router.js";
import { bytes, number, plural } from "./words.js";

const BUILT_IN = 50;
const OFFERED = 6;

const form = byId("hide-form");
const message = byId("hide-message");
const result = byId("hide-result");

/** Capacities of the present cover, with and without encryption. */
let rooms = { true: null, false: null };
let coverTurn = 0;
/** Of a cover that is not the person's own file. */
let builtIn = null;
// Kept until the form changes or is answered, so that a second press after an unclear failure
// cannot make a second record.
let embedId = freshId();

const secret = dropZone(byId("hide-secret"), showRoom);
const cover = dropZone(byId("hide-cover"), () => {
  builtIn = null;
  newCover();
});

const encrypted = () => form.elements.passphrase.value !== "";

// ---- How much fits ----

function newCover() {
  rooms = { true: null, false: null };
  coverTurn += 1;
  for (const button of byId("built-in").children) setAttr(button.firstChild, "aria-pressed", String(button.firstChild.dataset.index === builtIn?.index));
  askRoom();
}

async function askRoom() {
  const turn = coverTurn;
  const key = String(encrypted());
  if (rooms[key]) {
    showRoom();
    return;
  }
  const blob = cover.file ?? builtIn?.blob ?? null;
  try {
    let answer;
    if (blob) {
      const data = new FormData();
      data.set("cover", blob);
      data.set("encrypted", key);
      answer = await callJson("/api/capacity", { method: "POST", body: data });
    } else {
      answer = await callJson(`/api/capacity?encrypted=${key}`);
    }
    if (turn !== coverTurn) return;
    rooms[key] = answer;
    setAttr(byId("hide-cover"), "data-bad", null);
    if (message.dataset.about === "cover") message.hidden = true;
  } catch (trouble) {
    if (turn !== coverTurn || trouble.code === "unreachable" || trouble.name === "AbortError") return;
    setAttr(byId("hide-cover"), "data-bad", "true");
    showTrouble(message, "use this cover", trouble);
    message.dataset.about = "cover";
  }
  showRoom();
}

function chosen(room) {
  const method = form.elements.method.value || room.method;
  const bits = method === "lsb" ? Number(form.elements.bits.value) || 1 : 1;
  return room.methods.find((one) => one.method === method && one.bits === bits) ?? room.methods[0];
}

function showRoom() {
  const room = rooms[String(encrypted())];
  const method = form.elements.method.value || (encrypted() ? "adaptive" : "lsb");
  byId("bits-field").hidden = method !== "lsb";
  setText(byId("method-auto"), encrypted() ? "Automatic: adaptive" : "Automatic: lsb");
  const [meter, text] = [byId("room-meter"), byId("room-text")];
  if (!room) {
    meter.style.setProperty("--full", 0);
    setText(text, "How much fits is asked of the node.");
    return;
  }
  const { capacity_bytes } = chosen(room);
  const size = secret.file?.size ?? 0;
  const part = capacity_bytes ? size / capacity_bytes : 1;
  meter.style.setProperty("--full", Math.min(1, part));
  setAttr(meter, "data-state", part > 1 ? "over" : part > 0.5 ? "much" : "fits");
  setAttr(meter, "aria-valuenow", Math.min(100, Math.round(part * 100)));
  const shape = `${room.width} × ${room.height}`;
  if (!size) setText(text, `Room for ${bytes(capacity_bytes)} in ${shape} pixels.`);
  else if (part <= 1) setText(text, `${bytes(size)} of ${bytes(capacity_bytes)}, ${(part * 100).toFixed(part < 0.1 ? 1 : 0)} % of the room.`);
  else {
    const other = room.methods.find((one) => one.capacity_bytes >= size);
    const hint = other ? ` The method ${other.method}${other.method === "lsb" ? ` with ${plural(other.bits, "bit")}` : ""} has room for ${bytes(other.capacity_bytes)}.` : " Take a larger cover.";
    setText(text, `${bytes(size)} are more than the room of ${bytes(capacity_bytes)}, unless they compress well.${hint}`);
  }
  setAttr(meter, "aria-valuetext", text.textContent);
}

// ---- Built-in covers ----

function offer() {
  const list = byId("built-in");
  if (list.children.length) return;
  const first = Math.floor(Math.random() * BUILT_IN);
  for (let i = 0; i < OFFERED; i += 1) {
    const index = String((first + i * 7) % BUILT_IN);
    const image = h("img", { alt: "", width: 72, height: 54 });
    const button = h("button", { type: "button", class: "thumb", "aria-pressed": "false", "aria-label": `Built-in picture ${index}`, "data-index": index, disabled: true }, image);
    list.append(h("li", {}, button));
    call(`/api/dataset/${index}`)
      .then((response) => response.blob())
      .then((blob) => {
        showBlob(image, blob);
        button.disabled = false;
        button.addEventListener("click", () => {
          const again = builtIn?.index === index;
          if (cover.file) cover.clear();
          builtIn = again ? null : { index, blob };
          newCover();
          embedId = freshId();
        });
      })
      .catch(() => button.parentElement.remove());
  }
}

// ---- Sending, and the result ----

async function send(submit) {
  submit.preventDefault();
  const button = form.querySelector("button[type=submit]");
  const data = new FormData();
  if (!secret.file) {
    showTrouble(message, "hide nothing", Object.assign(new Error("choose a file to hide first"), { name: "Missing" }));
    message.textContent = "Choose a file to hide first.";
    byId("hide-secret").querySelector("input").focus();
    return;
  }
  data.set("file", secret.file);
  const original = cover.file ?? builtIn?.blob ?? null;
  if (original) data.set("cover", original);
  if (encrypted()) data.set("passphrase", form.elements.passphrase.value);
  const method = form.elements.method.value;
  if (method) data.set("method", method);
  if (method === "lsb" || (!method && !encrypted())) data.set("bits", form.elements.bits.value || "1");
  if (form.elements.report.checked) data.set("report", "true");
  button.disabled = true;
  delete message.dataset.about;
  showBusy(message, "Hiding the file, and waiting for a quorum to keep the record…");
  const started = performance.now();
  try {
    const response = await call("/api/embed", { method: "POST", body: data, headers: { "Idempotency-Key": embedId } });
    const answer = await response.json();
    embedId = freshId();
    await show(answer, original, performance.now() - started);
    message.hidden = true;
  } catch (trouble) {
    showTrouble(message, "hide the file", trouble);
    if (trouble.name === "AbortError") message.hidden = true;
  } finally {
    button.disabled = false;
  }
}

async function show(answer, original, took_ms) {
  const png = fromBase64(answer.stego_image_b64, "image/png");
  const { quality, cover_info } = answer;
  const own = original ?? (await call("/api/cover").then((response) => response.blob()).catch(() => null));
  showBlob(byId("shown-after"), png);
  showBlob(byId("shown-before"), own);
  byId("shown-before").hidden = own === null;
  byId("no-before").hidden = own !== null;
  const link = byId("hide-download");
  showBlob(link, png);
  link.setAttribute("download", `${answer.request_id}.png`);
  result.hidden = false;
  byId("hide-empty").hidden = true;
  const { changed, psnr } = (await difference(original, own, png)) ?? {};
  const total = cover_info.width * cover_info.height * cover_info.channels;
  facts(byId("hide-facts"), [
    ["Record", code(answer.request_id)],
    ["Kept by", answer.durability === "quorum" ? "a quorum" : "this node alone, until it reaches a quorum"],
    ["Made by", `${answer.node}, in ${Math.round(took_ms)} ms with the way there and back`],
    ["Method", answer.method + (answer.method === "lsb" ? `, ${plural(cover_info.lsb_per_channel, "bit")} a sample` : "")],
    ["Secret", `${bytes(answer.secret_size_bytes)} of ${bytes(cover_info.capacity_bytes)}`],
    ["Picture", `${cover_info.width} × ${cover_info.height}, ${bytes(answer.payload_size_bytes)}`],
    ["Changed", changed === undefined ? null : `${number(changed)} of ${number(total)} samples (${((100 * changed) / total).toPrecision(2)} %)`],
    ["PSNR", psnr ? `${psnr.toFixed(1)} dB` : null],
    ["Observer", quality ? verdict(quality) : null],
    ["SHA-256", code(answer.sha256, 16)],
  ]);
  result.querySelector("h2").focus();
}

const VERDICTS = {
  nothing: "finds nothing",
  doubtful: "is in doubt",
  found: "finds that something is hidden",
  unreadable: "cannot tell: too little texture",
};

function verdict({ before, after }) {
  const said = `a steganalyst ${VERDICTS[after.verdict] ?? after.verdict}`;
  return before.verdict === after.verdict ? said : `${said}; of the cover alone: ${VERDICTS[before.verdict] ?? before.verdict}`;
}

/** The node compares: a browser would decode a JPEG differently, by a step here and there. */
async function difference(original, shown, png) {
  const canvas = byId("shown-difference");
  const note = byId("difference-note");
  canvas.hidden = true;
  setText(note, "Comparing…");
  try {
    const data = new FormData();
    data.set("file", png);
    if (original) data.set("cover", original);
    const response = await call("/api/compare", { method: "POST", body: data });
    const pixels = await drawChanges(canvas, await response.blob(), shown);
    canvas.hidden = false;
    setText(note, `${plural(pixels, "pixel differs", "pixels differ")} by a step or more, here made bright.`);
    return { changed: Number(response.headers.get("x-changed-samples")), psnr: Number(response.headers.get("x-psnr-db")) };
  } catch (error) {
    setText(note, `No comparison: ${error.message}.`);
    return null;
  }
}

export function startHide() {
  form.addEventListener("submit", send);
  form.addEventListener("input", () => {
    embedId = freshId();
    askRoom();
  });
  // The meter's first answer may be older than the first node that answers.
  onShown("hide", () => {
    offer();
    askRoom();
  });
}
