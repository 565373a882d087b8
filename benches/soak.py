#!/usr/bin/env python3
"""Three real nodes under load and random faults, for an hour: does anything grow that should not?

Writers commit records through every node, with retries, and a `bench` embeds pictures beside them.
Every few seconds a fault strikes: SIGKILL, SIGTERM, a freeze, an isolation, a slow or a full disk,
a planned change of leader; then the cluster must be whole again. n3 is never ended, so that it shows
what a process does that runs on; the others are. Each five seconds every node's resident memory,
file descriptors, threads, and bytes on disk are taken, and how many records there are.

The rule, over the samples after the warm-up (the first quarter), with the slope of Theil and Sen
(the median of the slopes between all pairs, which single samples do not move):

  memory of n3         the slope, over the time measured, is below 10 % of the median and 16 MiB
  descriptors of n3    the slope, over the time measured, is below 8
  threads of n3        the slope, over the time measured, is below 4
  disk per record      every node: the slope, over the time measured, is below 10 % of the median

and no request failed, and in the end no record is lost or doubled on any node.

    benches/soak.py --stegcluster target/release/stegcluster --minutes 60 --json soak.json
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from nodes import Cluster, Writers, account, fetch

SAMPLE_EVERY_S = 5.0
RESTED_S = (2.0, 8.0)


def order(node, body, path="/admin/fail"):
    code, answer = fetch(
        node.url + path, data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    if code != 200:
        raise SystemExit(f"{node.name}: {path} {body}: {code} {answer[:200]}")


def disk(folder):
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                # What it takes on the disk, with what was reserved for more.
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def sample(node):
    process = f"/proc/{node.process.pid}"
    try:
        with open(f"{process}/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return {
            "rss": int(fields["VmRSS"].split()[0]) * 1024,
            "threads": int(fields["Threads"]),
            "fds": len(os.listdir(f"{process}/fd")),
            "disk": disk(node.data_dir),
        }
    except (FileNotFoundError, KeyError, ProcessLookupError):
        return None


def slope(points):
    slopes = [
        (y2 - y1) / (x2 - x1)
        for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1:] if x2 > x1
    ]
    return statistics.median(slopes) if slopes else 0.0


class Soak:
    def __init__(self, cluster, binary, seed):
        self.cluster, self.binary = cluster, binary
        self.random, self.begun = random.Random(seed), time.monotonic()
        self.samples = {node.name: [] for node in cluster.nodes}
        self.faults, self.sampled = {}, 0.0

    def elapsed(self):
        return time.monotonic() - self.begun

    def watch(self, seconds):
        """Lets time pass, and takes the samples that are due."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.elapsed() - self.sampled >= SAMPLE_EVERY_S:
                self.sampled = self.elapsed()
                status = self.cluster.nodes[2].status()
                records = max((n["records"] for n in status["nodes"]), default=0) if status else 0
                for node in self.cluster.nodes:
                    taken = sample(node)
                    if taken and records:
                        taken.update(t=self.sampled, records=records)
                        self.samples[node.name].append(taken)
            time.sleep(0.1)

    def strike(self):
        mortal = self.random.choice(self.cluster.nodes[:2])
        any_node = self.random.choice(self.cluster.nodes)
        fault = self.random.choice(
            ["kill", "term", "freeze", "isolate", "disk-slow", "disk-full", "transfer"]
        )
        self.faults[fault] = self.faults.get(fault, 0) + 1
        if fault == "kill":
            mortal.kill()
            self.watch(self.random.uniform(0.5, 4))
            self.cluster.start(mortal, self.binary)
        elif fault == "term":
            mortal.stop()
            self.watch(self.random.uniform(0, 2))
            self.cluster.start(mortal, self.binary)
        elif fault == "freeze":
            any_node.signal(signal.SIGSTOP)
            self.watch(self.random.uniform(0.3, 3))
            any_node.signal(signal.SIGCONT)
        elif fault == "isolate":
            order(any_node, {"action": "isolate", "duration_ms": self.random.randint(500, 3000)})
            self.watch(3.5)
        elif fault == "disk-slow":
            order(any_node, {"action": "disk-slow", "delay_ms": 300, "duration_ms": 2000})
            self.watch(2.5)
        elif fault == "disk-full":
            # It starts anew when there is room, as a process of the same number.
            order(mortal, {"action": "disk-full", "duration_ms": 1500})
            self.watch(2)
        else:
            fetch(any_node.url + "/admin/transfer-leader", data=b"{}",
                  headers={"Content-Type": "application/json"})

    def judge(self):
        """Lines of the report, and the rules that were broken."""
        lines, broken = [], []
        warm = self.elapsed() / 4

        def measure(what, name, value, limit):
            points = [(s["t"], value(s)) for s in self.samples[name] if s["t"] >= warm]
            # All pairs of some hundred points are enough.
            points = points[:: max(1, len(points) // 200)]
            if len(points) < 5:
                broken.append(f"{what} of {name}: too few samples")
                return
            median = statistics.median(y for _, y in points)
            grown = slope(points) * (points[-1][0] - points[0][0])
            allowed = limit(median)
            verdict = "flat" if grown <= allowed else "GROWS"
            lines.append(f"{what:<16} {name}  median {median:14,.1f}  grown by {grown:12,.1f}  "
                         f"allowed {allowed:12,.1f}  {verdict}")
            if grown > allowed:
                broken.append(f"{what} of {name} grows")

        mib = 1 << 20
        measure("memory", "n3", lambda s: s["rss"], lambda m: max(m / 10, 16 * mib))
        measure("descriptors", "n3", lambda s: s["fds"], lambda m: 8)
        measure("threads", "n3", lambda s: s["threads"], lambda m: 4)
        for name in self.samples:
            measure("disk per record", name, lambda s: s["disk"] / s["records"], lambda m: m / 10)
        return lines, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=20, help="embeds a second")
    parser.add_argument("--json", help="where to write all samples")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="stegcluster-soak-") as folder:
        cluster = Cluster(folder, 3)
        writers = load = None
        try:
            for node in cluster.nodes:
                cluster.start(node, args.stegcluster, ["--solo-after=never"])
            cluster.whole()
            soak = Soak(cluster, args.stegcluster, args.seed)
            writers = Writers(cluster, 2, pause_s=0.02)
            seconds = args.minutes * 60
            report = os.path.join(folder, "bench.json")
            load = subprocess.Popen(
                [args.stegcluster, "bench", f"--servers={cluster.servers()}", "--mode=embed",
                 f"--rate={args.rate:g}", f"--duration={seconds:.0f}s", f"--json={report}"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            while soak.elapsed() < seconds:
                soak.watch(soak.random.uniform(*RESTED_S))
                soak.strike()
                cluster.whole()
            load.wait(60)
            writers.stop()
            lines, broken = soak.judge()
            with open(report, encoding="utf-8") as file:
                embeds = json.load(file)
            if load.returncode != 0:
                broken.append(f"bench: {load.stderr.read()[-500:]}")
            broken += writers.failed[:5] + account(cluster, writers.acknowledged)
            faults = ", ".join(f"{k} {v}" for k, v in sorted(soak.faults.items()))
            total = len(cluster.nodes[2].records())
            print(f"{soak.elapsed() / 60:.1f} minutes, {sum(soak.faults.values())} faults ({faults})")
            print(f"{len(writers.acknowledged)} commits acknowledged, {len(writers.failed)} failed, "
                  f"slowest {writers.slowest_s:.1f} s; {total} records in the ledger")
            print("\n".join(lines))
            if args.json:
                with open(args.json, "w", encoding="utf-8") as file:
                    json.dump({"seed": args.seed, "faults": soak.faults, "samples": soak.samples,
                               "bench": embeds, "broken": broken}, file)
            print("0 lost, 0 doubled, nothing grows" if not broken else "\n".join(broken))
        finally:
            if writers:
                writers.stop()
            if load and load.poll() is None:
                load.kill()
            cluster.stop()
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
