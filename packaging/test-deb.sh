#!/bin/sh
# Installs the Debian package on this machine, runs a node as the unit would, upgrades, removes
# and purges it: packaging/test-deb.sh FILE.deb NEWER.deb. For a machine or container to throw
# away: it needs root, and refuses where a stegcluster is installed or has data already.
set -eu

[ $# = 2 ] || { echo "usage: packaging/test-deb.sh FILE.deb NEWER.deb" >&2; exit 2; }
old=$1 new=$2
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 2; }
if dpkg -s stegcluster >/dev/null 2>&1 || [ -e /var/lib/stegcluster ] || [ -e /etc/stegcluster ]; then
  echo "stegcluster is or was installed here: nothing done" >&2
  exit 2
fi

work=$(mktemp -d)
node=
ours=no
clean_up() {
  [ -z "$node" ] || kill "$node" 2>/dev/null || true
  # After a failure too: there was no stegcluster here before.
  [ $ours = no ] || dpkg -P stegcluster >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT
step() { printf 'package: %s\n' "$*"; }
fail() { printf 'package: FAILED: %s\n' "$*" >&2; [ ! -f "$work/log" ] || tail -n 20 "$work/log" >&2; exit 1; }

# The commands find the node by what was installed.
export STEGCLUSTER_CONFIG=/etc/stegcluster/cluster.yaml

# What ExecStart says, as the user that it says, for node n1.
unit=/usr/lib/systemd/system/stegcluster@.service
start() {
  user=$(sed -n 's/^User=//p' $unit)
  command=$(sed -n 's/^ExecStart=//p' $unit | sed 's/%i/n1/g')
  # shellcheck disable=SC2086 # a command and its arguments
  setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs $command 2>>"$work/log" &
  node=$!
  tries=0
  until stegcluster status >/dev/null 2>&1; do
    kill -0 "$node" 2>/dev/null || fail "the node ended"
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail "the node does not serve"
    sleep 0.1
  done
}
stop() {
  kill "$node"
  wait "$node" || fail "the node ended with $?"
  node=
}

step "install"
dpkg -c "$old" >"$work/files"
ours=yes
dpkg -i "$old" >"$work/dpkg" 2>&1 || { cat "$work/dpkg" >&2; fail "dpkg -i"; }
for file in /usr/bin/stegcluster /etc/stegcluster/cluster.yaml $unit /usr/lib/sysusers.d/stegcluster.conf \
  /usr/share/bash-completion/completions/stegcluster /usr/share/zsh/vendor-completions/_stegcluster \
  /usr/share/fish/vendor_completions.d/stegcluster.fish /usr/share/doc/stegcluster/copyright; do
  # Containers often leave out what is in /usr/share/doc and man.
  [ -e "$file" ] || grep -q " \.$file\(\.gz\)\?$" "$work/files" || fail "$file is missing"
done
grep -q 'man1/stegcluster-serve.1.gz' "$work/files" || fail "the manual is missing"
stegcluster --version
if command -v systemd-analyze >/dev/null 2>&1; then
  systemd-analyze --man=no verify stegcluster@n1.service || fail "systemd-analyze verify"
fi

step "a node serves as user $(sed -n 's/^User=//p' $unit)"
start
printf 'kept over the upgrade' >"$work/secret"
stegcluster embed "$work/secret" --out "$work/hidden.png" >/dev/null
stop
[ "$(stat -c %U /var/lib/stegcluster/n1)" = stegcluster ] || fail "the data belongs to somebody else"

step "upgrade, with a configuration changed by hand"
echo '# mine' >>/etc/stegcluster/cluster.yaml
dpkg -i "$new" >"$work/dpkg" 2>&1 </dev/null || { cat "$work/dpkg" >&2; fail "dpkg -i"; }
grep -q '^# mine' /etc/stegcluster/cluster.yaml || fail "the configuration was overwritten"
start
stegcluster verify "$work/hidden.png" >/dev/null || fail "the record is gone"
stegcluster extract "$work/hidden.png" --out "$work/back" >/dev/null
cmp "$work/secret" "$work/back"
stop

step "remove keeps data and configuration"
dpkg -r stegcluster >"$work/dpkg" 2>&1 || { cat "$work/dpkg" >&2; fail "dpkg -r"; }
[ ! -e /usr/bin/stegcluster ] || fail "the binary is still there"
for kept in /var/lib/stegcluster/n1/identity.json /etc/stegcluster/cluster.yaml; do
  [ -e $kept ] || fail "remove took $kept along"
done

step "install again finds both"
dpkg -i "$new" >"$work/dpkg" 2>&1 </dev/null || { cat "$work/dpkg" >&2; fail "dpkg -i"; }
start
stegcluster verify "$work/hidden.png" >/dev/null || fail "the record is gone"
stop

step "purge"
dpkg -P stegcluster >"$work/dpkg" 2>&1 || { cat "$work/dpkg" >&2; fail "dpkg -P"; }
for left in /var/lib/stegcluster /etc/stegcluster /usr/bin/stegcluster $unit; do
  [ ! -e "$left" ] || fail "$left is left"
done
if dpkg -s stegcluster >/dev/null 2>&1; then fail "dpkg still knows it"; fi
step "installed, upgraded, removed, purged"
