#!/usr/bin/env python3
"""How long etcd takes to get over the death of its leader, measured as failover-drill does.

Starts three etcd nodes on loopback in a temporary folder. Again and again: from just before
the fault a fresh write is offered to each survivor every 5 ms over the HTTP-JSON gateway,
whatever became of the earlier ones; the leader is killed with SIGKILL; the time from just
before the kill to the first acknowledgement of a write that was offered after it is taken;
the killed node is started again and awaited. Needs python3 and etcd (Debian: etcd-server).

    benches/etcd-failover.py                         # etcd's defaults, idle
    benches/etcd-failover.py --tuned                 # heartbeat 10 ms, election timeout 50 ms
    benches/etcd-failover.py --tuned --clients 21    # and as many busy writers
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

NODES = 3
WRITE_EVERY_S = 0.005
LEAD_IN_S = 0.05
# Writes to one survivor that may wait at once; beyond it none is offered. etcd never answers
# those that came while there was no leader before its own time-out of 7 s, so all that are
# offered until then must have room.
IN_FLIGHT_MAX = 2000
FAILOVER_MAX_S = 30.0
WHOLE_MAX_S = 60.0
# Below the ports that the system gives to outgoing connections.
PORTS = range(20000, 32000)


class Connections:
    """Keep-alive HTTP/1.1 connections to one port of 127.0.0.1."""

    def __init__(self, port):
        self.port = port
        self.idle = []

    async def post(self, path, body):
        """The decoded JSON answer; raises where there is none, or where it is no 200."""
        fresh = not self.idle
        pair = await self._open() if fresh else self.idle.pop()
        reader, writer = pair
        try:
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            answer = await self._read(reader)
        except BaseException:
            writer.close()
            raise
        self.idle.append(pair)
        return answer

    async def _open(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    @staticmethod
    async def _read(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        if " 200 " not in lines[0]:
            raise OSError(f"{lines[0]}: {body[:100]!r}")
        return json.loads(body)

    def close(self):
        while self.idle:
            self.idle.pop()[1].close()


def fresh_put():
    key = base64.b64encode(os.urandom(12)).decode()
    return {"key": key, "value": base64.b64encode(b"x" * 100).decode()}


def free_ports(count):
    held = []
    while len(held) < count:
        taken = socket.socket()
        try:
            taken.bind(("127.0.0.1", random.choice(PORTS)))
            held.append(taken)
        except OSError:
            taken.close()
    ports = [taken.getsockname()[1] for taken in held]
    for taken in held:
        taken.close()
    return ports


class Cluster:
    def __init__(self, args, folder):
        ports = free_ports(2 * NODES)
        self.client_ports, self.peer_ports = ports[:NODES], ports[NODES:]
        self.args, self.folder = args, folder
        self.processes = [None] * NODES
        self.connections = [Connections(port) for port in self.client_ports]

    def start(self, node):
        peers = [f"e{n}=http://127.0.0.1:{port}" for n, port in enumerate(self.peer_ports)]
        client = f"http://127.0.0.1:{self.client_ports[node]}"
        peer = f"http://127.0.0.1:{self.peer_ports[node]}"
        command = [
            self.args.etcd, "--name", f"e{node}", "--data-dir", f"{self.folder}/e{node}",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", ",".join(peers), "--initial-cluster-token", self.folder,
        ]
        if self.args.heartbeat_ms:
            command += ["--heartbeat-interval", str(self.args.heartbeat_ms)]
        if self.args.election_ms:
            command += ["--election-timeout", str(self.args.election_ms)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        with open(f"{self.folder}/e{node}.log", "ab") as log:
            self.processes[node] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )

    def kill(self, node):
        """Kills it and says when: just before."""
        at = time.monotonic()
        self.processes[node].send_signal(signal.SIGKILL)
        self.processes[node].wait()
        self.processes[node] = None
        return at

    def kill_all(self):
        for process in filter(None, self.processes):
            process.kill()
        for process in filter(None, self.processes):
            process.wait()

    async def _leader(self):
        """The leader's number, if all nodes follow it and have its log, or None."""
        try:
            asking = [c.post("/v3/maintenance/status", {}) for c in self.connections]
            said = await asyncio.wait_for(asyncio.gather(*asking), 1.0)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError):
            return None
        members = [status["header"]["member_id"] for status in said]
        leaders = {status.get("leader", "0") for status in said}
        applied = [int(status.get("raftAppliedIndex", 0)) for status in said]
        if len(leaders) != 1 or max(applied) - min(applied) > 100:
            return None
        leader = leaders.pop()
        return members.index(leader) if leader in members else None

    async def whole(self):
        until = time.monotonic() + WHOLE_MAX_S
        while time.monotonic() < until:
            for node, process in enumerate(self.processes):
                if process and process.poll() is not None:
                    sys.exit(f"e{node} ended by itself, see {self.folder}/e{node}.log")
            leader = await self._leader()
            if leader is not None:
                return leader
            await asyncio.sleep(0.02)
        sys.exit(f"the nodes follow no common leader within {WHOLE_MAX_S:.0f} s")


