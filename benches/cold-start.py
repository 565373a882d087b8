#!/usr/bin/env python3
"""How long a node takes to serve again after ten thousand embeds.

One node embeds them over HTTP, and is killed with SIGKILL, so that it has its log to read. Its
files are put out of the system's cache (posix_fadvise), and it is started: the time to the first
200 of /readyz, and to the first record read, linearizably. Then the same after a clean stop. Fails
where one start takes longer than the target.

    benches/cold-start.py --stegcluster target/release/stegcluster --target-ms 1000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from nodes import Cluster, fetch


def forget(folder):
    """Puts every file below out of the page cache."""
    os.sync()
    for path, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def size(folder):
    return sum(os.path.getsize(os.path.join(p, f)) for p, _, files in os.walk(folder) for f in files)


def until(node, path, begun):
    while time.monotonic() - begun < 60:
        try:
            if fetch(node.url + path, timeout=5)[0] == 200:
                return (time.monotonic() - begun) * 1000
        except OSError:
            pass
        time.sleep(0.002)
    raise SystemExit(f"{path}: no answer in a minute; see {node.log}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--embeds", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--target-ms", type=float, default=1000)
    parser.add_argument("--mode", default="embed", help="of bench")
    args = parser.parse_args()
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="stegcluster-cold-") as folder:
        cluster = Cluster(folder, 1)
        node = cluster.nodes[0]
        try:
            cluster.start(node, args.stegcluster)
            until(node, "/readyz", time.monotonic())
            clients = 8
            begun = time.monotonic()
            load = [args.stegcluster, "bench", f"--servers={cluster.servers()}",
                    f"--mode={args.mode}", f"--clients={clients}",
                    f"--reqs={-(-args.embeds // clients)}"]
            done = subprocess.run(load, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(done.stdout + done.stderr)
            took = time.monotonic() - begun
            print(f"{args.embeds} of {args.mode} in {took:.0f} s; {size(node.data_dir)} bytes in "
                  f"the data folder", flush=True)
            for start in range(args.starts):
                for how in ("SIGKILL", "SIGTERM"):
                    if how == "SIGKILL":
                        node.kill()
                    else:
                        node.stop()
                    forget(node.data_dir)
                    begun = time.monotonic()
                    cluster.start(node, args.stegcluster)
                    ready = until(node, "/readyz", begun)
                    read = until(node, "/api/records?limit=1", begun)
                    slowest = max(slowest, ready, read)
                    print(f"start {start + 1} after {how}: ready after {ready:.0f} ms, first record "
                          f"after {read:.0f} ms", flush=True)
            held = len(node.records())
        finally:
            cluster.stop()
    print(f"{held} records; slowest {slowest:.0f} ms, target {args.target_ms:.0f} ms")
    sys.exit(0 if slowest <= args.target_ms and held >= args.embeds else 1)


if __name__ == "__main__":
    main()
