//! What every client command shares: where the servers are, and Ctrl-C.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::output;
use crate::client::{
    CallError, Client, Interrupt, NoToken, Patience, Server, Servers, Stop, Token,
};
use crate::config::raw::{Partial, key};
use crate::config::resolve::CONFIG_VARIABLE;
use crate::drill::Ground;
use crate::fleet::{Fleet, FleetPlan};
use crate::trust::Roots;
use crate::trust::make::CA_CERT;

/// Where a cluster of three on one machine listens by default.
pub const DEFAULT: &str = "http://127.0.0.1:8081,http://127.0.0.1:8082,http://127.0.0.1:8083";

/// For how long a command tries when no server takes the connection. A leader that died has a
/// successor, and a node that was restarted listens, within a fraction of it.
const REFUSED_MAX: Duration = Duration::from_secs(5);

/// Where the cluster is.
#[derive(Debug, Clone, clap::Args)]
pub struct ServersArgs {
    /// Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the
    /// nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the
    /// ports 8081, 8082 and 8083]
    #[arg(long, value_name = "LIST", env = "STEGCLUSTER_SERVERS", hide_env_values = true)]
    pub servers: Option<Servers>,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// What to show to nodes that ask for a token.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TokenArgs {
    /// Send the token on the first line of this file, where nodes run with --tokens; without it,
    /// the token in STEGCLUSTER_TOKEN, if there is one
    #[arg(
        long,
        value_name = "FILE",
        value_parser = token_in,
        env = "STEGCLUSTER_TOKEN_FILE",
        hide_env_values = true
    )]
    token_file: Option<Token>,
}

/// The token in the file at `path`.
fn token_in(path: &str) -> Result<Token, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = Zeroizing::new(text);
    let line = text.lines().next().unwrap_or_default();
    line.parse().map_err(|error: NoToken| error.to_string())
}

/// Holds a token itself, for whoever has no file.
const TOKEN_VARIABLE: &str = "STEGCLUSTER_TOKEN";

impl TokenArgs {
    fn token(&self) -> anyhow::Result<Option<Token>> {
        if self.token_file.is_some() {
            return Ok(self.token_file.clone());
        }
        match std::env::var(TOKEN_VARIABLE).map(Zeroizing::new) {
            Ok(text) if !text.is_empty() => Ok(Some(text.parse().context(TOKEN_VARIABLE)?)),
            // An unset variable, or one that is no text and so no token.
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

/// Whom a command believes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TrustArgs {
    /// The certificate of the nodes' CA, where they speak TLS: servers are then asked by https://
    /// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]
    #[arg(long, value_name = "FILE", env = "STEGCLUSTER_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
}

impl TrustArgs {
    /// `servers`, believed by the CA that was named.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn over(&self, servers: Servers) -> anyhow::Result<Servers> {
        let named = self.ca.as_ref().filter(|file| !file.as_os_str().is_empty());
        Ok(match named {
            Some(file) => servers.trusting(Roots::read(file).context("--ca")?),
            None => servers,
        })
    }
}

/// Servers, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub servers: Servers,
    /// True where nobody named any: the local default.
    pub by_default: bool,
}

/// The servers of the flag or the environment, which clap has merged, else those of the
/// configuration file, else the local default.
///
/// # Errors
/// The file cannot be read, or names something that is no server.
pub fn named(given: Option<&Servers>, trust: &TrustArgs) -> anyhow::Result<Named> {
    let named = listed(given)?;
    Ok(Named { servers: trust.over(named.servers)?, ..named })
}

fn listed(given: Option<&Servers>) -> anyhow::Result<Named> {
    if let Some(servers) = given {
        return Ok(Named { servers: servers.clone(), by_default: false });
    }
    let usual = || DEFAULT.parse().expect("the default is a list of servers, as a test checks");
    Ok(match configured()? {
        Some(servers) => Named { servers, by_default: false },
        None => Named { servers: usual(), by_default: true },
    })
}

/// Where `serve` would look for the nodes without `--config`, and in the folder of work.
pub const FILE: &str = "cluster.yaml";

/// The nodes of the configuration file, if there is one that names any.
fn configured() -> anyhow::Result<Option<Servers>> {
    let by_variable = std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty());
    let file = match &by_variable {
        Some(path) => Path::new(path),
        None if Path::new(FILE).is_file() => Path::new(FILE),
        None => return Ok(None),
    };
    let layer = Partial::from_file(file)?;
    let addresses = layer.client_addresses();
    if addresses.is_empty() {
        return Ok(None);
    }
    let parsed: Result<Vec<Server>, _> = addresses.iter().map(|address| address.parse()).collect();
    let servers = parsed.and_then(Servers::new);
    let servers = servers.with_context(|| format!("{}: nodes", file.display()))?;
    let dir = layer.text_of(key::TLS_DIR).map(|dir| Path::new(dir).join(CA_CERT));
    // With `{id}` in it, it is a file of each node's own machine.
    let ca = layer.text_of(key::TLS_CA).map(PathBuf::from).or(dir);
    Ok(Some(match ca.filter(|ca| !ca.to_string_lossy().contains("{id}") && ca.is_file()) {
        Some(ca) => servers.trusting(Roots::read(&ca).context("tls.ca")?),
        None => servers,
    }))
}

