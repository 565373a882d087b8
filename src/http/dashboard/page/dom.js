// The few things that every view does with the document. Texts from the cluster reach the page
// as text nodes only, never as markup.

/** The element with this id; it is in index.html. */
export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An element; of `props`, functions become listeners and the rest attributes. */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Writes only what differs: the document is read by screen readers and observers. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, name) {
  if (element.getAttribute("class") !== name) element.setAttribute("class", name);
}

export function setAttr(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Text in a live region; the same text twice is said once. */
export function announce(text) {
  setText(byId("announcer"), text);
}

/** The colour of a custom property such as `--accent`, as `rgb()`, for a canvas. */
export function cssColor(name, alpha = 1) {
  // A canvas knows neither `var()` nor `light-dark()`: let an element resolve them.
  const probe = h("i", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return alpha === 1 ? color : color.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** `name: value` pairs as a description list; a value may be an element. */
export function facts(list, pairs) {
  list.replaceChildren(
    ...pairs
      .filter(([, value]) => value !== null && value !== undefined)
      .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** A digest or an id: shortened for the eye, whole for a copy and a screen reader. */
export function code(text, shown = text.length) {
  const element = h("code", { title: text }, text.slice(0, shown) + (shown < text.length ? "…" : ""));
  return element;
}
