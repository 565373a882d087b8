// Pictures in the browser: shown, and what differs made visible.

// Beyond it a canvas takes too much memory for a phone.
const PIXELS_MAX = 40_000_000;
// Width of the difference view, in pixels: a dot of one pixel must not vanish when scaled down.
const VIEW_WIDTH = 720;
// Of the points of the view: fewer than these would hardly be seen.
const FEW = 0.03;

/** Types that a browser shows without running anything. */
export const SHOWN = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

/** @returns {Promise<ImageData>} of `width` (the picture's own without one), by any height. */
async function pixels(blob, width) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  if (bitmap.width * bitmap.height > PIXELS_MAX) throw new Error("the picture is too large to be drawn here");
  const scale = width ? width / bitmap.width : 1;
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.max(1, Math.round(bitmap.height * scale)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * Draws on `canvas` which pixels differ: the brighter, the more, and where they are few, each
 * with its neighbours. Below them lies the cover, faintly.
 *
 * @param {Blob} map grey: each pixel is by how much it differs.
 * @returns {Promise<number>} how many pixels differ.
 */
export async function drawChanges(canvas, map, cover) {
  const { data, width, height } = await pixels(map);
  const step = Math.max(1, Math.ceil(width / VIEW_WIDTH));
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const peak = new Uint8Array(columns * rows);
  let changed = 0;
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(y / step) * columns;
    for (let x = 0; x < width; x += 1) {
      const value = data[(y * width + x) * 4];
      if (!value) continue;
      changed += 1;
      const cell = row + Math.floor(x / step);
      if (value > peak[cell]) peak[cell] = value;
    }
  }
  const below = cover ? await pixels(cover, columns) : null;
  paint(canvas, { columns, rows, peak: changed < peak.length * FEW ? widened(peak, columns, rows) : peak, below });
  return changed;
}

/** Each point with its eight neighbours. */
function widened(peak, columns, rows) {
  const wide = new Uint8Array(peak.length);
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < columns; x += 1) {
      const value = peak[y * columns + x];
      if (!value) continue;
      for (let v = Math.max(0, y - 1); v <= Math.min(rows - 1, y + 1); v += 1) {
        for (let u = Math.max(0, x - 1); u <= Math.min(columns - 1, x + 1); u += 1) {
          wide[v * columns + u] = Math.max(wide[v * columns + u], value);
        }
      }
    }
  }
  return wide;
}

function paint(canvas, { columns, rows, peak, below }) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let cell = 0; cell < peak.length; cell += 1) {
    const at = cell * 4;
    const grey = below ? (below.data[at] * 77 + below.data[at + 1] * 151 + below.data[at + 2] * 28) >> 8 : 0;
    const faint = 12 + (grey || 0) * 0.2;
    // A step of one is what every method makes: it must be seen well.
    const glow = peak[cell] ? Math.min(255, 150 + peak[cell] * 35) : 0;
    image.data[at] = glow || faint;
    image.data[at + 1] = glow ? glow * 0.72 : faint;
    image.data[at + 2] = glow ? glow * 0.18 : faint * 1.25;
    image.data[at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export function fromBase64(text, type) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return new Blob([bytes], { type });
}

const urls = new WeakMap();

/** Shows `blob` in an `img` or links it from an `a`, and frees what was shown before. */
export function showBlob(element, blob) {
  const old = urls.get(element);
  if (old) URL.revokeObjectURL(old);
  const url = blob ? URL.createObjectURL(blob) : null;
  urls.set(element, url);
  const attribute = element instanceof HTMLImageElement ? "src" : "href";
  if (url) element.setAttribute(attribute, url);
  else element.removeAttribute(attribute);
}