impl ServersArgs {
    /// See [`named`].
    ///
    /// # Errors
    /// See [`named`].
    pub fn named(&self) -> anyhow::Result<Named> {
        let Named { servers, by_default } = named(self.servers.as_ref(), &self.trust)?;
        Ok(Named { servers: servers.with_token(self.token.token()?), by_default })
    }

    /// A client that is broken off by the first Ctrl-C, and what that trips.
    ///
    /// # Errors
    /// Ctrl-C could not be caught, or the configuration file is wrong.
    pub fn client(&self, deadline: Duration) -> anyhow::Result<(Client, Stop)> {
        let stop = interrupt()?.clean;
        let refused_max = Some(REFUSED_MAX);
        let patience = Patience { deadline, refused_max, ..Patience::default() };
        let client =
            Client::new(self.named()?.servers, patience, stop.clone()).telling(output::say);
        client.break_off_on(&stop);
        Ok((client, stop))
    }
}

/// Own nodes or somebody's.
#[derive(Debug, Clone, clap::Args)]
pub struct GroundArgs {
    /// Nodes to work against: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between
    #[arg(long, value_name = "LIST", env = "STEGCLUSTER_SERVERS", hide_env_values = true)]
    servers: Option<Servers>,
    #[command(flatten)]
    token: TokenArgs,
    /// Start this many nodes on this machine instead, in a temporary folder
    #[arg(long, value_name = "N")]
    local: Option<usize>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Give own nodes certificates, so that all of it goes over TLS
    #[arg(long)]
    tls: bool,
    /// Leave the temporary folder of own nodes, with their logs, and say where it is
    #[arg(long)]
    keep: bool,
}

impl GroundArgs {
    /// How many nodes that will be.
    pub fn count(&self) -> usize {
        let listed = || self.servers.as_ref().map_or(3, Servers::len);
        self.local.unwrap_or_else(listed)
    }

    /// `--local` before `--servers`; with neither, [`named`] servers. Own nodes are started, but
    /// may not have formed yet.
    ///
    /// # Errors
    /// Own nodes could not be started, or the configuration file is wrong.
    pub fn ground_or_configured(&self, stop: &Stop) -> anyhow::Result<Ground> {
        if self.local.is_none() {
            let servers = named(self.servers.as_ref(), &self.trust)?.servers;
            return Ok(Ground::Remote(servers.with_token(self.token.token()?), None));
        }
        self.ground(None, stop)
    }

    /// `--local` before `--servers`; with neither, `default_local` own nodes, or the usual
    /// servers where that is `None`. Own nodes are started, but may not have formed yet.
    ///
    /// # Errors
    /// Own nodes could not be started, or there is no token where one should be.
    pub fn ground(&self, default_local: Option<usize>, stop: &Stop) -> anyhow::Result<Ground> {
        let local = self.local.or(default_local.filter(|_| self.servers.is_none()));
        if let Some(nodes) = local {
            let mut fleet = Fleet::new(FleetPlan { tls: self.tls, ..FleetPlan::new(nodes) }, stop)?;
            if self.keep {
                fleet.keep_folder();
                output::say(&format!("own nodes write to {}", fleet.folder().display()));
            }
            fleet.start_all()?;
            return Ok(Ground::Local(Box::new(fleet)));
        }
        let usual = || DEFAULT.parse().expect("the default is a list of servers, as a test checks");
        let servers = self.servers.clone().unwrap_or_else(usual);
        let servers = self.trust.over(servers)?;
        Ok(Ground::Remote(servers.with_token(self.token.token()?), None))
    }
}

/// Ctrl-C and SIGTERM from here on, and the end of the terminal. To be called once.
///
/// # Errors
/// The handler could not be installed.
pub fn interrupt() -> anyhow::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let pressed = interrupt.clone();
    crate::node::signals::on_stop(move || pressed.press(), || {}).context("cannot catch Ctrl-C")?;
    Ok(interrupt)
}

/// The exit code of a call that failed: nobody answered, or somebody said no.
pub fn code_of(error: &CallError) -> u8 {
    use super::exit;
    if error.last.is_unreachable() { exit::UNREACHABLE } else { exit::FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_names_three_servers() {
        assert_eq!(DEFAULT.parse::<Servers>().unwrap().len(), 3);
    }

    #[test]
    fn clap_accepts_every_definition() {
        fn check<T: clap::Args>() {
            T::augment_args(clap::Command::new("test")).debug_assert();
        }
        check::<crate::cli::status::StatusArgs>();
        check::<crate::cli::doctor::DoctorArgs>();
        check::<crate::cli::kill_leader::KillLeaderArgs>();
        check::<crate::cli::transfer_leader::TransferLeaderArgs>();
        check::<crate::cli::bench::BenchArgs>();
        check::<crate::cli::failover_drill::FailoverDrillArgs>();
        check::<crate::cli::embed::EmbedArgs>();
        check::<crate::cli::extract::ExtractArgs>();
        check::<crate::cli::capacity::CapacityArgs>();
        check::<crate::cli::records::RecordsArgs>();
        check::<crate::cli::members::MembersArgs>();
        check::<crate::cli::verify::VerifyArgs>();
        check::<crate::cli::backup::BackupArgs>();
        check::<crate::cli::backup::RestoreArgs>();
    }
}
