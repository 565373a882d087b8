//! Planned hand-over of leadership, to a voter that answers, is current, and whose disk
//! is well.
//!
//! openraft's transfer cannot be taken back: from its first moment the old leader accepts
//! no entry. So every voter is asked before, and where one that was told to does not take
//! over in its turn, the next is told to.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use serde::{Deserialize, Serialize};

use super::Consensus;
use super::types::position;
use crate::clock;
use crate::ident::{LogPosition, NodeName, Term};
use crate::peer::PeerError;
use crate::peer::link::{Lane, Links};
use crate::store::Room;
use crate::view::{LeaderView, Member};

pub const FITNESS: &str = "/raft/fitness";

/// How long the voters may take to say how fit they are.
const ANSWER_MAX: Duration = Duration::from_millis(300);
/// How long a successor has to take over: three round trips of a wide network and two
/// slow fsyncs.
const TURN: Duration = Duration::from_secs(1);
/// Successors that are told to, one after the other.
const TURNS: usize = 2;
/// How long the followers' election timers have, once nobody took over.
const REST: Duration = Duration::from_secs(2);
/// A voter with a write under way for longer is no better than who hands over to it.
const STALLED_MS_MAX: f64 = 100.0;
/// A voter that lacks more entries would keep writers waiting while it catches up.
const BEHIND_MAX: u64 = 1000;

/// Between questions to the voters while this node waits for a successor. It may be unable
/// to see one itself: it cannot follow anybody before its disk has taken the vote.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// How fit a voter is to lead, by its own word, and whom it follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fitness {
    pub term: Term,
    pub leader: Option<NodeName>,
    pub last_log: LogPosition,
    /// Age of its oldest unfinished write, in milliseconds; 0 where none is under way.
    pub stalled_ms: f64,
    /// Its disk has little room, or none.
    #[serde(default)]
    pub disk_full: bool,
}

/// A hand-over that took place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    pub from: NodeName,
    /// The same where it led already.
    pub to: NodeName,
    pub term: Term,
    /// From the order to the old leader's first word of the new one.
    pub took: Duration,
}

/// Why leadership stayed, or went elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    #[error("this node is not the leader")]
    NotLeader,
    #[error("a hand-over is under way already")]
    Busy,
    #[error("{name} is not a voter of this cluster; the voters are {voters}")]
    NoSuchVoter { name: NodeName, voters: String },
    #[error("no other voter can lead now: {cause}")]
    NoSuccessor { cause: String },
    #[error("{name} cannot lead now: {cause}")]
    Unfit { name: NodeName, cause: String },
    #[error("{asked} did not take over in time; {leader} leads term {term} instead")]
    Another { asked: NodeName, leader: NodeName, term: Term },
    #[error("no other node took over within {} ms; stegcluster status shows who leads", .0.as_millis())]
    TooSlow(Duration),
    #[error("consensus has stopped: {0}")]
    Stopped(String),
}

/// True while leadership is being handed over. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<AtomicBool>);

