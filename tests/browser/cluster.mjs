// Real nodes for the tests: the binary that was just built, on ports that the system gives, with
// folders that are gone afterwards. Stops exactly the processes that it started.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const BINARY = process.env.STEGCLUSTER;
const WAIT_MS = 30_000;

/** @returns {Promise<number[]>} ports of loopback that nobody listens on. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const ports = servers.map((server) => server.address().port);
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
}

/** Waits until `condition` gives something true, and returns it. */
export async function until(what, condition, wait_ms = WAIT_MS) {
  const end = Date.now() + wait_ms;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited ${wait_ms} ms for ${what}; last: ${last}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

export class Cluster {
  static async start(count, { only = count, flags = [] } = {}) {
    if (!BINARY) throw new Error("STEGCLUSTER names the binary to test");
    const cluster = new Cluster();
    cluster.folder = await mkdtemp(path.join(tmpdir(), "stegcluster-browser-"));
    cluster.flags = flags;
    const ports = await freePorts(count * 2);
    cluster.nodes = new Map(
      Array.from({ length: count }, (_, i) => [`n${i + 1}`, { port: ports[2 * i], raft: ports[2 * i + 1], process: null }]),
    );
    const lines = [...cluster.nodes].map(([id, { port, raft }]) => `  ${id}: {address: "127.0.0.1:${port}", raft: "127.0.0.1:${raft}"}`);
    await writeFile(path.join(cluster.folder, "cluster.yaml"), `cluster: browser-test\nnodes:\n${lines.join("\n")}\ndata_dir: ${cluster.folder}/{id}\n`);
    for (const id of [...cluster.nodes.keys()].slice(0, only)) cluster.run(id);
    return cluster;
  }

  run(id) {
    const node = this.nodes.get(id);
    node.log = "";
    node.process = spawn(BINARY, ["serve", "--config", path.join(this.folder, "cluster.yaml"), "--id", id, ...this.flags], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [node.process.stdout, node.process.stderr]) stream.on("data", (text) => (node.log += text));
  }

  url(id) {
    return `http://127.0.0.1:${this.nodes.get(id).port}`;
  }

  async status(id) {
    const response = await fetch(`${this.url(id)}/cluster/status`, { signal: AbortSignal.timeout(2000) });
    return response.json();
  }

  /** Waits until `id` sees a leader and all of `ids` healthy. */
  healthy(id, ids = [...this.nodes.keys()]) {
    return until(`${id} to see ${ids} healthy`, async () => {
      const status = await this.status(id);
      const up = status.nodes.filter((node) => node.healthy).map((node) => node.id);
      return status.leader_id && ids.every((name) => up.includes(name)) && status;
    });
  }

  async kill(id) {
    const { process } = this.nodes.get(id);
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    process.kill("SIGKILL");
    await once(process, "exit");
  }

  async adminToken(id) {
    return (await readFile(path.join(this.folder, id, "admin.token"), "utf8")).trim();
  }

  async stop() {
    for (const id of this.nodes.keys()) await this.kill(id);
    await rm(this.folder, { recursive: true, force: true });
  }
}
