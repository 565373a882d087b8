//! This machine, as a node on it would find it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Findings;
use super::holders::holder;
use crate::config::ServeConfig;
use crate::datadir::{self, DataDir, Space};
use crate::trust::{ClusterSecret, Tls};
use crate::{clock, limits};

pub const MIB: u64 = 1024 * 1024;
/// Below this RocksDB may be unable to write its next files.
const FREE_LEAST: u64 = 256 * MIB;
const FREE_GOOD: u64 = 1024 * MIB;
/// Connections and files of a node at its limits; RocksDB has 512 files open at the most.
const OPEN_FILES: u64 =
    (limits::CLIENT_CONNECTIONS_MAX + limits::PEER_CONNECTIONS_MAX + 512 + 128) as u64;
/// Fsyncs that are timed, and the bytes of each: a record's log entry and some.
const FSYNCS: usize = 50;
const FSYNC_BYTES: usize = 1024;
/// Fsyncs in sequence that a failover waits for.
pub const FSYNCS_OF_A_FAILOVER: f64 = 5.0;
/// An fsync that takes longer is felt in every failover and in every write.
const FSYNC_SLOW_MS: f64 = 20.0;

/// Looks at everything that a start of this node would need.
pub fn look(config: &ServeConfig, findings: &mut Findings) {
    let owner = DataDir::holder(&config.data_dir);
    ports(config, owner.as_deref(), findings);
    folder(config, owner.as_deref(), findings);
    trust(config, findings);
    if let Some(space) = datadir::space(&config.data_dir) {
        room("free space", space, findings);
    }
    disk(config, findings);
    open_files("open files", getrlimit(Resource::Nofile).current, findings);
}

/// By what this node would know its peers.
fn trust(config: &ServeConfig, findings: &mut Findings) {
    const SUBJECT: &str = "peer authentication";
    let security = &config.security;
    let advice = "the node will not start like this";
    let warnings = match (&security.tls, &security.secret_file) {
        (Some(files), _) => {
            Tls::read(config.id.clone(), files.clone()).map(|tls| ("certificates", tls.warnings()))
        }
        (None, Some(file)) => ClusterSecret::read(file)
            .map(|(_, too_open)| ("the cluster's secret", Vec::from_iter(too_open))),
        (None, None) if config.raft_listen.ip().to_canonical().is_loopback() => {
            findings.ok(SUBJECT, "none, and the Raft port listens on loopback only");
            return;
        }
        (None, None) => {
            let text = format!("none: whoever reaches {} can join the cluster", config.raft_listen);
            let advice =
                "give all nodes certificates (stegcluster certs) or a secret (--secret-file)";
            findings.warn(SUBJECT, text, advice);
            return;
        }
    };
    match warnings {
        Err(error) => findings.problem(SUBJECT, error.to_string(), advice),
        Ok((by, warnings)) if warnings.is_empty() => findings.ok(SUBJECT, format!("by {by}")),
        Ok((_, warnings)) => {
            warnings.into_iter().for_each(|warning| findings.warn_of(SUBJECT, warning));
        }
    }
}

fn ports(config: &ServeConfig, owner: Option<&str>, findings: &mut Findings) {
    for (role, flag, address) in [
        ("client port", "--listen", config.listen),
        ("Raft port", "--raft-listen", config.raft_listen),
    ] {
        let subject = format!("{role} {address}");
        match TcpListener::bind(address) {
            Ok(_) if owner.is_some() => findings.warn(
                subject,
                format!("{} runs and does not listen here", config.id),
                "it may still be starting, or it was started with another address",
            ),
            Ok(_) => findings.ok(subject, "free"),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                taken(subject, flag, address, (owner, config), findings);
            }
            Err(error) => findings.problem(
                subject,
                format!("cannot be opened: {error}"),
                format!("give {flag} an address of this machine that this user may open"),
            ),
        }
    }
}

fn taken(
    subject: String,
    flag: &str,
    address: SocketAddr,
    (owner, config): (Option<&str>, &ServeConfig),
    findings: &mut Findings,
) {
    match holder(address) {
        Some(holder) if owner == Some(holder.pid.to_string().as_str()) => {
            findings.ok(subject, format!("{} listens here (process {})", config.id, holder.pid));
        }
        Some(holder) => findings.problem(
            subject,
            format!("held by {} (process {})", holder.name, holder.pid),
            format!("stop that process, or give this node another port with {flag}"),
        ),
        None => findings.problem(
            subject,
            "held by a process of another user, which the system does not name",
            format!("look as root (`ss -tlnp`), or give this node another port with {flag}"),
        ),
    }
}

