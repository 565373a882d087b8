//! `stegcluster recover`: make one survivor of a lost majority a cluster again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{exit, output, term};
use crate::api::cluster::ClusterStatus;
use crate::client::{Client, Patience, Server, Servers, Stop};
use crate::clock;
use crate::node;
use crate::node::recover::{RecoverError, Survivor};
use crate::view::Member;

/// Make a cluster of one out of a node whose cluster lost its majority for good
///
/// For the day on which more than half of the voters are gone with their disks, and only then:
/// nodes that merely do not run need to be started, and nothing else. The node must not run.
/// Without --majority-is-lost the command says what it would do, and does nothing. With it, the
/// folder is copied first; then the node becomes the only member of a new cluster, with every
/// entry that it has. Records that only the lost nodes had are lost. Other nodes join it with
/// empty data folders; with their old ones they are strangers, and must not be started.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster recover --data-dir data/n1 --dry-run
  stegcluster recover --data-dir data/n1 --majority-is-lost
  stegcluster recover --data-dir data/n1 --damage-is-accepted")]
pub struct RecoverArgs {
    /// The survivor's data folder; of several survivors, that of the one with the newest log
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Do it: the majority will never come back
    #[arg(long)]
    majority_is_lost: bool,
    /// The folder is damaged: keep what can still be read. It becomes a cluster of its own, and what
    /// cannot be read is lost; where other nodes have a quorum, start the node instead, and it
    /// heals from them
    #[arg(long, conflicts_with_all = ["majority_is_lost", "dry_run"])]
    damage_is_accepted: bool,
    /// Only say what would be done, and end with 0 if it could be
    #[arg(long, conflicts_with = "majority_is_lost")]
    dry_run: bool,
    /// Where to copy the folder first [default: beside it, DIR.before-recover-SECONDS]
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
}

/// How long another member may take to say that it is not lost.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Looks, says, and with the flag does.
///
/// # Errors
/// None: what goes wrong is said with its cause.
pub fn run(args: &RecoverArgs) -> anyhow::Result<ExitCode> {
    if args.damage_is_accepted {
        return Ok(match repair(args) {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) => output::fail(exit::FAILED, &error),
        });
    }
    let done = Survivor::open(&args.data_dir).and_then(|survivor| recover(args, survivor));
    Ok(done.unwrap_or_else(|error| output::fail(exit::FAILED, &error)))
}

fn recover(args: &RecoverArgs, survivor: Survivor) -> Result<ExitCode, RecoverError> {
    let folder = &args.data_dir;
    let backup = args.backup.clone().unwrap_or_else(|| beside(folder));
    output::print(&describe(folder, &survivor));
    let others = ask(&survivor);
    others.iter().for_each(|(member, status)| output::print(&answer(member, status.as_ref())));
    if let Some(reason) = objection(&survivor, &others) {
        return Ok(output::fail(exit::FAILED, &reason));
    }
    output::print(&plan(&backup, &survivor));
    if args.dry_run {
        output::print("dry run: nothing was changed\n");
        return Ok(ExitCode::from(exit::OK));
    }
    if !args.majority_is_lost {
        let problem = "nothing was changed; if the others will never come back, say \
                       --majority-is-lost";
        return Ok(output::fail(exit::FAILED, &problem));
    }
    let node = survivor.identity.node.clone();
    let recovered = survivor.recover(&backup)?;
    output::print(&format!(
        "copied to {}\n{node} is the only member of cluster {}, with {} records; start it as before\n",
        recovered.backup.display(),
        recovered.cluster,
        recovered.survey.records
    ));
    Ok(ExitCode::from(exit::OK))
}

fn repair(args: &RecoverArgs) -> Result<(), RecoverError> {
    let backup = args.backup.clone().unwrap_or_else(|| beside(&args.data_dir));
    let repaired = node::recover::repair(&args.data_dir, &backup)?;
    output::print(&format!(
        "copied to {}\n{} records can be read, in cluster {} with this node as its only member; start \
         it as before\n",
        repaired.backup.display(),
        repaired.survey.records,
        repaired.cluster
    ));
    Ok(())
}

fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".before-recover-{}", clock::unix_ms() / 1000));
    folder.with_file_name(name)
}

fn describe(folder: &Path, survivor: &Survivor) -> String {
    let (identity, survey) = (&survivor.identity, &survivor.survey);
    let cluster = identity.cluster_uuid.map_or_else(String::new, |uuid| uuid.to_string());
    let members: Vec<&str> = survey.members.iter().map(|m| m.name.as_str()).collect();
    let (log, applied) = (survey.last_log, survey.applied);
    format!(
        "{}: {} of cluster {cluster}, term {}\n\
         its log ends with entry {} of term {}; its ledger has {} records, up to entry {}\n\
         members by its log: {}\n",
        folder.display(),
        identity.node,
        survey.term,
        log.index,
        log.term,
        survey.records,
        applied.index,
        members.join(", ")
    )
}

type Others = Vec<(Member, Option<ClusterStatus>)>;

/// The other members, and what those say that answer and belong to the same cluster.
fn ask(survivor: &Survivor) -> Others {
    let me = survivor.identity.raft_id;
    let others = survivor.survey.members.iter().filter(|member| Some(member.raft_id) != me);
    let ask = |member: &Member| {
        let server: Server = member.http_addr.parse().ok()?;
        let servers = Servers::new([server.clone()]).ok()?;
        let client = Client::new(servers, Patience::default(), Stop::new());
        let status = client.status(&server, ANSWER_MAX).ok()?;
        (status.cluster_uuid == survivor.identity.cluster_uuid).then_some(status)
    };
    others.map(|member| (member.clone(), ask(member))).collect()
}

fn answer(member: &Member, status: Option<&ClusterStatus>) -> String {
    let (name, address) = (&member.name, &member.http_addr);
    let log = status.and_then(super::status::own).map(|own| own.last_log);
    match log {
        Some(log) => format!(
            "{name} at {address}: answers; its log ends with entry {} of term {}\n",
            log.index, log.term
        ),
        None => format!("{name} at {address}: no answer\n"),
    }
}

/// Why this must not be done.
fn objection(survivor: &Survivor, others: &Others) -> Option<String> {
    let voters = survivor.survey.members.iter().filter(|member| member.voter).count();
    let alive: Vec<&(Member, Option<ClusterStatus>)> =
        others.iter().filter(|(member, status)| member.voter && status.is_some()).collect();
    if alive.len() + 1 > voters / 2 {
        return Some(format!(
            "{} of {voters} voters answer, and with this node they are a majority: start this \
             node, and the cluster goes on by itself",
            alive.len()
        ));
    }
    let newer = alive.iter().find(|(_, status)| {
        let own = status.as_ref().and_then(super::status::own);
        own.is_some_and(|own| own.last_log > survivor.survey.last_log)
    });
    newer.map(|(member, _)| {
        format!("{} has a newer log than this node: recover that one instead", member.name)
    })
}

fn plan(backup: &Path, survivor: &Survivor) -> String {
    let (node, unapplied) = (&survivor.identity.node, survivor.survey.unapplied);
    let mut steps = vec![format!("- copy the folder to {}", backup.display())];
    if unapplied > 0 {
        steps.push(format!(
            "- enter in the ledger the {unapplied} entries of the log that are not there yet, \
             though the lost nodes may not have agreed to them"
        ));
    }
    steps.push(format!("- make {node} the only member of a new cluster"));
    let warning = "Acknowledged records that only the lost nodes have are lost. The lost nodes \
                   must not be started with their old data folders any more; with empty ones \
                   they join.";
    let width = term::columns().unwrap_or(WIDTH);
    let mut lines = vec![String::new(), "to recover is to".to_owned()];
    steps.iter().for_each(|step| lines.extend(term::wrapped(step, width, 2)));
    lines.extend(term::wrapped(warning, width, 0));
    lines.join("\n") + "\n\n"
}

/// Where no terminal says otherwise.
const WIDTH: usize = 100;
