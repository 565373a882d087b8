//! `serve`: run a node.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{exit, harden, supervise};
use crate::config::raw::{ConfigError, Partial, key};
use crate::config::resolve;
use crate::node::{self, Ended, NodeError};
use crate::observe::log;

/// Run a node
///
/// Alone it is a cluster of one at once. With --peers or --config it joins the cluster of
/// the nodes named there, or forms it as soon as a majority of them is up. A node without a
/// quorum for --solo-after serves alone, until a quorum is back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  stegcluster serve
  stegcluster serve --id n1 --peers n1=10.0.0.1:8081,n2=10.0.0.2:8082,n3=10.0.0.3:8083
  stegcluster serve --id n2 --config cluster.yaml --data-dir /var/lib/stegcluster/n2
  stegcluster serve --config cluster.yaml --print-config")]
pub struct ServeArgs {
    /// This node's name [default: n1]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// All nodes by client address, this one included or not; the Raft port is the
    /// client port less 3080 unless given after a slash
    #[arg(long, value_name = "NAME=HOST:PORT[/RAFT_PORT],...")]
    peers: Vec<String>,
    /// A cluster.yaml with any of these settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect [default: this node's entry in --peers, else 127.0.0.1:8081]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the other nodes connect [default: the client port less 3080]
    #[arg(long, value_name = "HOST:PORT")]
    raft_listen: Option<String>,
    /// The node's data folder [default: ./data/ID]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The picture used when a request brings none [default: a built-in photograph]
    #[arg(long, value_name = "FILE")]
    cover: Option<String>,
    /// How long without a quorum until the node serves alone, or `never` [default: 5s]
    #[arg(long, value_name = "TIME")]
    solo_after: Option<String>,
    /// Where all timings begin: lan, or wan for nodes far apart [default: lan]
    #[arg(long, value_name = "PRESET")]
    timings: Option<String>,
    /// Restart the node after a crash
    #[arg(long)]
    supervise: bool,
    /// Take orders (kill-leader, failover-drill, members) from other machines too, from anyone who
    /// reaches the client port: for drills in a network that you trust
    #[arg(long)]
    remote_admin: bool,
    /// Ask for tokens: a file with ROLE NAME TOKEN a line, where ROLE is read, embed or admin; it
    /// is read again when it changes
    #[arg(long, value_name = "FILE")]
    tokens: Option<String>,
    /// Speak TLS on both ports, by ca.pem, node.pem and node.key in this folder, which
    /// `stegcluster certs` makes
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<String>,
    /// The CA of all nodes, in place of the folder's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// This node's certificate, in place of the folder's
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its key, in place of the folder's
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// A secret of 16 bytes or more, the same on all nodes, by which they know each other where
    /// they have no certificates
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// Threads that embed and extract [default: one for each core]
    #[arg(long, value_name = "NUMBER")]
    codec_threads: Option<String>,
    /// Memory of the node, in MiB; requests beyond their share of it are turned away [default: a
    /// quarter of the machine's, from 512 to 1024]
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<String>,
    /// Of it for covers seen before, in MiB; 0 keeps none [default: 256, or a quarter of it]
    #[arg(long, value_name = "MIB")]
    cover_cache_mib: Option<String>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged: a level such as info, or levels of modules [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Any setting of cluster.yaml by its key, such as timings.probe_misses=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the whole configuration as a cluster.yaml, with each value's source, and stop
    #[arg(long)]
    print_config: bool,
    /// The node below `--supervise`
    #[arg(long, hide = true)]
    supervised: bool,
}

impl ServeArgs {
    fn partial(&self) -> Result<Partial, ConfigError> {
        let mut partial = Partial::default();
        let flags = [
            ("--id", key::ID, &self.id),
            ("--listen", key::LISTEN, &self.listen),
            ("--raft-listen", key::RAFT_LISTEN, &self.raft_listen),
            ("--data-dir", key::DATA_DIR, &self.data_dir),
            ("--cover", key::COVER, &self.cover),
            ("--solo-after", key::SOLO_AFTER, &self.solo_after),
            ("--timings", key::PRESET, &self.timings),
            ("--tokens", key::TOKENS, &self.tokens),
            ("--tls-dir", key::TLS_DIR, &self.tls_dir),
            ("--tls-ca", key::TLS_CA, &self.tls_ca),
            ("--tls-cert", key::TLS_CERT, &self.tls_cert),
            ("--tls-key", key::TLS_KEY, &self.tls_key),
            ("--secret-file", key::SECRET_FILE, &self.secret_file),
            ("--codec-threads", key::CODEC_THREADS, &self.codec_threads),
            ("--memory-mib", key::MEMORY_MIB, &self.memory_mib),
            ("--cover-cache-mib", key::COVER_CACHE_MIB, &self.cover_cache_mib),
            ("--log-format", key::LOG_FORMAT, &self.log_format),
            ("--log", key::LOG_FILTER, &self.log),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                partial.flag(flag, key, value)?;
            }
        }
        if !self.peers.is_empty() {
            partial.flag("--peers", key::NODES, &self.peers.join(","))?;
        }
        if self.supervise {
            partial.flag("--supervise", key::SUPERVISE, "true")?;
        }
        if self.remote_admin {
            partial.flag("--remote-admin", key::REMOTE_ADMIN, "true")?;
        }
        for assignment in &self.set {
            partial.assignment(assignment)?;
        }
        Ok(partial)
    }
}

/// Runs the node, or prints its configuration.
///
/// # Errors
/// Only what is nobody's fault but the machine's; the rest is an exit code.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let loaded = args
        .partial()
        .and_then(|flags| resolve::load(flags, args.config.as_deref(), environment()));
    let resolved = match loaded {
        Ok(resolved) => resolved,
        Err(error) => return Ok(wrong_usage(error.into())),
    };
    if args.print_config {
        std::io::stdout().lock().write_all(resolved.to_yaml().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = resolved.config;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if let Err(error) = log::start(config.log_format, &config.log_filter, colour) {
        return Ok(wrong_usage(anyhow::anyhow!(error)));
    }
    if !config.security.core_dumps {
        harden::keep_memory_private();
    }
    if config.supervise && !args.supervised {
        return supervise::run();
    }
    if args.supervised {
        supervise::end_with_parent();
    }
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    match node::serve(config) {
        Ok(Ended::Stopped) => Ok(ExitCode::SUCCESS),
        Ok(Ended::ForRestart) => Ok(ExitCode::from(exit::RESTART)),
        Err(error) if error.is_usage() => Ok(wrong_usage(error.into())),
        Err(error @ NodeError::DiskStuck { .. }) => {
            super::complain(&error.into());
            Ok(ExitCode::from(exit::DISK_STUCK))
        }
        Err(error @ (NodeError::Damaged { .. } | NodeError::BadDisk { .. })) => {
            super::complain(&error.into());
            Ok(ExitCode::from(exit::DAMAGED))
        }
        Err(error @ NodeError::Removed { .. }) => {
            super::complain(&error.into());
            Ok(ExitCode::from(exit::REMOVED))
        }
        Err(error) => Err(error.into()),
    }
}

fn wrong_usage(error: anyhow::Error) -> ExitCode {
    super::complain(&error);
    ExitCode::from(exit::USAGE)
}

/// The environment as text. What is no UTF-8 shows as such in the error that follows.
pub(super) fn environment() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
