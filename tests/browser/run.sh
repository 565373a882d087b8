#!/bin/sh
# The dashboard's tests in a real browser: tests/browser/run.sh BINARY
#
# They need Node 18 or newer with npm, Chromium (or CHROMIUM=/path/to/it), and once the network,
# for the two packages that package-lock.json pins. Where one of them is missing the tests are
# skipped, loudly, and that is no failure; with BROWSER_TESTS=required it is one.
set -eu

binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")"

skip() {
  {
    echo
    echo '  ************************************************************'
    echo '  *  BROWSER TESTS SKIPPED: nothing below tests the dashboard.'
    echo "  *  $*"
    echo '  ************************************************************'
    echo
  } >&2
  [ "${BROWSER_TESTS:-}" != required ] || exit 1
  exit 0
}

have() { command -v "$1" >/dev/null 2>&1; }

[ -x "$binary" ] || { echo "browser tests: there is no $binary; cargo build makes it" >&2; exit 1; }
have node || skip 'There is no node (Debian: apt-get install nodejs npm chromium).'
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] || skip "Node 18 or newer is needed, this is $(node --version)."

chromium=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome-stable google-chrome; do
  [ -n "$chromium" ] || chromium=$(command -v "$name" || true)
done
[ -n "$chromium" ] || skip 'There is no Chromium; say where with CHROMIUM=/path/to/it.'

# npm ci writes this file last.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  have npm || skip 'There is no npm.'
  limit=''
  ! have timeout || limit='timeout 180'
  $limit npm ci --no-audit --no-fund --ignore-scripts --loglevel=error \
    || skip 'npm ci did not get its packages; the line above says why.'
  touch node_modules/.package-lock.json
fi

echo "browser tests: $("$chromium" --version 2>/dev/null), Node $(node --version), $binary"
STEGCLUSTER=$binary CHROMIUM=$chromium exec node --test --test-reporter=spec dashboard.test.mjs
