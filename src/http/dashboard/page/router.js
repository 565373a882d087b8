// Which view is shown: the part of the address behind the `#`, so that a view can be linked to,
// and the browser's Back goes to the one before.

import { byId, setAttr } from "./dom.js";

const VIEWS = ["cluster", "hide", "find", "load", "records"];
const shownListeners = new Map();

/** Calls `listener` each time that the view is shown. */
export const onShown = (view, listener) => shownListeners.set(view, listener);

export const currentView = () => {
  const name = location.hash.replace(/^#\/?/, "").split("?")[0];
  return VIEWS.includes(name) ? name : "cluster";
};

function show(focus) {
  const current = currentView();
  for (const view of VIEWS) {
    byId(`view-${view}`).hidden = view !== current;
    setAttr(document.querySelector(`nav a[href="#/${view}"]`), "aria-current", view === current ? "page" : null);
  }
  if (focus) {
    scrollTo(0, 0);
    byId(`view-${current}`).querySelector("h1, h2").focus({ preventScroll: true });
  }
  shownListeners.get(current)?.();
}

export function startRouter() {
  addEventListener("hashchange", () => show(true));
  show(false);
}
