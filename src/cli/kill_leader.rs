//! `stegcluster kill-leader`: lose the leader on purpose, and say what followed, step by step.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::servers::ServersArgs;
use super::{exit, output, steps};
use crate::api::cluster::{ClusterStatus, FailRequest, FaultAction};
use crate::client::events::{EventWatch, Seen};
use crate::client::{Client, ClientError, Server, Servers, Stop, shows_new_leader};
use crate::clock::{self, Instant, millis};
use crate::ident::{RecordId, Term};
use crate::observe::events::Change;

/// Between two looks for the new leader.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// Time for the event streams to begin. The first event of each is the status as it is.
const WATCH_OPENS: Duration = Duration::from_millis(150);
/// What happened just before the last step may still be on its way here.
const STRAGGLERS: Duration = Duration::from_millis(50);
/// One write to a survivor, repeated until one is acknowledged.
const WRITE_WITHIN: Duration = Duration::from_millis(250);

/// Lose the leader on purpose, wait for the next one, and show what happened in between
///
/// A killed process leaves its work at once; one that is terminated hands over before it ends;
/// one that is stopped is silent, and goes on after --stop-ms. A process that ended is started
/// again by nothing but its own supervisor. Small records are written meanwhile, to tell when writes
/// went on. The order goes to the leader itself, which takes it from its own machine only unless
/// it was started with --remote-admin.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster kill-leader
  stegcluster kill-leader --signal stop --wait
  stegcluster kill-leader --servers 10.0.0.1:8081,10.0.0.2:8081,10.0.0.3:8081 --timeout-ms 5000")]
pub struct KillLeaderArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// How the leader is lost: kill (SIGKILL), term (SIGTERM) or stop (SIGSTOP)
    #[arg(long, value_name = "SIGNAL", value_enum, default_value_t = Loss::Kill)]
    signal: Loss,
    /// Also wait until the old leader is back and has caught up
    #[arg(long)]
    wait: bool,
    /// With --signal stop: milliseconds until it goes on
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    stop_ms: u64,
    /// Print JSON instead of the timeline
    #[arg(long)]
    json: bool,
    /// Milliseconds to wait for the new leader, and with --wait for the old one
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    timeout_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Loss {
    Kill,
    Term,
    Stop,
}

impl Loss {
    fn request(self, stop_ms: u64) -> FailRequest {
        match self {
            Self::Kill => FailRequest::new(FaultAction::Crash),
            Self::Term => FailRequest::new(FaultAction::Term),
            Self::Stop => {
                FailRequest { duration_ms: Some(stop_ms), ..FailRequest::new(FaultAction::Freeze) }
            }
        }
    }

    fn signal(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Term => "SIGTERM",
            Self::Stop => "SIGSTOP",
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    signal: Loss,
    old_leader: String,
    old_term: u64,
    new_leader: String,
    term: u64,
    /// From just before the fault, as are all times here.
    elect_ms: f64,
    /// The first write that a survivor acknowledged after the longest pause, and the pause.
    first_commit_ms: Option<f64>,
    write_pause_ms: Option<f64>,
    /// With `--wait`: the old leader is healthy again and has every entry.
    caught_up_ms: Option<f64>,
    timeline: Vec<Step>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Step {
    at_ms: f64,
    what: String,
}

/// Kills, waits and tells.
///
/// # Errors
/// Ctrl-C could not be caught, or the configuration file is wrong.
pub fn run(args: KillLeaderArgs) -> anyhow::Result<ExitCode> {
    let (client, stop) = args.servers.client(Duration::from_secs(10))?;
    let asked = client.statuses(STATUS_WITHIN);
    let Some((number, old)) = leader(&asked) else {
        let problem = asked.iter().find_map(|asked| asked.as_ref().err());
        return Ok(match (asked.iter().any(Result::is_ok), problem) {
            (false, Some(error)) => output::fail(exit::UNREACHABLE, error),
            _ => output::fail(exit::FAILED, &"none of the servers leads; see stegcluster status"),
        });
    };
    let victim = client.servers().nth(number).clone();
    let watch = EventWatch::open(client.servers());
    if stop.wait(WATCH_OPENS) {
        return Ok(output::fail(exit::FAILED, &"interrupted before anything was done"));
    }
    let hunt = Hunt { client: &client, stop: &stop, args: &args, old, victim: &victim };
    let name = hunt.name();
    if !args.json {
        let signal = args.signal.signal();
        output::print(&format!("{signal} to {name}, leader of term {}\n", old.term));
    }
    let at = clock::now();
    match client.fail(&victim, &args.signal.request(args.stop_ms)) {
        // A crash may leave no time to answer.
        Ok(_) | Err(ClientError::NoAnswer { .. }) => {}
        Err(error @ ClientError::NotSent { .. }) => {
            return Ok(output::fail(exit::UNREACHABLE, &error));
        }
        Err(error) => return Ok(output::fail(exit::FAILED, &error)),
    }
    let followed = hunt.follow(at);
    stop.wait(STRAGGLERS);
    let timeline = timeline(&watch.since(at), &followed, at);
    Ok(hunt.tell(&followed, timeline))
}

/// What is known, each from the fault on.
#[derive(Debug, Default)]
struct Followed {
    new: Option<ClusterStatus>,
    elected: Option<Duration>,
    resumed: Option<Resumed>,
    back: Option<Duration>,
    caught_up: Option<Duration>,
}

/// One leader, and what it is lost to.
struct Hunt<'a> {
    client: &'a Client,
    stop: &'a Stop,
    args: &'a KillLeaderArgs,
    old: &'a ClusterStatus,
    victim: &'a Server,
}

impl Hunt<'_> {
    fn name(&self) -> String {
        self.old.leader_id.as_ref().map_or_else(String::new, ToString::to_string)
    }

