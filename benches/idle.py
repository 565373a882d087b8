#!/usr/bin/env python3
"""What a cluster costs while nothing happens, and how soon it serves.

Three nodes on loopback, left alone: processor time by thread name (/proc/PID/task/*/schedstat),
times a second that a thread was given a core, and resident memory. Before that, `--starts` times: from
exec to the first 200 of /readyz, asked every millisecond, with a fresh folder, after SIGKILL, and
after SIGTERM.

    benches/idle.py --stegcluster target/release/stegcluster --seconds 30
"""

import argparse
import collections
import os
import re
import socket
import tempfile
import time

from nodes import Cluster

SETTLED_S = 5


def threads(pid):
    """Name, nanoseconds on a core and switches of each thread."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}"
        try:
            with open(f"{folder}/schedstat") as file:
                ran_ns = int(file.read().split()[0])
            with open(f"{folder}/status") as file:
                switches = sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", file.read())))
            with open(f"{folder}/comm") as file:
                found[thread] = (file.read().strip(), ran_ns, switches)
        except OSError:
            pass
    return found


def memory_mb(pid, what):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(rf"^{what}:\s+(\d+)", file.read(), re.M)[1]) * 1024 / 1e6


def is_ready(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as stream:
            stream.sendall(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
            return b" 200 " in stream.recv(64)[:16]
    except OSError:
        return False


def start(cluster, binary):
    """Milliseconds until the last node is ready."""
    begun = time.monotonic()
    for node in cluster.nodes:
        cluster.start(node, binary)
    waiting = list(cluster.nodes)
    while waiting:
        waiting = [node for node in waiting if not is_ready(node.http_port)]
        time.sleep(0.001)
    return (time.monotonic() - begun) * 1000


def starts(binary, size):
    with tempfile.TemporaryDirectory(prefix="stegcluster-start-") as folder:
        cluster = Cluster(folder, size)
        try:
            fresh = start(cluster, binary)
            for node in cluster.nodes:
                node.kill()
            killed = start(cluster, binary)
            for node in cluster.nodes:
                node.signal(15)
            for node in cluster.nodes:
                node.wait()
            stopped = start(cluster, binary)
        finally:
            cluster.stop()
    print(f"{size} node(s) ready: fresh {fresh:.0f} ms, after SIGKILL {killed:.0f} ms, "
          f"after SIGTERM {stopped:.0f} ms", flush=True)


def idle(binary, size, seconds):
    with tempfile.TemporaryDirectory(prefix="stegcluster-idle-") as folder:
        cluster = Cluster(folder, size)
        try:
            for node in cluster.nodes:
                cluster.start(node, binary)
            leader = cluster.whole()
            time.sleep(SETTLED_S)
            before = {node.name: threads(node.process.pid) for node in cluster.nodes}
            begun = time.monotonic()
            time.sleep(seconds)
            total = 0
            for node in cluster.nodes:
                pid, took = node.process.pid, time.monotonic() - begun
                by_name = collections.defaultdict(lambda: [0, 0])
                for thread, (name, ran_ns, switches) in threads(pid).items():
                    _, ran_before, switches_before = before[node.name].get(thread, (name, 0, 0))
                    by_name[name][0] += ran_ns - ran_before
                    by_name[name][1] += switches - switches_before
                percent = sum(ran for ran, _ in by_name.values()) / took / 1e7
                total += percent
                print(f"{node.name}{' leads' if node is leader else ''}: {percent:.2f} % of a core, "
                      f"{memory_mb(pid, 'Rss'):.1f} MB resident, {memory_mb(pid, 'Anonymous'):.1f} "
                      "of them its own")
                for name, (ran, switches) in sorted(by_name.items(), key=lambda x: -x[1][0])[:5]:
                    print(f"    {name:16} {ran / took / 1e7:6.3f} %, {switches / took:6.1f} switches/s")
            print(f"together {total:.2f} % of a core")
        finally:
            cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--starts", type=int, default=3)
    args = parser.parse_args()
    for _ in range(args.starts):
        for size in sorted({1, args.nodes}):
            starts(args.stegcluster, size)
    idle(args.stegcluster, args.nodes, args.seconds)


if __name__ == "__main__":
    main()
