#!/bin/sh
# Installs what the build lacks: a C++ compiler, libclang, make, git and Rust.
#
#   packaging/setup.sh [static] [ccache] [browser]
#
# `static`: also the static C and C++ libraries that `make static` links.
# `ccache`: also ccache; the build is only slower without it, so a failure to
# install it is no error.
# `browser`: also Chromium, Node and npm, which the dashboard's tests need; they are
# skipped without, so a failure to install is no error, and none waits for long.
#
# Looks first and touches nothing, not even the network, when everything is there.
# Knows apt (Debian, Ubuntu), dnf (Fedora) and Homebrew (macOS).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
want_static=no
want_ccache=no
want_browser=no
for argument in "$@"; do
  case $argument in
    static) want_static=yes ;;
    ccache) want_ccache=yes ;;
    browser) want_browser=yes ;;
    *) echo "usage: packaging/setup.sh [static] [ccache] [browser]" >&2; exit 2 ;;
  esac
done

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Where rustup puts cargo; a fresh installation is not on PATH yet.
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

# --- what is there -------------------------------------------------------

have_compiler() { have c++ && { have cc || have gcc; }; }

# bindgen loads libclang at build time and needs clang's own headers beside it.
have_libclang() {
  [ -z "${LIBCLANG_PATH:-}" ] || return 0
  for folder in /usr/lib/llvm*/lib /usr/lib64 /usr/lib64/llvm*/lib /usr/lib /usr/lib/*-linux-gnu \
    /usr/local/lib /Library/Developer/CommandLineTools/usr/lib \
    /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib \
    /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib; do
    for library in "$folder"/libclang.so "$folder"/libclang.so.* "$folder"/libclang-*.so* \
      "$folder"/libclang.dylib; do
      if [ -e "$library" ] && have_clang_headers; then return 0; fi
    done
  done
  return 1
}

have_clang_headers() {
  for header in /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
    /usr/lib64/clang/*/include/stddef.h /Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h \
    /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/clang/*/include/stddef.h \
    /opt/homebrew/opt/llvm/lib/clang/*/include/stddef.h /usr/local/opt/llvm/lib/clang/*/include/stddef.h; do
    [ ! -e "$header" ] || return 0
  done
  return 1
}

have_static_libraries() {
  for library in libc.a libstdc++.a; do
    # Without the library the compiler prints back the bare name.
    case $(c++ -print-file-name="$library" 2>/dev/null) in
      */*) ;;
      *) return 1 ;;
    esac
  done
}

have_ccache() { have ccache; }

have_chromium() {
  [ -z "${CHROMIUM:-}" ] || return 0
  for name in chromium chromium-browser google-chrome-stable google-chrome; do
    ! have "$name" || return 0
  done
  return 1
}

have_browser() { have node && have npm && have_chromium; }

rust_wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")

have_rust() {
  have cargo && have rustc || return 1
  found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2)
  [ -n "$found" ] || return 1
  # The older of the two must be the wanted one.
  older=$(printf '%s\n%s\n' "$rust_wanted" "${found%%-*}" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)
  [ "$older" = "$rust_wanted" ]
}

# --- installing ----------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    fail "needs to run as root, since there is no sudo: $*"
  fi
}

manager=""
find_manager() {
  for candidate in apt-get dnf brew; do
    if have "$candidate"; then manager=$candidate; return; fi
  done
  fail "knows apt-get, dnf and brew, and finds none of them; install by hand: $*"
}

updated=no
install_packages() {
  [ -n "$manager" ] || find_manager "$@"
  case $manager in
    apt-get)
      if [ $updated = no ]; then
        say "apt-get update"
        as_root apt-get update -q || return 1
        updated=yes
      fi
      say "apt-get install $*"
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
      ;;
    dnf)
      say "dnf install $*"
      as_root dnf install -y "$@"
      ;;
    brew)
      say "brew install $*"
      brew install "$@"
      ;;
  esac
}

