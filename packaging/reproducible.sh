#!/bin/sh
# Builds the static binary of the commit that is checked out once more, in another source folder,
# target folder and cargo home, and compares:
#
#   packaging/reproducible.sh BINARY FOLDER
#
# BINARY was made by `make static`; FOLDER is emptied and takes some 3 GB. With ccache RocksDB is not
# compiled again: what its compiler is told does not depend on these folders.
set -eu

[ $# = 2 ] || { echo "usage: packaging/reproducible.sh BINARY FOLDER" >&2; exit 2; }
cd "$(dirname "$0")/.."
[ -z "$(git status --porcelain --untracked-files=no)" ] || { echo "commit first: the other folder gets what is committed" >&2; exit 2; }
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
mkdir -p "$2"
folder=$(cd "$2" && pwd)
home=${CARGO_HOME:-$HOME/.cargo}

rm -rf "$folder/elsewhere"
mkdir -p "$folder/elsewhere/cargo"
git clone --quiet . "$folder/elsewhere/source"
# Not downloaded again; links where the file system allows it.
cp -al "$home/registry" "$folder/elsewhere/cargo/" 2>/dev/null || cp -R "$home/registry" "$folder/elsewhere/cargo/"
PATH=$PATH:$home/bin CARGO_HOME=$folder/elsewhere/cargo CARGO_TARGET_DIR=$folder/elsewhere/target \
  make --no-print-directory -C "$folder/elsewhere/source" static
other=$folder/elsewhere/target/x86_64-unknown-linux-gnu/release/stegcluster
sha256sum "$binary" "$other"
cmp "$binary" "$other"
echo "the same bytes"
