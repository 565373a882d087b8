//! `stegcluster members`: who belongs to the cluster, and changes of that in a safe order, each
//! step said as it happens.

use std::process::ExitCode;
use std::time::Duration;

use super::servers::ServersArgs;
use super::steps::Steps;
use super::{exit, output};
use crate::api::cluster::{
    ClusterStatus, MembersAction, MembersRequest, Mode, NodeStatus, Role, TransferRequest,
};
use crate::client::{Client, ClientError, Server, Servers, Stop};
use crate::clock;
use crate::ident::NodeName;

/// List, add, remove, promote or replace members of the cluster
///
/// A node joins by itself when it is started with the cluster in its --peers; a node that comes
/// back with an empty disk replaces its former self. These commands wait for that, say how far it
/// is, and do what does not happen by itself. Changes are ordered at a server on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster members list
  stegcluster members add n4=10.0.0.4:8081
  stegcluster members remove n2
  stegcluster members replace n2 n4=10.0.0.4:8081")]
pub struct MembersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the members and the nodes that are only configured
    #[command(after_help = "Examples:
  stegcluster members list
  stegcluster members list --json")]
    List(ListArgs),
    /// Wait for a new node, and show how it becomes a voter
    #[command(after_help = "Examples:
  stegcluster members add n4=10.0.0.4:8081")]
    Add(AddArgs),
    /// Take a node out of the cluster, for good; a leader hands over first
    #[command(after_help = "Examples:
  stegcluster members remove n2")]
    Remove(RemoveArgs),
    /// Make a learner a voter, where it did not become one by itself
    #[command(after_help = "Examples:
  stegcluster members promote n4")]
    Promote(RemoveArgs),
    /// Add a new node, then remove an old one: there are never fewer voters than before
    #[command(after_help = "Examples:
  stegcluster members replace n2 n4=10.0.0.4:8081")]
    Replace(ReplaceArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The new node and its client address
    #[arg(value_name = "NAME=HOST:PORT")]
    node: NewNode,
    /// Seconds to wait until it is a voter
    #[arg(long, value_name = "S", default_value_t = 120)]
    timeout_s: u64,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The node's name
    #[arg(value_name = "NODE")]
    node: NodeName,
    /// Seconds to wait until it is done
    #[arg(long, value_name = "S", default_value_t = 60)]
    timeout_s: u64,
}

#[derive(Debug, clap::Args)]
struct ReplaceArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The node that goes
    #[arg(value_name = "OLD")]
    old: NodeName,
    /// The node that comes, and its client address
    #[arg(value_name = "NAME=HOST:PORT")]
    new: NewNode,
    /// Seconds to wait for each of the two
    #[arg(long, value_name = "S", default_value_t = 120)]
    timeout_s: u64,
}

/// `NAME=HOST:PORT`.
#[derive(Debug, Clone)]
struct NewNode {
    name: NodeName,
    server: Server,
}

impl std::str::FromStr for NewNode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once('=').ok_or("write NAME=HOST:PORT, such as n4=10.0.0.4:8081")?;
        let name = name.parse().map_err(|error| format!("{error}"))?;
        let server = address.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { name, server })
    }
}

/// Between two looks at a change that is under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// The server's own patience with a change of members, and some.
const CALL_MAX: Duration = Duration::from_secs(70);

/// Why a change did not take place: for people, with the code to end with.
struct Failed(u8, String);

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let code = if error.is_unreachable() { exit::UNREACHABLE } else { exit::FAILED };
        Self(code, error.to_string())
    }
}

/// Lists or changes.
///
/// # Errors
/// Ctrl-C could not be caught, or the configuration file is wrong.
pub fn run(args: MembersArgs) -> anyhow::Result<ExitCode> {
    let (servers, timeout_s) = match &args.action {
        Action::List(list) => (&list.servers, 0),
        Action::Add(add) => (&add.servers, add.timeout_s),
        Action::Remove(one) | Action::Promote(one) => (&one.servers, one.timeout_s),
        Action::Replace(replace) => (&replace.servers, replace.timeout_s),
    };
    let (client, stop) = servers.client(CALL_MAX)?;
    let client = client.with_attempt_max(CALL_MAX);
    let change = Change {
        client: &client,
        stop: &stop,
        within: Duration::from_secs(timeout_s),
        steps: Steps::begin(),
    };
    let done = match &args.action {
        Action::List(list) => change.list(list.json)?,
        Action::Add(add) => change.add(&add.node),
        Action::Remove(one) => change.remove(&one.node),
        Action::Promote(one) => change.promote(&one.node),
        Action::Replace(replace) => {
            change.add(&replace.new).and_then(|()| change.remove(&replace.old))
        }
    };
    Ok(match done {
        Ok(()) => ExitCode::from(exit::OK),
        Err(Failed(code, problem)) => output::fail(code, &problem),
    })
}

