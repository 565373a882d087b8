// A drop zone: a file input with a larger target, that also takes files dropped or pasted on it.

import { setText } from "./dom.js";
import { SHOWN, showBlob } from "./picture.js";
import { bytes } from "./words.js";

/**
 * @param {HTMLElement} zone a `label.drop` with an `input[type=file]`, `.drop-name` and perhaps `img`.
 * @param {(file: File|null) => void} changed
 */
export function dropZone(zone, changed) {
  const input = zone.querySelector("input");
  const name = zone.querySelector(".drop-name");
  const preview = zone.querySelector("img");
  const empty = name.textContent;

  const show = () => {
    const file = input.files[0] ?? null;
    setText(name, file ? `${file.name}, ${bytes(file.size)}` : empty);
    zone.classList.toggle("filled", file !== null);
    if (preview) {
      const shown = file !== null && SHOWN.includes(file.type);
      showBlob(preview, shown ? file : null);
      preview.hidden = !shown;
    }
    changed(file);
  };
  const put = (files) => {
    if (!files.length) return;
    const one = new DataTransfer();
    one.items.add(files[0]);
    input.files = one.files;
    show();
  };

  input.addEventListener("change", show);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  for (const end of ["dragleave", "drop"]) zone.addEventListener(end, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    put(event.dataTransfer.files);
  });
  zone.addEventListener("paste", (event) => put(event.clipboardData.files));

  return {
    get file() {
      return input.files[0] ?? null;
    },
    put,
    clear() {
      input.value = "";
      show();
    },
  };
}

/** A file dropped beside a zone would replace the page. */
export function guardDrops() {
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}

/** The eye of a passphrase field. */
export function revealButtons() {
  for (const button of document.querySelectorAll("button.reveal")) {
    const input = button.parentElement.querySelector("input");
    button.addEventListener("click", () => {
      const show = input.type === "password";
      input.type = show ? "text" : "password";
      button.setAttribute("aria-pressed", String(show));
      button.textContent = show ? "Hide" : "Show";
    });
  }
}
