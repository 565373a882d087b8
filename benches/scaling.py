#!/usr/bin/env python3
"""What adding nodes gives: clusters of 1, 3 and 5 nodes, each node with the same part of a core.

Every node runs in a control group of its own that gives it `--share` of a core (cfs_quota_us of
cgroup v1, or cpu.max of v2; needs root), as if it had a small machine to itself. `bench` embeds
through all nodes in turn, outside of the groups, and its machine must have the processor time that
the nodes leave: with two cores, 5 nodes of 0.15. With `--unequal` the last node gets a quarter of
the share, to see that clients go to the others.

    benches/scaling.py --stegcluster target/release/stegcluster --nodes 1,3,5 --share 0.15
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from nodes import Cluster

# Nodes are held back for less than a millisecond or ten at a time, not for a tenth of a second.
PERIOD_US = 10_000
V1, V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"


class Group:
    """A control group with a part of a core."""

    def __init__(self, name, share):
        v1 = os.path.exists(f"{V1}/cpu.cfs_quota_us")
        self.path = os.path.join(V1 if v1 else V2, f"stegcluster-{os.getpid()}-{name}")
        os.mkdir(self.path)
        quota = int(share * PERIOD_US)
        if v1:
            self.put("cpu.cfs_period_us", PERIOD_US)
            self.put("cpu.cfs_quota_us", quota)
        else:
            self.put("cpu.max", f"{quota} {PERIOD_US}")

    def put(self, file, value):
        with open(os.path.join(self.path, file), "w") as out:
            out.write(str(value))

    def remove(self):
        for _ in range(100):
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.02)


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(args, size):
    """Embeds a second, the p50 in ms, and the processor time of all nodes for each, in ms."""
    with tempfile.TemporaryDirectory(prefix="stegcluster-scaling-") as folder:
        cluster, groups = Cluster(folder, size), []
        try:
            for number, node in enumerate(cluster.nodes):
                cluster.start(node, args.stegcluster)
            cluster.whole()
            for number, node in enumerate(cluster.nodes):
                last = args.unequal and number == size - 1
                groups.append(Group(node.name, args.share / 4 if last else args.share))
                groups[-1].put("cgroup.procs", node.process.pid)
            report = os.path.join(folder, "report.json")
            load = [args.stegcluster, "bench", f"--servers={cluster.servers()}",
                    f"--mode={args.mode}", f"--clients={args.clients * size}",
                    f"--duration={args.seconds}s", "--warm-up=2s", f"--json={report}",
                    f"--secret-bytes={args.secret_bytes}"]
            if args.cover:
                load.append(f"--cover={args.cover}")
            before = [cpu_s(node.process.pid) for node in cluster.nodes]
            done = subprocess.run(load, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(done.stdout + done.stderr)
            used = [cpu_s(n.process.pid) - b for n, b in zip(cluster.nodes, before)]
            with open(report) as file:
                return json.load(file), used
        finally:
            cluster.stop()
            for group in groups:
                group.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--nodes", default="1,3,5")
    parser.add_argument("--share", type=float, default=0.15, help="of a core, for each node")
    parser.add_argument("--mode", default="embed")
    parser.add_argument("--clients", type=int, default=3, help="for each node")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--secret-bytes", type=int, default=50_000)
    parser.add_argument("--cover")
    parser.add_argument("--unequal", action="store_true")
    args = parser.parse_args()
    first = None
    for size in map(int, args.nodes.split(",")):
        report, used = measure(args, size)
        rate = report["throughput_rps"]
        first = first or rate / size
        latency = report["latency_ms"]
        print(f"{size} nodes of {args.share} core: {rate:.1f}/s, {rate / size / first:.2f} of proportion; "
              f"p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms; failed {report['failed']}; "
              f"processor time {' '.join(f'{s:.1f}' for s in used)} s", flush=True)


if __name__ == "__main__":
    main()