# The package that holds a missing piece, by package manager.
package() {
  case $manager.$1 in
    apt-get.compiler) echo build-essential ;;
    apt-get.libclang) echo clang libclang-dev ;;
    apt-get.static_libraries) echo libc6-dev build-essential ;;
    dnf.compiler) echo gcc gcc-c++ ;;
    dnf.libclang) echo clang clang-devel ;;
    dnf.static_libraries) echo glibc-static libstdc++-static ;;
    brew.compiler) fail "run xcode-select --install once, then this again" ;;
    brew.libclang) echo llvm ;;
    brew.static_libraries) fail "the static binary is for Linux; build it there" ;;
    *) echo "$1" ;;
  esac
}

# Never asks for a password, and gives up after some minutes.
install_browser() {
  # Only what is missing: a Node from elsewhere brings its own npm, and conflicts with Debian's.
  wanted=""
  have node || wanted="$wanted nodejs"
  have npm || wanted="$wanted npm"
  have_chromium || wanted="$wanted chromium"
  # shellcheck disable=SC2086 # a list of words, here and below
  find_manager $wanted
  root=""
  [ "$(id -u)" = 0 ] || root="sudo -n"
  limit=""
  ! have timeout || limit="timeout 600"
  case $manager in
    apt-get)
      once="-q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
      # shellcheck disable=SC2086 # lists of words
      [ $updated = yes ] || $root $limit apt-get $once update || return 1
      # shellcheck disable=SC2086
      $root $limit env DEBIAN_FRONTEND=noninteractive apt-get $once install -y \
        --no-install-recommends $wanted
      ;;
    # shellcheck disable=SC2086
    dnf) $root $limit dnf install -y $wanted ;;
    # shellcheck disable=SC2086
    brew) $limit brew install node ;;
  esac
}

install_rust() {
  if have rustup; then
    say "rustup: Rust $rust_wanted or newer"
    rustup toolchain install stable --profile minimal --component clippy --component rustfmt
    rustup default stable
    return
  fi
  installer=$(mktemp)
  say "Rust $rust_wanted or newer from https://sh.rustup.rs into ${CARGO_HOME:-$HOME/.cargo}"
  if curl --proto '=https' --tlsv1.2 --retry 3 -sSf https://sh.rustup.rs -o "$installer"; then
    sh "$installer" -y --no-modify-path --profile minimal --component clippy --component rustfmt
    rm -f "$installer"
    return
  fi
  rm -f "$installer"
  say "https://sh.rustup.rs cannot be reached; trying the system's packages"
  [ -n "$manager" ] || find_manager cargo
  case $manager in
    apt-get) install_packages cargo rustc rustfmt rust-clippy ;;
    dnf) install_packages cargo rust rustfmt clippy ;;
    brew) install_packages rust ;;
  esac
}

# --- the work ------------------------------------------------------------

missing=""
have_compiler || missing="$missing compiler"
have_libclang || missing="$missing libclang"
for tool in make git; do have "$tool" || missing="$missing $tool"; done
[ $want_static = no ] || have_static_libraries || missing="$missing static_libraries"
have_rust || have rustup || have curl || missing="$missing curl ca-certificates"

if [ -n "$missing" ]; then
  say "missing:$missing"
  # shellcheck disable=SC2086 # a list of words
  find_manager $missing
  packages=""
  for piece in $missing; do
    packages="$packages $(package "$piece")"
  done
  # shellcheck disable=SC2086 # a list of words
  install_packages $packages || fail "could not install:$packages"
fi

if [ $want_ccache = yes ] && ! have_ccache; then
  install_packages ccache || say "no ccache; the build is only slower without it"
fi

if [ $want_browser = yes ] && ! have_browser; then
  say "the dashboard's tests want Chromium, Node and npm"
  (install_browser) || say "no browser; the dashboard's tests will be skipped"
fi

if ! have_rust; then
  install_rust || fail "could not install Rust; see https://rustup.rs"
  have_rust || fail "Rust $rust_wanted or newer is needed, found: $(rustc --version 2>&1); see https://rustup.rs"
fi

have_compiler || fail "there is still no C++ compiler"
have_libclang || fail "there is still no libclang; set LIBCLANG_PATH to its folder if it is somewhere unusual"
[ -n "$missing" ] || say "nothing is missing"
