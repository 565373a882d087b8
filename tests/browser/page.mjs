// A browser with the dashboard in it. Whatever the page logs as an error, throws, or is refused
// by its own Content-Security-Policy is kept and fails the test at its end.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";

let browser = null;

async function launch() {
  // As root, in a container, Chromium has no sandbox of its own to give.
  browser ??= await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return browser;
}

export async function close() {
  await browser?.close();
  browser = null;
}

/** Runs `work` with a page at `url`. */
export async function withPage(url, { width = 1440, height = 900, colorScheme = "light", reducedMotion } = {}, work) {
  const context = await (await launch()).newContext({ viewport: { width, height }, colorScheme, reducedMotion, acceptDownloads: true });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    // A node that is gone, or says no: the page must live with both, and says so itself.
    if (/^Failed to load resource/.test(message.text())) return;
    wrong.push(message.text());
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });
  page.setDefaultTimeout(20_000);
  try {
    await page.goto(url);
    await work(page);
    assert.deepEqual(wrong, [], "the page logged errors");
  } finally {
    await context.close();
  }
}

/** Shows a view, and waits until it is there. */
export async function show(page, view) {
  await page.click(`nav a[href="#/${view}"]`);
  await page.waitForSelector(`#view-${view}:not([hidden])`);
}

/** Waits until the element's text matches. */
export async function textIs(page, selector, pattern, timeout = 20_000) {
  await page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    [selector, pattern.source],
    { timeout },
  );
}