    fn follow(&self, at: Instant) -> Followed {
        let until = at + Duration::from_millis(self.args.timeout_ms);
        let survivors = self.client.servers().iter().filter(|server| *server != self.victim);
        // A cluster of one has no survivors, and then nothing to wait for but its return.
        let survivors = Servers::new(survivors.cloned()).ok();
        let survivors = survivors.map(|servers| self.client.clone().to(servers));
        let mut followed = Followed::default();
        let enough = Stop::new();
        std::thread::scope(|scope| {
            // Also by a panic, or the writers would go on until the time-out.
            let _guard = enough.trip_on_drop();
            let writing = survivors.as_ref().map(|survivors| {
                let ends = (&enough, self.stop);
                scope.spawn(move || writes(survivors, at, until, ends))
            });
            let asked = survivors.as_ref().unwrap_or(self.client);
            if let Some((new, elapsed)) = self.await_new(asked, at, until) {
                (followed.new, followed.elected) = (Some(new), Some(elapsed));
            }
            enough.trip();
            let writes = writing.and_then(|writing| writing.join().ok()).unwrap_or_default();
            followed.resumed =
                first_after_pause(&writes, followed.elected.unwrap_or(Duration::MAX));
        });
        if self.args.wait && followed.new.is_some() {
            self.await_return(&mut followed, at, until);
        }
        followed
    }

    fn await_new(
        &self,
        client: &Client,
        at: Instant,
        until: Instant,
    ) -> Option<(ClusterStatus, Duration)> {
        let (old, term) = (self.name(), Term(self.old.term));
        while clock::now() < until {
            let said = client.statuses(STATUS_WITHIN).into_iter().flatten();
            let elapsed = at.elapsed();
            if let Some(new) = said.into_iter().find(|new| shows_new_leader(new, &old, term)) {
                return Some((new, elapsed));
            }
            if self.stop.wait(LOOK_EVERY) {
                return None;
            }
        }
        None
    }

    /// Until the old leader answers, and then until it has every entry.
    fn await_return(&self, followed: &mut Followed, at: Instant, until: Instant) {
        let behind = |status: &ClusterStatus| {
            let own = super::status::own(status)?;
            (own.healthy && status.quorum && own.lag == 0).then_some(())
        };
        while clock::now() < until {
            if let Ok(status) = self.client.status(self.victim, STATUS_WITHIN) {
                let elapsed = at.elapsed();
                followed.back.get_or_insert(elapsed);
                if status.term > self.old.term && behind(&status).is_some() {
                    followed.caught_up = Some(elapsed);
                    return;
                }
            }
            if self.stop.wait(LOOK_EVERY) {
                return;
            }
        }
    }

