// A question before something that cannot be taken back.

import { byId } from "./dom.js";

/**
 * @param {{title, text, action, choice?: {label, options: [value, text][]}}} question
 * @returns {Promise<string|null>} null where the answer is no; else the choice, or "".
 */
export function confirm({ title, text, action, choice }) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  const [field, select] = [byId("confirm-choice"), byId("confirm-select")];
  field.hidden = !choice;
  if (choice) {
    byId("confirm-choice-label").textContent = choice.label;
    select.replaceChildren(...choice.options.map(([value, name]) => new Option(name, value)));
  }
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes" ? (choice ? select.value : "") : null), { once: true });
  });
}

export function startConfirm() {
  byId("confirm-no").addEventListener("click", () => byId("confirm-dialog").close("no"));
}
