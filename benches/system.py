#!/usr/bin/env python3
"""What a whole cluster does, beside what it is measured against, in one run on one machine.

Three nodes, and for commits three etcd nodes beside them, all on loopback; loaded in turn, so that
both see the same machine in the same minutes. The load is wrk's, for both: one program, which knows
neither. `stegcluster bench` asks as well, since that is what users have.

  commit    a record without a picture, fsynced on a majority; etcd: a key of 36 bytes with a value of
            300 (a record has some 330), PUT through its HTTP-JSON gateway. With one client at the
            leader, with more spread over all nodes.
  embed     50 kB into a photograph of 1920x1080 that comes with each request, PNG out, record
            committed; and with the node's own cover. Beside it what two bare sockets move: as many
            bytes as the answer has, as often as they can.

    benches/system.py --stegcluster target/release/stegcluster --seconds 10
    benches/system.py --only commit --clients 20
    benches/system.py --write docs/PERFORMANCE.md      # the table there, as `make bench` does
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from nodes import Cluster, fetch, free_ports

SECRET_BYTES = 50_000
COVER = os.path.join(os.path.dirname(__file__), "..", "assets", "dandelions.jpg")
BOUNDARY = "stegcluster-bench"

# Requests that differ (a key or a body each), to several addresses: a thread has one.
WRK = """
local ports = {%s}
local turn = 0
function setup(thread)
  turn = turn %% #ports + 1
  local addrs = wrk.lookup("127.0.0.1", ports[turn])
  for _, addr in ipairs(addrs) do if wrk.connect(addr) then thread.addr = addr end end
  thread:set("id", turn)
end
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('REPORT {"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""

COMMIT = """
wrk.method, wrk.path = "POST", "/api/commit"
"""

ETCD_PUT = """
local count, value = 0, string.rep("dmFs", 100)
local run = "%s"
function request()
  count = count + 1
  local key = string.format("%%012d%%012d%%024d", run, id, count)
  return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. key .. '","value":"' .. value .. '"}')
end
"""

def wrk(folder, ports, clients, seconds, script):
    path = os.path.join(folder, "load.lua")
    with open(path, "w", encoding="utf-8") as file:
        file.write(WRK % (", ".join(map(str, ports)), script))
    threads = min(len(ports), clients)
    ran = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{clients}", f"-d{seconds}s", "--timeout=20s", f"-s{path}",
         f"http://127.0.0.1:{ports[0]}/"],
        capture_output=True, text=True, check=False,
    )
    found = re.search(r"REPORT (\{.*\})", ran.stdout)
    if not found:
        raise SystemExit(f"wrk: {ran.stdout[-500:]} {ran.stderr[-500:]}")
    report = json.loads(found[1])
    report["rate"] = report["requests"] / report["seconds"]
    return report


def bench(binary, folder, servers, clients, seconds, extra):
    report = os.path.join(folder, "bench.json")
    subprocess.run(
        [binary, "bench", f"--servers={servers}", f"--clients={clients}",
         f"--duration={seconds}s", "--warm-up=1s", f"--json={report}", *extra],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )
    with open(report, encoding="utf-8") as file:
        ran = json.load(file)
    latency = ran["latency_ms"]
    return {"rate": ran["throughput_rps"], "p50": latency["p50"], "p99": latency["p99"],
            "failed": ran["failed"]}