class Probe:
    """Offers writes to the survivors and notes when each was offered and acknowledged."""

    def __init__(self, cluster, survivors):
        self.cluster, self.survivors = cluster, survivors
        self.acks = []
        self.news = asyncio.Event()
        self.offers = set()

    async def _offer(self, connections):
        offered = time.monotonic()
        try:
            await connections.post("/v3/kv/put", fresh_put())
        except (OSError, EOFError, ValueError):
            return
        self.acks.append((offered, time.monotonic()))
        self.news.set()

    async def _pace(self, connections):
        waiting = set()
        due = time.monotonic()
        while True:
            if len(waiting) < IN_FLIGHT_MAX:
                task = asyncio.create_task(self._offer(connections))
                for group in (waiting, self.offers):
                    group.add(task)
                    task.add_done_callback(group.discard)
            due = max(due + WRITE_EVERY_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def first_ack_after(self, fault):
        """Milliseconds from the fault to the first acknowledgement, None if there was none."""
        pacing = [
            asyncio.create_task(self._pace(self.cluster.connections[node]))
            for node in self.survivors
        ]
        try:
            await asyncio.sleep(LEAD_IN_S)
            at = fault()
            until = at + FAILOVER_MAX_S
            while time.monotonic() < until:
                after = [acked for offered, acked in self.acks if offered >= at]
                if after:
                    return (min(after) - at) * 1e3
                self.news.clear()
                try:
                    await asyncio.wait_for(self.news.wait(), 0.1)
                except asyncio.TimeoutError:
                    pass
            return None
        finally:
            for task in pacing:
                task.cancel()
            await asyncio.gather(*pacing, return_exceptions=True)
            late = list(self.offers)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def load(ports, clients):
    """Writers that each wait for an answer before they ask again, until killed."""

    async def client(number):
        connections = [Connections(port) for port in ports]
        turn = number
        while True:
            turn += 1
            try:
                put = connections[turn % len(ports)].post("/v3/kv/put", fresh_put())
                await asyncio.wait_for(put, 1.0)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError):
                await asyncio.sleep(0.001)

    async def all_clients():
        await asyncio.gather(*(client(number) for number in range(clients)))

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(all_clients())


async def measure(args, cluster):
    for node in range(NODES):
        cluster.start(node)
    leader = await cluster.whole()
    times = []
    for number in range(1, args.iterations + 1):
        await asyncio.sleep(random.uniform(0.4, 0.65))
        leader = await cluster.whole()
        survivors = [node for node in range(NODES) if node != leader]
        took = await Probe(cluster, survivors).first_ack_after(lambda: cluster.kill(leader))
        if took is None:
            sys.exit(f"no write was acknowledged within {FAILOVER_MAX_S:.0f} s")
        times.append(took)
        cluster.connections[leader].close()
        if not args.json:
            print(f"{number:4} of {args.iterations}: {took:8.1f} ms", file=sys.stderr)
        cluster.start(leader)
    return times


def rank(times, share):
    ordered = sorted(times)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=20, help="leaders to kill (20)")
    parser.add_argument("--tuned", action="store_true", help="heartbeat 10 ms, election 50 ms")
    parser.add_argument("--heartbeat-ms", type=int, help="etcd's default is 100")
    parser.add_argument("--election-ms", type=int, help="etcd's default is 1000")
    parser.add_argument("--clients", type=int, default=0, help="busy writers meanwhile (0)")
    parser.add_argument("--etcd", default="etcd", help="the etcd to run")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    if args.tuned:
        args.heartbeat_ms, args.election_ms = args.heartbeat_ms or 10, args.election_ms or 50
    if args.iterations < 1:
        parser.error("--iterations must be 1 or more")
    if not shutil.which(args.etcd):
        sys.exit(f"there is no {args.etcd}; on Debian: apt install etcd-server")
    # A connection for each write that waits.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    version = subprocess.run([args.etcd, "--version"], capture_output=True, text=True, check=True)
    folder = tempfile.mkdtemp(prefix="etcd-failover-")
    cluster, writers, done = Cluster(args, folder), None, False
    try:
        if args.clients:
            writers = multiprocessing.Process(
                target=load, args=(cluster.client_ports, args.clients), daemon=True
            )
            writers.start()
        times = asyncio.run(measure(args, cluster))
        done = True
    finally:
        if writers:
            writers.kill()
            writers.join()
        cluster.kill_all()
        if done:
            shutil.rmtree(folder)
    result = {
        "etcd": version.stdout.split("\n")[0].removeprefix("etcd Version: "),
        "heartbeat_ms": args.heartbeat_ms or 100,
        "election_ms": args.election_ms or 1000,
        "clients": args.clients,
        "iterations": len(times),
        "first_commit_ms": {name: rank(times, share)
                            for name, share in (("p50", 50), ("p99", 99), ("max", 100))},
    }
    if args.json:
        print(json.dumps(result, indent=2))
        return
    spread = result["first_commit_ms"]
    print(
        f"etcd {result['etcd']}, heartbeat {result['heartbeat_ms']} ms, election timeout "
        f"{result['election_ms']} ms, {args.clients} clients: kill to first acknowledged write "
        f"median {spread['p50']:.0f} ms, max {spread['max']:.0f} ms, of {len(times)}"
    )


if __name__ == "__main__":
    main()
