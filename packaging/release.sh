#!/bin/sh
# Makes everything of a release from the static binary, which must be built:
#
#   packaging/release.sh BUILT DIST
#
# BUILT is the folder of the binary (target/x86_64-unknown-linux-gnu/release), DIST where it all
# goes: the binary, a Debian package, an RPM, an archive with manual, completions and licences, the
# bill of materials (CycloneDX), and SHA256SUMS. The same commit, binary and tools give the same
# bytes: every date is that of the commit, or SOURCE_DATE_EPOCH.
set -eu

[ $# = 2 ] || { echo "usage: packaging/release.sh BUILT DIST" >&2; exit 2; }
cd "$(dirname "$0")/.."
built=$1 dist=$2
target=x86_64-unknown-linux-gnu
name=stegcluster
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022
[ -x "$built/$name" ] || { echo "$built/$name is missing: make static" >&2; exit 1; }

rm -rf "$dist"
mkdir -p "$dist"
dist=$(cd "$dist" && pwd)
built=$(cd "$built" && pwd)
# The packagers take the binary from there, by the names of cargo's folders.
folder=$(cd "$built/../.." && pwd)
export CARGO_TARGET_DIR="$folder"

packaging/notices.py $target >"$built/THIRD-PARTY"
cargo deb --quiet --locked --no-build --no-strip --target $target \
  --output "$dist/${name}_$version-1_amd64.deb"
cargo generate-rpm --target $target --target-dir "$folder" \
  --output "$dist/$name-$version-1.x86_64.rpm"

# It is written beside Cargo.toml, and names the folder that it was made in.
sbom=$name-$version.cdx
root=$(pwd)
trap 'rm -f "$root/$sbom.json"' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target $target --no-build-deps \
  --override-filename "$sbom"
sed "s|path+file://$root|path+file:///$name|g" "$sbom.json" >"$dist/$sbom.json"

# The archive is unpacked anywhere; its folder says what it is.
archive=$name-$version-x86_64-linux
tree=$built/$archive
rm -rf "$tree"
mkdir -p "$tree/docs"
cp "$built/$name" "$built/THIRD-PARTY" README.md CHANGELOG.md SECURITY.md LICENSE "$tree"
cp packaging/cluster.yaml "$tree"
cp -R man completions "$tree"
cp docs/*.md docs/*.png docs/*.svg "$tree/docs"
mkdir "$tree/systemd"
cp packaging/systemd/* "$tree/systemd"
tar --create --directory "$built" --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
  --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=gnu "$archive" \
  | gzip -9 -n >"$dist/$archive.tar.gz"
rm -rf "$tree"

cp "$built/$name" "$dist/$name-$version-x86_64-linux"
cd "$dist"
sha256sum -- * >../SHA256SUMS.new
mv ../SHA256SUMS.new SHA256SUMS
ls -l