    fn tell(&self, followed: &Followed, timeline: Vec<Step>) -> ExitCode {
        let name = self.name();
        if !self.args.json {
            for step in &timeline {
                let since = Duration::from_secs_f64(step.at_ms.max(0.0) / 1000.0);
                output::print(&steps::line(since, &step.what));
            }
        }
        let waited = self.args.timeout_ms;
        let (Some(new), Some(elected)) = (&followed.new, followed.elected) else {
            let problem = format!("{name} is gone, and no new leader came within {waited} ms");
            return output::fail(exit::FAILED, &problem);
        };
        let report = Report {
            schema: 1,
            signal: self.args.signal,
            old_term: self.old.term,
            new_leader: new.leader_id.as_ref().map_or_else(String::new, ToString::to_string),
            term: new.term,
            elect_ms: millis(elected),
            first_commit_ms: followed.resumed.as_ref().map(|resumed| millis(resumed.at)),
            write_pause_ms: followed.resumed.as_ref().map(|resumed| millis(resumed.pause)),
            caught_up_ms: followed.caught_up.map(millis),
            timeline,
            old_leader: name,
        };
        if self.args.json {
            match output::json(&report) {
                Ok(json) => output::print(&json),
                Err(error) => return output::fail(exit::FAILED, &format!("{error:#}")),
            }
        } else {
            let ms = output::ms;
            output::print(&format!(
                "{} (term {}) was lost; {} leads in term {} after {} ms; no write for {} ms\n",
                report.old_leader,
                report.old_term,
                report.new_leader,
                report.term,
                ms(Some(report.elect_ms)),
                ms(report.write_pause_ms)
            ));
        }
        if self.args.wait && followed.caught_up.is_none() {
            let problem = format!(
                "{} did not come back within {waited} ms; a supervisor must start it again \
                 (serve --supervise, or systemd)",
                report.old_leader
            );
            return output::fail(exit::FAILED, &problem);
        }
        ExitCode::from(exit::OK)
    }
}

/// A write that was acknowledged: when, and by which server.
type Write = (Duration, String);

/// Writes to all of `survivors` at the same time, one small record after the other, until one was
/// acknowledged after `enough` was tripped; all writes that were acknowledged, in order.
fn writes(
    survivors: &Client,
    at: Instant,
    until: Instant,
    (enough, stop): (&Stop, &Stop),
) -> Vec<Write> {
    let write_on = |server: &Server| {
        let mut written = Vec::new();
        while clock::now() < until && !stop.is_tripped() {
            let over = enough.is_tripped();
            let id = RecordId::from(clock::fresh_time_ordered_uuid());
            if survivors.commit_once(server, &id, WRITE_WITHIN).is_ok() {
                written.push((at.elapsed(), server.address().to_owned()));
                if over {
                    break;
                }
            }
            stop.wait(LOOK_EVERY);
        }
        written
    };
    std::thread::scope(|scope| {
        let servers = survivors.servers().iter();
        let writing: Vec<_> = servers.map(|server| scope.spawn(move || write_on(server))).collect();
        let mut all: Vec<Write> =
            writing.into_iter().filter_map(|writing| writing.join().ok()).flatten().collect();
        all.sort();
        all
    })
}

/// The first write after the longest pause before the new leader's first write: the old leader
/// took writes until it was gone, which is some milliseconds after it was told to go. The new
/// one's first is the first that came back after it was `elected`.
fn first_after_pause(writes: &[Write], elected: Duration) -> Option<Resumed> {
    let first = writes.iter().position(|(at, _)| *at >= elected);
    let writes = &writes[..first.map_or(writes.len(), |first| first + 1)];
    let before = [Duration::ZERO].into_iter().chain(writes.iter().map(|(at, _)| *at));
    let longest = before.zip(writes).max_by_key(|(before, (at, _))| at.saturating_sub(*before));
    longest.map(|(before, (at, server))| Resumed {
        at: *at,
        by: server.clone(),
        pause: at.saturating_sub(before),
    })
}

/// Writes went on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resumed {
    at: Duration,
    /// The server that acknowledged the first.
    by: String,
    /// Since the last write before.
    pause: Duration,
}

/// The server that leads, by its own word, in the latest term.
fn leader(asked: &[Result<ClusterStatus, ClientError>]) -> Option<(usize, &ClusterStatus)> {
    let said =
        asked.iter().enumerate().filter_map(|(number, asked)| Some((number, asked.as_ref().ok()?)));
    said.filter(|(_, status)| status.leader_id.is_some() && status.leader_id == status.node)
        .max_by_key(|(_, status)| status.term)
}