/// One change, from the first question to the last step.
struct Change<'a> {
    client: &'a Client,
    stop: &'a Stop,
    within: Duration,
    steps: Steps,
}

impl Change<'_> {
    fn list(&self, json: bool) -> anyhow::Result<Result<(), Failed>> {
        let status = match self.status() {
            Ok(status) => status,
            Err(failed) => return Ok(Err(failed)),
        };
        if json {
            output::print(&output::json(&status.nodes)?);
            return Ok(Ok(()));
        }
        let row = |node: &NodeStatus| {
            let leads = status.leader_id.as_ref() == Some(&node.id);
            vec![
                node.id.to_string(),
                node.raft_id.map_or("-".to_owned(), |id| id.to_string()),
                if leads { "leader" } else { part(node) }.to_owned(),
                format!("{}:{}", node.ip, node.http_port),
                node.raft_port.to_string(),
                if node.healthy { "up" } else { "DOWN" }.to_owned(),
            ]
        };
        let rows: Vec<Vec<String>> = status.nodes.iter().map(row).collect();
        let head = ["NODE", "RAFT ID", "PART", "ADDRESS", "RAFT PORT", "STATE"];
        output::print(&output::table(&head, &rows));
        Ok(Ok(()))
    }

    /// What the best informed server knows.
    fn status(&self) -> Result<ClusterStatus, Failed> {
        let asked = self.client.statuses(STATUS_WITHIN);
        let said: Vec<&ClusterStatus> = asked.iter().flatten().collect();
        match super::status::judge_seen(&said) {
            Some((_, best)) => Ok(best.clone()),
            None => Err(match asked.into_iter().find_map(Result::err) {
                Some(error) => error.into(),
                None => Failed(exit::UNREACHABLE, "no server answered".to_owned()),
            }),
        }
    }

    /// Looks until `look` is satisfied, with what is known of `node` then.
    fn wait(
        &self,
        what: &str,
        mut look: impl FnMut(&ClusterStatus) -> Result<bool, Failed>,
    ) -> Result<(), Failed> {
        let until = clock::now() + self.within;
        loop {
            // A server that is away for a moment is no reason to stop waiting.
            if let Ok(status) = self.status()
                && look(&status)?
            {
                return Ok(());
            }
            let over = clock::now() >= until;
            if over || self.stop.wait(LOOK_EVERY) {
                let reason = if over { "not in time" } else { "interrupted" };
                return Err(Failed(exit::FAILED, format!("{what}: {reason}; see members list")));
            }
        }
    }

    fn add(&self, new: &NewNode) -> Result<(), Failed> {
        let NewNode { name, server } = new;
        let status = self.status()?;
        if named(&status, name).is_some_and(|node| node.voter && node.healthy) {
            self.steps.say(&format!("{name} is a voter already"));
            return Ok(());
        }
        let mut said = String::new();
        let mut say = |text: String| {
            if text != said {
                self.steps.say(&text);
                said = text;
            }
        };
        self.wait(&format!("waiting for {name} to become a voter"), |status| {
            let own = match self.client.status(server, STATUS_WITHIN) {
                Ok(own) => own,
                Err(ClientError::NotSent { .. }) => {
                    say(format!("waiting for {name}; on its machine: {}", start(new, status)));
                    return Ok(false);
                }
                Err(error) => {
                    say(format!("waiting for {name}: {error}"));
                    return Ok(false);
                }
            };
            if own.node.as_ref() != Some(name) {
                let other = own.node.as_ref().map_or("a node".to_owned(), ToString::to_string);
                let problem = format!("{other} answers at {}, not {name}", server.address());
                return Err(Failed(exit::FAILED, problem));
            }
            if own.cluster_uuid.is_some() && own.cluster_uuid != status.cluster_uuid {
                let problem = format!(
                    "{name} belongs to another cluster; start it with an empty data folder and \
                     with this cluster in its --peers"
                );
                return Err(Failed(exit::FAILED, problem));
            }
            match named(status, name) {
                Some(node) if node.voter && node.healthy => {
                    say(format!("{name} is a voter; the cluster can lose {}", status.can_lose));
                    return Ok(true);
                }
                Some(node) if node.voter => say(format!("{name} is a voter")),
                Some(node) if node.role == Role::Learner || node.raft_id.is_some() => {
                    say(format!("{name} is a learner, {} entries behind", node.lag));
                }
                Some(_) | None => say(format!("{name} is up, and looks for the cluster")),
            }
            Ok(false)
        })
    }

    fn remove(&self, name: &NodeName) -> Result<(), Failed> {
        let status = self.status()?;
        let Some(node) = named(&status, name).filter(|node| is_member(node)) else {
            return Err(Failed(exit::FAILED, format!("{name} is no member; see members list")));
        };
        if node.healthy && node.journal > 0 {
            let problem = format!(
                "{name} holds {} records that it acknowledged alone; wait until they are in the \
                 ledger",
                node.journal
            );
            return Err(Failed(exit::FAILED, problem));
        }
        if status.leader_id.as_ref() == Some(name) {
            self.steps.say(&format!("{name} leads: handing over first"));
            let request = TransferRequest { to: None };
            let answer = at_any(self.client, |server| self.client.transfer(server, &request))?;
            self.steps.say(&answer.done);
        }
        self.order(MembersAction::Remove, name)?;
        self.wait(&format!("waiting for {name} to be out"), |status| {
            let out = named(status, name).is_none_or(|node| !node.voter);
            if out {
                self.steps.say(&format!("{name} is out; the cluster can lose {}", status.can_lose));
            }
            Ok(out)
        })?;
        if node.healthy {
            self.steps.say(&format!("{name} ends by itself; its data folder is of no further use"));
        }
        Ok(())
    }

    fn promote(&self, name: &NodeName) -> Result<(), Failed> {
        self.order(MembersAction::Promote, name)
    }

    fn order(&self, action: MembersAction, name: &NodeName) -> Result<(), Failed> {
        let request = MembersRequest { action, node: name.clone() };
        let answer = at_any(self.client, |server| self.client.members(server, &request))?;
        self.steps.say(&answer.done);
        Ok(())
    }
}

