#!/usr/bin/env python3
"""Ten times as many requests as three nodes can do, for five minutes.

usage: run.py BINARY [--minutes 5] [--factor 10] [--memory-mib 512] [--out FOLDER]

Starts three nodes on this machine, measures what they do in a closed loop (1x), then asks for ten
times that in an open loop (`bench --rate`), each request once, and watches the nodes from outside:
resident memory each second, the term, what was refused. Right after the end it asks for an embed.
Writes overload.json and overload.txt, and fails where a node's memory passed `memory_mib`, where
anybody was elected, where less than three quarters of the work of 1x was done, where a
request was answered with anything but success or a refusal, or where the first request after the
end was not served at once. Standard library only; Linux, for /proc.
"""

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Photographs hidden in by the slowest method, secrets found again, and records alone, which are
# small and must not starve.
LOAD = ["--mode", "embed=60,extract=20,commit=20", "--cover", str(ROOT / "assets"),
        "--method", "adaptive", "--secret-bytes", "4096"]
CALM_S = 30
# What of the work of 1x must be done at least, where an embed counts as much as it takes:
# about seven extracts. Records alone take next to nothing, and would hide a collapse.
GOODPUT_SHARE = 0.75
WORK = {"embed": 7, "extract": 1}
# The first answer after the end may wait for what was let in before it.
FIRST_ANSWER_S = 4.0


