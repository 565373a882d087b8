#!/usr/bin/env python3
"""A rolling upgrade of three nodes under load, from one build to another, and one node back.

Starts three nodes of the old build, and writers through all of them. One node is exchanged for
the new build and then taken back; then all are exchanged, the leader last, each stopped by
SIGTERM as `systemctl restart` does it. When all are new, the cluster's version must rise by itself,
and the old build must refuse the raised folder and leave it as it is. Fails on any failed request, and on any
record that is lost or doubled on any node.

    benches/upgrade.py --old target/upgrade/old --new target/upgrade/new
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from nodes import Cluster, Writers, account, fingerprint

HOLD_S = 2.0


def exchange(cluster, node, binary, what, begun):
    code = node.stop()
    if code != 0:
        raise SystemExit(f"{node.name} ended with {code}; see {node.log}")
    cluster.start(node, binary)
    leader = cluster.whole()
    print(f"{time.monotonic() - begun:7.1f} s  {node.name} {what}; {leader.name} leads", flush=True)
    time.sleep(HOLD_S)


def formats(cluster):
    found = {}
    for node in cluster.nodes:
        with open(os.path.join(node.data_dir, "identity.json"), encoding="utf-8") as file:
            found[node.name] = json.load(file)["format"]
    return found


def raised(cluster, begun):
    before = 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = set(formats(cluster).values())
        if len(found) == 1 and found != {1}:
            before = found.pop()
            break
        time.sleep(0.1)
    if not before:
        raise SystemExit(f"the cluster's version did not rise: {formats(cluster)}")
    print(f"{time.monotonic() - begun:7.1f} s  every folder has format {before}", flush=True)


def refused(cluster, old, new, begun):
    """The old build must leave a raised folder alone."""
    node = cluster.nodes[0]
    node.stop()
    before = fingerprint(node.data_dir)
    command = [old, "serve", f"--id={node.name}", f"--data-dir={node.data_dir}",
               f"--listen=127.0.0.1:{node.http_port}",
               f"--raft-listen=127.0.0.1:{node.raft_port}", f"--peers={cluster.peers}"]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=30)
    said = (tried.stderr + tried.stdout).strip().splitlines()[-1]
    if tried.returncode == 0 or "format 2" not in said:
        raise SystemExit(f"the old build took the raised folder: {tried.returncode} {said}")
    if fingerprint(node.data_dir) != before:
        raise SystemExit("the old build changed the folder that it refused")
    print(f"{time.monotonic() - begun:7.1f} s  the old build refuses it (code {tried.returncode}), "
          f"and changes nothing:\n           {said}", flush=True)
    cluster.start(node, new)
    cluster.whole()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", required=True)
    parser.add_argument("--new", required=True)
    parser.add_argument("--writers", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stegcluster-upgrade-") as folder:
        cluster, begun = Cluster(folder, 3), time.monotonic()
        writers = None
        try:
            for node in cluster.nodes:
                cluster.start(node, args.old)
            leader = cluster.whole()
            print(f"{0:7.1f} s  three nodes of the old build; {leader.name} leads", flush=True)
            writers = Writers(cluster, args.writers)
            time.sleep(HOLD_S)
            first = next(node for node in cluster.nodes if node is not leader)
            exchange(cluster, first, args.new, "runs the new build", begun)
            exchange(cluster, first, args.old, "is back at the old build", begun)
            for _ in cluster.nodes:
                leader = cluster.whole()
                left = [n for n in cluster.nodes if not getattr(n, "new", False)]
                node = next((n for n in left if n is not leader), left[0])
                exchange(cluster, node, args.new, "runs the new build", begun)
                node.new = True
            raised(cluster, begun)
            time.sleep(HOLD_S)
            refused(cluster, args.old, args.new, begun)
            time.sleep(HOLD_S)
            writers.stop()
            problems = writers.failed + account(cluster, writers.acknowledged)
            print(f"{len(writers.acknowledged)} records acknowledged, {len(writers.failed)} requests "
                  f"failed, {writers.retried} attempts made again at another node, slowest "
                  f"{writers.slowest_s * 1000:.0f} ms; "
                  f"{'0 lost, 0 doubled' if not problems else problems}")
        finally:
            if writers:
                writers.stop()
            cluster.stop()
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