fn named<'a>(status: &'a ClusterStatus, name: &NodeName) -> Option<&'a NodeStatus> {
    status.nodes.iter().find(|node| node.id == *name)
}

fn is_member(node: &NodeStatus) -> bool {
    node.raft_id.is_some()
}

fn part(node: &NodeStatus) -> &'static str {
    match (node.voter, node.mode) {
        (true, _) => "voter",
        (false, Mode::Joining) => "learner",
        (false, _) if node.raft_id.is_some() => "learner",
        (false, _) => "configured only",
    }
}

/// How to start the node on its machine.
fn start(new: &NewNode, status: &ClusterStatus) -> String {
    let members = status.nodes.iter().filter(|node| is_member(node));
    let mut peers: Vec<String> = members
        .map(|node| format!("{}={}:{}/{}", node.id, node.ip, node.http_port, node.raft_port))
        .collect();
    peers.push(format!("{}={}", new.name, new.server.address()));
    format!("stegcluster serve --id {} --peers {}", new.name, peers.join(","))
}

/// Asks one server after the other until one has anything to say: admin calls are for the same
/// machine only, and another server may be on this one.
pub(super) fn at_any<T>(
    client: &Client,
    call: impl Fn(&Server) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let servers: &Servers = client.servers();
    let mut last = ClientError::Stopped;
    for server in servers.iter() {
        match call(server) {
            Err(
                error @ (ClientError::NotSent { .. } | ClientError::Refused { status: 403, .. }),
            ) => last = error,
            answer => return answer,
        }
    }
    Err(last)
}