impl UnderWay {
    /// `None` where it was begun already.
    fn begin(&self) -> Option<Turned> {
        let begun = self.0.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        begun.ok().map(|_| Turned(self.clone()))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Turned(UnderWay);

impl Drop for Turned {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// A voter and what it answered.
type Asked = (Member, Result<Fitness, PeerError>);

impl Consensus {
    /// How fit this node is to lead.
    pub fn fitness(&self) -> Fitness {
        let last_log = position(self.raft.data_metrics().borrow_watched().last_log.as_ref());
        let age = self.writing_since().map(|since| since.elapsed());
        let view = self.view();
        Fitness {
            term: view.term,
            leader: view.leader_member().map(|leader| leader.name.clone()),
            last_log,
            stalled_ms: age.map_or(0.0, clock::millis),
            disk_full: self.disk.room() != Room::Enough,
        }
    }

    /// True while this node hands its leadership over.
    pub fn is_handing_over(&self) -> bool {
        self.handing_over.is_on()
    }

    /// Hands leadership to `to`, or to the fittest voter, and waits until it leads. Where
    /// `to` fails to take over, another fit voter is told to: an error then, but not a
    /// cluster without a leader.
    ///
    /// # Errors
    /// See [`HandOverError`]. After `Another` and `TooSlow` the old leader is none any more.
    ///
    /// # Cancel safety
    /// A hand-over that was ordered takes place even if the wait for it is dropped.
    pub async fn hand_over(
        &self,
        to: Option<&NodeName>,
        links: &Links,
    ) -> Result<HandedOver, HandOverError> {
        let Some(_turned) = self.handing_over.begin() else { return Err(HandOverError::Busy) };
        let view = self.view();
        let from = match view.leader_member() {
            Some(leader) if view.i_lead() => leader.name.clone(),
            _ => return Err(HandOverError::NotLeader),
        };
        if to == Some(&from) {
            let term = view.term;
            return Ok(HandedOver { to: from.clone(), from, term, took: Duration::ZERO });
        }
        let asked = self.ask_voters(&view, links).await;
        if followed(&asked, view.term).is_some() {
            return Err(HandOverError::NotLeader);
        }
        let successors = successors(asked, to, self.fitness().last_log, &view)?;
        let started = clock::now();
        for successor in successors.iter().take(TURNS) {
            tracing::info!(peer = %successor.name, term = view.term.0, "handing leadership over");
            let ordered = self.raft.trigger().transfer_leader(successor.raft_id.0).await;
            ordered.map_err(|fatal| HandOverError::Stopped(fatal.to_string()))?;
            if let Some((leader, term)) = self.next_leader(&view, links, TURN).await {
                return outcome(from, to, leader, term, started.elapsed());
            }
            tracing::warn!(peer = %successor.name, "did not take over in time");
        }
        // Nothing can be taken back; the followers' own timers elect somebody.
        match self.next_leader(&view, links, REST).await {
            Some((leader, term)) => outcome(from, to, leader, term, started.elapsed()),
            None => Err(HandOverError::TooSlow(started.elapsed())),
        }
    }

    /// All voters but this one, asked at the same time. The question also opens the
    /// connections that the order will use.
    async fn ask_voters(&self, view: &LeaderView, links: &Links) -> Vec<Asked> {
        let others = view.voters().filter(|voter| voter.raft_id != self.me);
        let asking = others.map(|voter| async move {
            let link = links.to_member(voter.raft_id, &voter.raft_addr, Lane::Vote);
            (voter.clone(), link.call::<_, Fitness>(FITNESS, &(), ANSWER_MAX).await)
        });
        futures_util::future::join_all(asking).await
    }

    /// The leader of a later term than `before`'s, by this node's own view or by that of the
    /// voters, if there is one in time.
    async fn next_leader(
        &self,
        before: &LeaderView,
        links: &Links,
        within: Duration,
    ) -> Option<(NodeName, Term)> {
        let mut views = self.views();
        let seen = async {
            let next = views.wait_for(|view| view.term > before.term && view.leader.is_some());
            let view = next.await.ok()?;
            view.leader_member().map(|leader| (leader.name.clone(), view.term))
        };
        let told = async {
            loop {
                tokio::time::sleep(ASK_INTERVAL).await;
                let asked = self.ask_voters(before, links).await;
                if let Some(next) = followed(&asked, before.term) {
                    return next;
                }
            }
        };
        tokio::select! {
            seen = seen => seen,
            told = told => Some(told),
            () = tokio::time::sleep(within) => None,
        }
    }
}

/// The leader of a term later than `term` whom some voter follows.
fn followed(asked: &[Asked], term: Term) -> Option<(NodeName, Term)> {
    let said = asked.iter().filter_map(|(_, answer)| answer.as_ref().ok());
    let later = said.filter(|fitness| fitness.term > term);
    later
        .filter_map(|fitness| Some((fitness.leader.clone()?, fitness.term)))
        .max_by_key(|(_, term)| *term)
}

fn outcome(
    from: NodeName,
    asked: Option<&NodeName>,
    to: NodeName,
    term: Term,
    took: Duration,
) -> Result<HandedOver, HandOverError> {
    match asked {
        Some(asked) if *asked != to => {
            Err(HandOverError::Another { asked: asked.clone(), leader: to, term })
        }
        _ => Ok(HandedOver { from, to, term, took }),
    }
}

/// Why this voter should not lead now, if anything.
fn unfit(answer: &Result<Fitness, PeerError>, ours: LogPosition) -> Option<String> {
    match answer {
        Err(error) => Some(error.to_string()),
        Ok(fitness) if fitness.stalled_ms > STALLED_MS_MAX => {
            Some(format!("its disk has not finished a write for {:.0} ms", fitness.stalled_ms))
        }
        Ok(fitness) if fitness.disk_full => Some("its disk is full".to_owned()),
        Ok(fitness) => {
            let behind = ours.index.saturating_sub(fitness.last_log.index);
            (behind > BEHIND_MAX).then(|| {
                format!("its log is {behind} entries behind; try again when it has caught up")
            })
        }
    }
}

/// Whom to tell, best first: `to` where one was named, then the best log, then the lowest
/// number.
fn successors(
    asked: Vec<Asked>,
    to: Option<&NodeName>,
    ours: LogPosition,
    view: &LeaderView,
) -> Result<Vec<Member>, HandOverError> {
    if let Some(name) = to {
        let Some((_, answer)) = asked.iter().find(|(voter, _)| voter.name == *name) else {
            let voters: Vec<&str> = view.voters().map(|voter| voter.name.as_str()).collect();
            let voters = voters.join(", ");
            return Err(HandOverError::NoSuchVoter { name: name.clone(), voters });
        };
        if let Some(cause) = unfit(answer, ours) {
            return Err(HandOverError::Unfit { name: name.clone(), cause });
        }
    }
    let mut fit = Vec::new();
    let mut causes = Vec::new();
    for (voter, answer) in asked {
        match (unfit(&answer, ours), answer) {
            (None, Ok(fitness)) => fit.push((voter, fitness.last_log)),
            (cause, _) => causes.push(format!("{}: {}", voter.name, cause.unwrap_or_default())),
        }
    }
    if fit.is_empty() {
        let cause = if causes.is_empty() {
            "this node is the only one".to_owned()
        } else {
            causes.join("; ")
        };
        return Err(HandOverError::NoSuccessor { cause });
    }
    fit.sort_by_key(|(voter, last_log)| {
        (to != Some(&voter.name), Reverse(*last_log), voter.raft_id)
    });
    Ok(fit.into_iter().map(|(voter, _)| voter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::RaftId;

    fn voter(number: u64) -> Member {
        Member {
            raft_id: RaftId(number),
            name: format!("n{number}").parse().unwrap(),
            http_addr: String::new(),
            raft_addr: String::new(),
            voter: true,
        }
    }

    fn answered(number: u64, index: u64, stalled_ms: f64) -> Asked {
        let last_log = LogPosition { term: 3, index };
        let leader = Some("n1".parse().unwrap());
        (
            voter(number),
            Ok(Fitness { term: Term(3), leader, last_log, stalled_ms, disk_full: false }),
        )
    }

    fn silent(number: u64) -> Asked {
        let peer = format!("n{number}");
        (voter(number), Err(PeerError::Timeout { peer, ms: 300 }))
    }

    fn choose(asked: Vec<Asked>, to: Option<&str>) -> Result<Vec<String>, HandOverError> {
        let to = to.map(|name| name.parse().unwrap());
        let members = asked.iter().map(|(voter, _)| voter.clone()).chain([voter(1)]).collect();
        let view = LeaderView { members, ..LeaderView::default() };
        let ours = LogPosition { term: 3, index: 5000 };
        let chosen = successors(asked, to.as_ref(), ours, &view)?;
        Ok(chosen.iter().map(|member| member.name.to_string()).collect())
    }

    #[test]
    fn the_best_log_goes_first_then_the_lowest_number() {
        let asked = vec![answered(2, 4998, 0.0), answered(4, 5000, 0.0), answered(3, 5000, 3.0)];
        assert_eq!(choose(asked.clone(), None).unwrap(), ["n3", "n4", "n2"]);
        assert_eq!(choose(asked, Some("n2")).unwrap(), ["n2", "n3", "n4"]);
    }

    #[test]
    fn who_is_silent_stalled_or_far_behind_is_passed_over() {
        let mut full = answered(6, 5000, 0.0);
        full.1.as_mut().unwrap().disk_full = true;
        let asked = vec![silent(2), answered(3, 5000, 400.0), answered(4, 3999, 0.0), full];
        let with_one = [asked.clone(), vec![answered(5, 4000, 0.0)]].concat();
        assert_eq!(choose(with_one, None).unwrap(), ["n5"]);
        let error = choose(asked.clone(), None).unwrap_err().to_string();
        for part in [
            "n2: n2 did not answer",
            "n3: its disk",
            "n4: its log is 1001 entries",
            "n6: its disk is full",
        ] {
            assert!(error.contains(part), "{error}");
        }
        for (to, part) in [("n2", "300 ms"), ("n3", "400 ms"), ("n4", "1001 entries behind")] {
            let error = choose(asked.clone(), Some(to)).unwrap_err();
            assert!(matches!(error, HandOverError::Unfit { .. }), "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn who_is_no_voter_is_told_who_is() {
        let error = choose(vec![answered(2, 5000, 0.0)], Some("n9")).unwrap_err();
        assert!(error.to_string().contains("n9 is not a voter"), "{error}");
        assert!(error.to_string().contains("n2, n1"), "{error}");
        let alone = choose(Vec::new(), None).unwrap_err();
        assert!(alone.to_string().contains("the only one"), "{alone}");
    }

    #[test]
    fn a_successor_is_known_by_those_who_follow_it() {
        let mut asked = vec![answered(2, 5000, 0.0), silent(3), answered(4, 5000, 0.0)];
        assert_eq!(followed(&asked, Term(3)), None);
        let Ok(fitness) = &mut asked[2].1 else { panic!("it answered") };
        fitness.term = Term(4);
        fitness.leader = None;
        assert_eq!(followed(&asked, Term(3)), None, "a candidate is no leader");
        let Ok(fitness) = &mut asked[0].1 else { panic!("it answered") };
        (fitness.term, fitness.leader) = (Term(4), Some("n2".parse().unwrap()));
        assert_eq!(followed(&asked, Term(3)), Some(("n2".parse().unwrap(), Term(4))));
    }

    #[test]
    fn only_one_hand_over_is_under_way() {
        let under_way = UnderWay::default();
        let first = under_way.begin().unwrap();
        assert!(under_way.is_on() && under_way.begin().is_none());
        drop(first);
        assert!(!under_way.is_on() && under_way.begin().is_some());
    }

    #[test]
    fn another_leader_than_the_one_asked_for_is_an_error() {
        let name = |name: &str| name.parse::<NodeName>().unwrap();
        let took = Duration::from_millis(7);
        let asked = name("n2");
        let error = outcome(name("n1"), Some(&asked), name("n3"), Term(4), took).unwrap_err();
        assert!(error.to_string().contains("n3 leads term 4"), "{error}");
        assert!(outcome(name("n1"), Some(&asked), asked.clone(), Term(4), took).is_ok());
    }
}