/// What the nodes reported and what was seen from here, in order.
fn timeline(seen: &[Seen], followed: &Followed, at: Instant) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut add = |since: Duration, what: String| steps.push(Step { at_ms: millis(since), what });
    for seen in seen {
        if let Some(what) = sentence(&seen.event.reporter.to_string(), &seen.event.change) {
            add(seen.at.saturating_duration_since(at), what);
        }
    }
    if let (Some(new), Some(elected)) = (&followed.new, followed.elected) {
        let leader = new.leader_id.as_ref().map_or("nobody", |leader| leader.as_str());
        add(elected, format!("status shows {leader} as leader of term {}", new.term));
    }
    if let Some(Resumed { at, by, pause }) = &followed.resumed {
        let pause = output::ms(Some(millis(*pause)));
        add(*at, format!("writes go on, by {by}, after a pause of {pause} ms"));
    }
    if let Some(back) = followed.back {
        add(back, "the old leader answers again".to_owned());
    }
    if let Some(caught_up) = followed.caught_up {
        add(caught_up, "the old leader has caught up".to_owned());
    }
    steps.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    // Each follower says the same of a new leader's membership or health.
    steps.dedup_by(|b, a| a.what == b.what);
    steps
}

/// An event for people; `None` for those that tell nothing here.
fn sentence(reporter: &str, change: &Change) -> Option<String> {
    Some(match change {
        Change::LeaderChanged { leader: Some(leader) } => {
            format!("{reporter}: {leader} leads")
        }
        Change::LeaderChanged { leader: None } => format!("{reporter}: nobody leads"),
        Change::Suspected { leader, cause, attempt } => {
            format!("{reporter} suspects {leader}: {cause} (attempt {attempt})")
        }
        Change::Campaigning { node } => format!("{node} stands for election"),
        Change::Voted { node, candidate, granted: true } => format!("{node} votes for {candidate}"),
        Change::Voted { node, candidate, granted: false } => {
            format!("{node} denies {candidate} its vote")
        }
        Change::SteppedDown { node } => format!("{node} leads no more"),
        Change::HandedOver { node, to, cause } => format!("{node} handed over to {to}: {cause}"),
        Change::HealthChanged { node, healthy: false } => {
            format!("{reporter}: {node} does not answer")
        }
        Change::HealthChanged { node, healthy: true } => {
            format!("{reporter}: {node} answers again")
        }
        Change::SoloBegan { node } => format!("{node} serves alone"),
        Change::SoloEnded { node, .. } => format!("{node} serves alone no longer"),
        Change::Fault { node, action } => format!("{node} fails on purpose: {action}"),
        Change::Restored { node } => format!("{node} fails no more"),
        Change::RoleChanged { .. }
        | Change::MembershipChanged { .. }
        | Change::Formed { .. }
        | Change::Joined { .. }
        | Change::Removed { .. }
        | Change::ConditionChanged { .. }
        | Change::JournalDrained { .. }
        | Change::RecordConflict { .. }
        | Change::Missed { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn writes_that_the_old_leader_still_took_are_not_the_first() {
        let writes = [(at(3), "a"), (at(5), "b"), (at(41), "b"), (at(44), "a"), (at(99), "a")];
        let writes = writes.map(|(at, server)| (at, server.to_owned()));
        let resumed = Resumed { at: at(41), by: "b".to_owned(), pause: at(36) };
        assert_eq!(first_after_pause(&writes, at(40)), Some(resumed));
        assert_eq!(first_after_pause(&[], at(40)), None);
    }

    #[test]
    fn a_timeline_is_in_order_and_says_a_thing_once() {
        let begun = clock::now();
        let seen = |ms, reporter: &str| Seen {
            server: 0,
            at: begun + at(ms),
            event: crate::observe::events::Event {
                time_ms: 0,
                reporter: reporter.parse().unwrap(),
                term: Term(2),
                change: Change::Campaigning { node: "n2".parse().unwrap() },
            },
        };
        let followed = Followed { back: Some(at(2)), ..Followed::default() };
        let steps = timeline(&[seen(7, "n2"), seen(5, "n2")], &followed, begun);
        let said: Vec<(f64, &str)> = steps.iter().map(|s| (s.at_ms, s.what.as_str())).collect();
        assert_eq!(said, [(2.0, "the old leader answers again"), (5.0, "n2 stands for election")]);
    }
}