class Etcd:
    """Three nodes of etcd at its defaults."""

    def __init__(self, folder):
        ports = free_ports(12)[6:]
        self.ports, peers = ports[:3], ports[3:]
        cluster = ",".join(f"e{i}=http://127.0.0.1:{peer}" for i, peer in enumerate(peers))
        self.processes = []
        for i, (port, peer) in enumerate(zip(self.ports, peers)):
            with open(os.path.join(folder, f"e{i}.log"), "wb") as log:
                self.processes.append(subprocess.Popen(
                    ["etcd", f"--name=e{i}", f"--data-dir={folder}/e{i}",
                     f"--listen-client-urls=http://127.0.0.1:{port}",
                     f"--advertise-client-urls=http://127.0.0.1:{port}",
                     f"--listen-peer-urls=http://127.0.0.1:{peer}",
                     f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                     f"--initial-cluster={cluster}"],
                    stdout=log, stderr=log, env={**os.environ, "ETCDCTL_API": "3"},
                ))

    def leader(self):
        for _ in range(200):
            for port in self.ports:
                try:
                    code, body = fetch(f"http://127.0.0.1:{port}/v3/maintenance/status", b"{}")
                except OSError:
                    continue
                status = json.loads(body) if code == 200 else {}
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return port
            time.sleep(0.1)
        raise SystemExit("etcd has no leader")

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def form(cover):
    """A multipart body with a secret, and the cover where there is one."""
    parts = [("file", "secret.bin", os.urandom(SECRET_BYTES))]
    if cover:
        with open(cover, "rb") as file:
            parts.append(("cover", "cover.jpg", file.read()))
    body = b""
    for name, filename, content in parts:
        head = (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; "
                f"filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n")
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def receive(connection, buffer, size):
    while size:
        got = connection.recv_into(buffer, min(size, len(buffer)))
        if not got:
            raise ConnectionError("the answer was cut short")
        size -= got


def answer(connection, buffer):
    """Reads one answer of a node; True for a 200."""
    got = 0
    while (end := bytes(buffer[:got]).find(b"\r\n\r\n")) < 0:
        more = connection.recv_into(buffer[got:4096])
        if not more:
            raise ConnectionError("no answer")
        got += more
    head = bytes(buffer[:end]).lower()
    size = int(re.search(rb"content-length: (\d+)", head)[1])
    receive(connection, buffer, size - (got - end - 4))
    return head.startswith(b"http/1.1 200")


