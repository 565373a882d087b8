"""Nodes as real processes, for the measuring scripts beside this file."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

# Below the ports that the system gives to outgoing connections.
PORTS = range(20000, 32000)
WHOLE_MAX_S = 60.0
ANSWER_MAX_S = 10.0


def free_ports(count):
    """Loopback ports that nobody listens on."""
    found, start = [], os.getpid() % 300 * 40
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                continue
        if len(found) == count:
            return found
    raise SystemExit("no free ports")


def fetch(url, data=None, headers=None, timeout=ANSWER_MAX_S):
    """The status and the body; raises OSError where there is no answer."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Node:
    def __init__(self, name, folder, http_port, raft_port):
        self.name, self.http_port, self.raft_port = name, http_port, raft_port
        self.data_dir = os.path.join(folder, name)
        self.log = os.path.join(folder, f"{name}.log")
        self.url = f"http://127.0.0.1:{http_port}"
        self.process = None

    def start(self, binary, peers, extra=()):
        command = [
            binary, "serve", f"--id={self.name}", f"--listen=127.0.0.1:{self.http_port}",
            f"--raft-listen=127.0.0.1:{self.raft_port}", f"--data-dir={self.data_dir}", *extra,
        ]
        if peers:
            command.append(f"--peers={peers}")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("STEGCLUSTER_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**clean, "NO_COLOR": "1"},
            )

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=30):
        return self.process.wait(timeout)

    def stop(self):
        """As by `kill`; the code with which it ended."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        self.wait()

    def status(self):
        try:
            code, body = fetch(f"{self.url}/cluster/status", timeout=2)
            return json.loads(body) if code == 200 else None
        except OSError:
            return None

    def records(self):
        """Ids of all records that the node itself holds, in the order in which it lists them."""
        ids, after = [], ""
        while True:
            path = f"/api/records?consistency=stale&limit=1000{after}"
            code, body = fetch(self.url + path)
            if code != 200:
                raise SystemExit(f"{self.name}: {code} {body[:200]}")
            page = json.loads(body)
            ids.extend(record["id"] for record in page["records"])
            if not page.get("next"):
                return ids
            after = f"&after={page['next']}"


class Cluster:
    def __init__(self, folder, size):
        ports = free_ports(2 * size)
        self.nodes = [
            Node(f"n{i + 1}", folder, ports[2 * i], ports[2 * i + 1]) for i in range(size)
        ]
        self.peers = "" if size == 1 else ",".join(
            f"{n.name}=127.0.0.1:{n.http_port}/{n.raft_port}" for n in self.nodes
        )

    def start(self, node, binary, extra=()):
        node.start(binary, self.peers, extra)

    def servers(self):
        return ",".join(f"127.0.0.1:{node.http_port}" for node in self.nodes)

    def leader(self):
        """The leader, once every node is a healthy voter in the eyes of every node."""
        leaders = set()
        for node in self.nodes:
            status = node.status()
            if not status or not status["quorum"]:
                return None
            well = [
                n for n in status["nodes"]
                if n["healthy"] and n["voter"] and n["role"] in ("Leader", "Follower")
            ]
            if len(well) != len(self.nodes):
                return None
            leaders.add(status["leader_id"])
        if len(leaders) != 1:
            return None
        return next(node for node in self.nodes if node.name in leaders)

    def whole(self, within=WHOLE_MAX_S):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            leader = self.leader()
            if leader:
                return leader
            time.sleep(0.05)
        tails = "\n".join(
            subprocess.run(["tail", "-5", n.log], capture_output=True, text=True).stdout
            for n in self.nodes
        )
        raise SystemExit(f"the cluster is not whole after {within:.0f} s\n{tails}")

    def stop(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()


class Writers:
    """Threads that commit small records through every node in turn, as a client with retries.

    What they were told is kept: `acknowledged` ids, and `failed` requests, which no node took
    within ten seconds."""

    def __init__(self, cluster, threads, pause_s=0.01, keep=True):
        self.cluster, self.pause_s, self.keep = cluster, pause_s, keep
        self.acknowledged, self.failed, self.retried, self.count = [], [], 0, 0
        self.slowest_s = 0.0
        self.lock, self.done = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, writer):
        nodes, number = self.cluster.nodes, 0
        while not self.done.is_set():
            self.write(f"w{writer}-{os.getpid()}-{number:07}", nodes, writer + number)
            number += 1
            self.done.wait(self.pause_s)

    def write(self, record, nodes, turn):
        begun, attempt, last = time.monotonic(), 0, ""
        while time.monotonic() - begun < ANSWER_MAX_S:
            node = nodes[(turn + attempt) % len(nodes)]
            try:
                code, body = fetch(
                    f"{node.url}/api/commit", data=b"", headers={"Idempotency-Key": record}
                )
                last = f"{code} {body[:200]}"
            except OSError as error:
                code, last = 0, str(error)
            if code == 200:
                with self.lock:
                    self.count += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                    if self.keep:
                        self.acknowledged.append(record)
                return
            attempt += 1
            with self.lock:
                self.retried += 1
            time.sleep(0.005)
        with self.lock:
            self.failed.append(f"{record}: {last}")

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def account(cluster, acknowledged):
    """Records lost and doubled on any node; empty where there are none. Waits until all are level."""
    expected = set(acknowledged)
    problems = []
    deadline = time.monotonic() + 30
    while True:
        held = {node.name: node.records() for node in cluster.nodes}
        if all(expected <= set(ids) for ids in held.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for name, ids in held.items():
        lost = expected - set(ids)
        doubled = len(ids) - len(set(ids))
        if lost or doubled:
            problems.append(f"{name}: {len(lost)} lost, {doubled} doubled: {sorted(lost)[:5]}")
    if len({tuple(sorted(ids)) for ids in held.values()}) != 1:
        problems.append("the nodes hold different records")
    return problems


def fingerprint(folder):
    """A digest of all that a folder holds, but for whose it is."""
    digest = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name != "LOCK":
                full = os.path.join(path, name)
                digest.update(os.path.relpath(full, folder).encode())
                with open(full, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()