fn folder(config: &ServeConfig, owner: Option<&str>, findings: &mut Findings) {
    let path = &config.data_dir;
    let subject = format!("data folder {}", path.display());
    let id = &config.id;
    if let Some(pid) = owner {
        findings.ok(subject, format!("in use by the node itself (process {pid})"));
        return;
    }
    match DataDir::peek(path) {
        Ok(None) if path.exists() && !is_new(path) => findings.problem(
            subject,
            "not empty, and not a node's",
            "name an empty or a new folder with --data-dir",
        ),
        Ok(None) => findings.ok(subject, "new; made when the node starts"),
        Ok(Some(identity)) if identity.node != *id => findings.problem(
            subject,
            format!("belongs to {}, not to {id}", identity.node),
            "correct --id or --data-dir",
        ),
        Ok(Some(identity)) => {
            let of = match identity.cluster_uuid {
                Some(uuid) => format!("of {id}, of the cluster {uuid}"),
                None => format!("of {id}, of no cluster yet"),
            };
            findings.ok(subject, format!("{of}; no process has it"));
        }
        Err(error) => findings.problem(subject, error.to_string(), "see the message"),
    }
}

fn is_new(path: &Path) -> bool {
    let names = fs::read_dir(path).into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name())
        .all(|name| name == datadir::LOCK_FILE || name == "lost+found")
}

/// Free space of a node's disk.
pub fn room(subject: impl Into<String>, space: Space, findings: &mut Findings) {
    let percent = space.free as f64 * 100.0 / space.total.max(1) as f64;
    let text = format!("{} MiB ({percent:.0} %)", space.free / MIB);
    let advice = "make room: a node whose disk is full stops";
    if space.free < FREE_LEAST {
        findings.problem(subject, format!("only {text}"), advice);
    } else if space.free < FREE_GOOD {
        findings.warn(subject, format!("only {text}"), advice);
    } else {
        findings.ok(subject, text);
    }
}

/// The limit of open files of a node.
pub fn open_files(subject: impl Into<String>, limit: Option<u64>, findings: &mut Findings) {
    match limit {
        Some(limit) if limit < OPEN_FILES => findings.warn(
            subject,
            format!("{limit} at the most; a node at its limits has {OPEN_FILES}"),
            "raise it: `ulimit -n 8192` in the shell, LimitNOFILE=8192 in a unit",
        ),
        Some(limit) => findings.ok(subject, format!("{limit} at the most")),
        None => findings.ok(subject, "no limit"),
    }
}

fn disk(config: &ServeConfig, findings: &mut Findings) {
    let subject = "fsync";
    let path = &config.data_dir;
    let Some(there) = path.ancestors().find(|folder| folder.is_dir()) else {
        findings.ok(subject, "not timed: no folder is there yet");
        return;
    };
    match time_fsyncs(there) {
        Ok(times) => judge_fsyncs(&times, config, findings),
        Err(error) => findings.problem(
            subject,
            format!("a file in {} cannot be written: {error}", there.display()),
            "make the folder writable for this user, or name another with --data-dir",
        ),
    }
}

fn judge_fsyncs(sorted_ms: &[f64], config: &ServeConfig, findings: &mut Findings) {
    let at = |part: f64| sorted_ms[((sorted_ms.len() - 1) as f64 * part) as usize];
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    let failover = p50 * FSYNCS_OF_A_FAILOVER;
    let text = format!(
        "p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms; a failover waits for five, some \
         {failover:.0} ms"
    );
    let limit = config.timings.fsync_handover_ms;
    if max > limit as f64 {
        let text = format!("{text}; a leader hands over at {limit} ms");
        findings.problem("fsync", text, "give the node another disk, or one to itself");
    } else if p99 > FSYNC_SLOW_MS {
        findings.warn("fsync", text, "an SSD takes 1 to 5 ms: see what else uses this disk");
    } else {
        findings.ok("fsync", text);
    }
}

/// Milliseconds of each, the shortest first. The file is gone afterwards.
fn time_fsyncs(folder: &Path) -> io::Result<Vec<f64>> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    let bytes = [0x5a; FSYNC_BYTES];
    let mut times = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        file.write_all(&bytes)?;
        let started = clock::now();
        file.sync_data()?;
        times.push(clock::millis(started.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