def ask(ports, clients, seconds, request, read):
    """Closed loop of `clients` processes: the rate of them all, and latencies. wrk would read
    megabytes 8 kB at a time, and a thread each would wait for Python's lock."""
    begun, pipes = time.monotonic(), []
    for client in range(clients):
        ours, theirs = os.pipe()
        if os.fork() == 0:
            buffer = memoryview(bytearray(1 << 20))
            times, failed = [], 0
            with socket.create_connection(("127.0.0.1", ports[client % len(ports)])) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while time.monotonic() < begun + seconds:
                    sent = time.monotonic()
                    connection.sendall(request)
                    failed += not read(connection, buffer)
                    times.append(time.monotonic() - sent)
            with os.fdopen(theirs, "w") as pipe:
                json.dump([times, failed], pipe)
            os._exit(0)
        os.close(theirs)
        pipes.append(ours)
    times, failed = [], 0
    for pipe in pipes:
        with os.fdopen(pipe) as file:
            each = json.load(file)
        times += each[0]
        failed += each[1]
    took = time.monotonic() - begun
    for _ in pipes:
        os.wait()
    times.sort()
    return {"rate": len(times) / took, "p50": times[len(times) // 2] * 1e3,
            "p99": times[len(times) * 99 // 100] * 1e3, "failed": failed}


def ceiling(size, clients, seconds):
    """What bare sockets do: bodies of `size` bytes for one byte that asks for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=clients) as listener:
        body, senders = os.urandom(size), []
        for _ in range(clients):
            senders.append(os.fork())
            if senders[-1] == 0:
                connection = listener.accept()[0]
                while connection.recv(1):
                    connection.sendall(body)
                os._exit(0)
        port = listener.getsockname()[1]

        def read(connection, buffer):
            receive(connection, buffer, size)
            return True

        taken = ask([port], clients, seconds, b"x", read)
    return taken


def show(what, clients, ran, anchor=None):
    ratio = f"{ran['rate'] / anchor['rate']:5.2f}" if anchor else "     "
    p99 = f"{ran['p99']:8.2f}" if "p99" in ran else "       -"
    failed = f"  FAILED {ran['failed']}" if ran.get("failed") else ""
    print(f"{what:<34} {clients:>4} {ran['rate']:9.1f}/s  {ratio}  p50 {ran['p50']:8.2f}  "
          f"p99 {p99} ms{failed}", flush=True)
    return {"what": what, "clients": clients, **ran, "ratio": float(ratio) if anchor else None}


def commits(args, folder, cluster, leader, rows):
    ports = [node.http_port for node in cluster.nodes]
    etcd = Etcd(folder) if shutil.which("etcd") else None
    try:
        for clients in args.clients or (1, 20, 100):
            anchor = None
            if etcd:
                at = [etcd.leader()] if clients == 1 else etcd.ports
                put = ETCD_PUT % (int(time.time()) % 10**6)
                anchor = wrk(folder, at, clients, args.seconds, put)
                rows.append(show("commit: etcd", clients, anchor))
            at = [leader.http_port] if clients == 1 else ports
            ran = wrk(folder, at, clients, args.seconds, COMMIT)
            rows.append(show("commit: stegcluster", clients, ran, anchor))
            servers = f"127.0.0.1:{leader.http_port}" if clients == 1 else cluster.servers()
            ran = bench(args.stegcluster, folder, servers, clients, args.seconds, ["--mode=commit"])
            rows.append(show("commit: stegcluster bench", clients, ran, anchor))
    finally:
        if etcd:
            etcd.stop()


def embeds(args, folder, cluster, leader, rows):
    for label, cover in (("cover sent", COVER), ("own cover", None)):
        body = form(cover)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Accept": "image/png",
        }
        code, png = fetch(f"{leader.url}/api/embed", body, headers)
        if code != 200:
            raise SystemExit(f"embed: {code} {png[:300]}")
        size = len(png)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = (f"POST /api/embed HTTP/1.1\r\nHost: bench\r\n{head}"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        for clients in args.clients or (1, 20):
            anchor = ceiling(size, clients, args.seconds)
            rows.append(show(f"loopback: {size} bytes", clients, anchor))
            at = [leader.http_port] if clients == 1 else [n.http_port for n in cluster.nodes]
            ran = ask(at, clients, args.seconds, request, answer)
            rows.append(show(f"embed: {label}", clients, ran, anchor))


BEGIN, END = "<!-- begin: benches/system.py -->", "<!-- end -->"


def machine():
    """Processor, cores and memory, as a page should name them."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="utf-8") as file:
        kib = int(re.search(r"MemTotal:\s*(\d+)", file.read())[1])
    name = model[1].strip() if model else platform.machine()
    return f"{os.cpu_count()} cores ({name}), {kib / 2**20:.0f} GiB, Linux {platform.release()}"


def table(rows, args):
    """The rows as Markdown, each beside its anchor, which stands before it."""
    lines = [
        BEGIN, "",
        f"{time.strftime('%Y-%m-%d')}, {machine()}; "
        f"`benches/system.py --seconds {args.seconds}`:", "",
        "| what | clients | a second | beside its anchor | p50, ms | p99, ms |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "the anchor"
        lines.append(f"| {row['what']} | {row['clients']} | {row['rate']:,.0f} | {ratio} | "
                     f"{row['p50']:.2f} | {row['p99']:.2f} |")
    return "\n".join([*lines, "", END])


def write(path, rows, args):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + table(rows, args) + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stegcluster", default="target/release/stegcluster")
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--only", choices=["commit", "embed"])
    parser.add_argument("--clients", type=int, nargs="+", help="instead of 1, 20 and 100")
    parser.add_argument("--json", help="where to write all figures")
    parser.add_argument("--write", metavar="PAGE", help="put the table into this page")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("needs wrk (Debian: apt install wrk)")
    rows = []
    with tempfile.TemporaryDirectory(prefix="stegcluster-bench-") as folder:
        cluster = Cluster(folder, 3)
        try:
            for node in cluster.nodes:
                cluster.start(node, args.stegcluster, [f"--cover={COVER}"])
            leader = cluster.whole()
            if args.only != "embed":
                commits(args, folder, cluster, leader, rows)
            if args.only != "commit":
                embeds(args, folder, cluster, leader, rows)
        finally:
            cluster.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    if args.write:
        write(args.write, rows, args)
    sys.exit(1 if any(row.get("failed") for row in rows) else 0)


if __name__ == "__main__":
    main()