def ports(count):
    """Ports that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    return [s.getsockname()[1] for s in held]


def get(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


class Nodes:
    def __init__(self, binary, folder, memory_mib):
        numbers = ports(6)
        self.clients, rafts = numbers[:3], numbers[3:]
        peers = ",".join(f"n{n}=127.0.0.1:{c}/{r}"
                         for n, (c, r) in enumerate(zip(self.clients, rafts), 1))
        self.processes = []
        for n, (client, raft) in enumerate(zip(self.clients, rafts), 1):
            log = open(folder / f"n{n}.log", "w")
            self.processes.append(subprocess.Popen(
                [binary, "serve", f"--id=n{n}", f"--peers={peers}", f"--data-dir={folder}/n{n}",
                 f"--listen=127.0.0.1:{client}", f"--raft-listen=127.0.0.1:{raft}",
                 f"--memory-mib={memory_mib}"], stdout=log, stderr=log))
        self.servers = ",".join(f"127.0.0.1:{port}" for port in self.clients)

    def formed(self):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                states = [json.loads(get(f"http://127.0.0.1:{p}/cluster/status")) for p in self.clients]
                if all(s["quorum"] and sum(n["healthy"] and n["voter"] for n in s["nodes"]) == 3
                       for s in states):
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.1)
        sys.exit("the nodes formed no cluster")

    def term(self):
        return max(json.loads(get(f"http://127.0.0.1:{p}/cluster/status"))["term"]
                   for p in self.clients)

    def memory_mib(self):
        """Resident now and at most, of each."""
        def of(pid):
            text = Path(f"/proc/{pid}/status").read_text()
            return [int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024 for key in ("VmRSS", "VmHWM")]
        return [of(p.pid) for p in self.processes]

    def counters(self, name):
        """Of all nodes together, by labels."""
        sums = {}
        for port in self.clients:
            text = get(f"http://127.0.0.1:{port}/metrics", timeout=20)
            for labels, value in re.findall(rf"^stegcluster_{name}{{([^}}]*)}} (\S+)$", text, re.M):
                sums[labels] = sums.get(labels, 0) + float(value)
        return sums

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def bench(binary, servers, folder, name, *more):
    report = folder / f"{name}.json"
    command = [binary, "bench", "--servers", servers, *LOAD, "--json", str(report), *more]
    result = subprocess.run(command, capture_output=True, text=True)
    if not report.exists() or report.stat().st_size == 0:
        sys.exit(f"{' '.join(command)}:\n{result.stderr}")
    return json.loads(report.read_text())


def first_embed(port):
    """Seconds until an embed is acknowledged, and its status; each attempt as a client would."""
    body = (b"--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nfirst\r\n--B--\r\n")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/embed", body,
        {"Content-Type": "multipart/form-data; boundary=B", "Accept": "image/png"})
    started = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return time.monotonic() - started, answer.status
    except urllib.error.HTTPError as error:
        return time.monotonic() - started, error.code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--memory-mib", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path("target/overload"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    binary = str(Path(args.binary).resolve())
    with tempfile.TemporaryDirectory(prefix="stegcluster-overload-") as folder:
        folder = Path(folder)
        nodes = Nodes(binary, folder, args.memory_mib)
        try:
            result = measure(nodes, binary, folder, args)
        finally:
            nodes.stop()
        result["panics"] = sum((folder / f"n{n}.log").read_text().count("panicked") for n in (1, 2, 3))
    report(result, args)


def measure(nodes, binary, folder, args):
    nodes.formed()
    calm = bench(binary, nodes.servers, folder, "calm", "--clients", "8",
                 "--warm-up", "5s", "--duration", f"{CALM_S}s")
    rate = calm["throughput_rps"] * args.factor
    before = {name: nodes.counters(name) for name in ("requests_refused_total", "http_requests_total")}
    term = nodes.term()
    memory, done = [], threading.Event()

    def watch():
        started = time.monotonic()
        while not done.wait(1):
            try:
                now = nodes.memory_mib()
            except (OSError, TypeError):
                now = None
            memory.append((round(time.monotonic() - started, 1), now))

    watcher = threading.Thread(target=watch)
    watcher.start()
    storm = bench(binary, nodes.servers, folder, "storm", "--rate", f"{rate:.1f}", "--no-retry",
                  "--clients", "1024", "--duration", f"{int(args.minutes * 60)}s")
    first_s, first_status = first_embed(nodes.clients[0])
    done.set()
    watcher.join()

    def since(name):
        now = nodes.counters(name)
        return {labels: now[labels] - before[name].get(labels, 0) for labels in sorted(now)
                if now[labels] != before[name].get(labels, 0)}

    return {
        "calm": calm, "storm": storm, "rate_rps": rate, "memory": memory,
        "memory_max_mib": [peak for _, peak in nodes.memory_mib()],
        "refused": since("requests_refused_total"), "answers": since("http_requests_total"),
        "elections": nodes.term() - term, "first_s": first_s, "first_status": first_status,
    }


def work_rate(run):
    return sum(WORK.get(mode, 0) * part["ok"] for mode, part in run["by_mode"].items()) / run["duration_s"]


def report(result, args):
    calm, storm = result["calm"], result["storm"]
    goodput = work_rate(storm) / work_rate(calm)
    peak = max(result["memory_max_mib"])
    statuses = {}
    for labels, count in result["answers"].items():
        status = re.search(r'status="(\d+)"', labels)[1]
        if 'call="api' in labels:
            statuses[status] = statuses.get(status, 0) + int(count)
    odd = {s: n for s, n in statuses.items() if s not in ("200", "429", "503")}
    lines = [
        f"1x, closed loop, {CALM_S} s: {calm['throughput_rps']:.1f} requests/s, "
        f"p50 {calm['latency_ms']['p50']:.0f} ms, p99 {calm['latency_ms']['p99']:.0f} ms",
        f"{args.factor:g}x, open loop, {storm['duration_s']:.0f} s: {result['rate_rps']:.1f} due/s, "
        f"{storm['throughput_rps']:.1f} served/s; of embeds and extracts {goodput:.2f} of the work of 1x",
        f"of {storm['requests']} requests {storm['ok']} were served, {storm['failed']} refused; "
        f"unknown {storm['unknown']}",
        f"served ones: p50 {storm['latency_ms']['p50']:.0f} ms, p99 {storm['latency_ms']['p99']:.0f} ms "
        f"(from sending on {storm['service_ms']['p99']:.0f} ms), longest gap {storm['max_gap_ms']:.0f} ms",
    ]
    for mode, part in calm["by_mode"].items():
        lines.append(f"  1x: {mode}: {part['ok']} served in {calm['duration_s']:.0f} s")
    for mode, part in storm["by_mode"].items():
        p99 = part["latency_ms"]["p99"]
        lines.append(f"  {mode}: {part['ok']} served, {part['failed']} refused"
                     + (f", p99 {p99:.0f} ms" if p99 else ""))
    lines += [
        f"answers by status: {statuses}; refusals by reason: "
        + str({re.search(r'"(.*)"', k)[1]: int(n) for k, n in result["refused"].items()}),
        "memory at most, of each node, in MiB: "
        + ", ".join(f"{mib:.0f}" for mib in result["memory_max_mib"])
        + f" (memory_mib = {args.memory_mib})",
        "memory each half minute, of the largest node, in MiB: "
        + " ".join(f"{max(rss for rss, _ in now):.0f}" for _, now in result["memory"][::30] if now),
        f"elections: {result['elections']}; panics: {result['panics']}",
        f"first embed after the end: {result['first_status']} in {result['first_s'] * 1000:.0f} ms",
    ]
    wrong = [sentence for holds, sentence in [
        (peak <= args.memory_mib, f"a node's memory reached {peak:.0f} MiB"),
        (result["elections"] == 0, f"{result['elections']} elections"),
        (result["panics"] == 0, "a node panicked"),
        (goodput >= GOODPUT_SHARE, f"goodput fell to {goodput:.2f} of 1x"),
        (not odd, f"answers that are neither success nor refusal: {odd}"),
        (result["first_status"] == 200 and result["first_s"] < FIRST_ANSWER_S,
         "the first request after the end was not served at once"),
    ] if not holds]
    lines += [f"FAILED: {sentence}" for sentence in wrong] or ["all of it held"]
    (args.out / "overload.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "overload.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
