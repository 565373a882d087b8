#!/usr/bin/env python3
"""What a ledger of a million records costs: disk, memory, and time to open.

One node commits records over HTTP (`bench --mode commit`), as many as a list of sizes says. At each
size it is killed with SIGKILL and stopped with SIGTERM in turn, its files are put out of the system's
cache, and it is started: the time to the first 200 of /readyz, and to the first record that is read,
linearizably. Prints the bytes in the data folder, the memory of the node just started, and how long
it takes to give out the whole ledger (`/api/ledger`, what a backup is and a snapshot sends).

    benches/ledger.py --stegcluster target/release/stegcluster --sizes 250000,500000,1000000
"""

import argparse
import importlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from nodes import Cluster

cold = importlib.import_module("cold-start")
CLIENTS = 64


def memory_mb(node):
    with open(f"/proc/{node.process.pid}/smaps_rollup") as file:
        return int(re.search(r"^Rss:\s+(\d+)", file.read(), re.M)[1]) * 1024 / 1e6


def fill(node, binary, records):
    """Commits so many records; commits a second."""
    begun = time.monotonic()
    load = [binary, "bench", f"--servers={node.url}", "--mode=commit", f"--clients={CLIENTS}",
            f"--reqs={-(-records // CLIENTS)}"]
    done = subprocess.run(load, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return records / (time.monotonic() - begun)


def start(cluster, node, binary, how):
    node.kill() if how == "SIGKILL" else node.stop()
    cold.forget(node.data_dir)
    begun = time.monotonic()
    cluster.start(node, binary)
    return cold.until(node, "/readyz", begun), cold.until(node, "/api/records?limit=1", begun)


def give_out(node):
    """Seconds to send the whole ledger, and its bytes."""
    begun, total = time.monotonic(), 0
    with urllib.request.urlopen(f"{node.url}/api/ledger?consistency=stale", timeout=600) as answer:
        while chunk := answer.read(1 << 20):
            total += len(chunk)
    return time.monotonic() - begun, total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--sizes", default="250000,500000,1000000")
    parser.add_argument("--target-ms", type=float, default=1000)
    args = parser.parse_args()
    slowest, held = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="stegcluster-ledger-") as folder:
        cluster = Cluster(folder, 1)
        node = cluster.nodes[0]
        try:
            cluster.start(node, args.stegcluster)
            cold.until(node, "/readyz", time.monotonic())
            for records in map(int, args.sizes.split(",")):
                rate = fill(node, args.stegcluster, records - held)
                held = records
                opened = {how: start(cluster, node, args.stegcluster, how)
                          for how in ("SIGKILL", "SIGTERM")}
                slowest = max(slowest, *(ms for pair in opened.values() for ms in pair))
                memory, disk = memory_mb(node), cold.size(node.data_dir)
                took, sent = give_out(node)
                print(f"{records:>9,} records at {rate:,.0f}/s; on disk {disk / 1e6:,.0f} MB, "
                      f"{disk / records:.0f} bytes a record; memory when opened {memory:.0f} MB; "
                      f"given out in {took:.1f} s ({sent / records:.0f} bytes a record)", flush=True)
                for how, (ready, read) in opened.items():
                    print(f"          after {how}: ready after {ready:.0f} ms, first record after "
                          f"{read:.0f} ms", flush=True)
        finally:
            cluster.stop()
    print(f"slowest {slowest:.0f} ms, target {args.target_ms:.0f} ms")
    sys.exit(0 if slowest <= args.target_ms else 1)


if __name__ == "__main__":
    main()
