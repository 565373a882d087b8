//! The way from a fault to a new leader, stage by stage, as the survivors' events tell it.

use serde::Serialize;

use crate::client::events::Seen;
use crate::clock::{Instant, millis};
use crate::observe::events::Change;

/// Milliseconds from the fault on, each when its event arrived here; `None` where none did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stages {
    /// A survivor's first piece of evidence against the old leader.
    pub suspected_ms: Option<f64>,
    /// The evidence of the later winner was complete.
    pub condemned_ms: Option<f64>,
    /// A quorum agreed, and the winner began to campaign.
    pub agreed_ms: Option<f64>,
    /// The winner found itself the leader.
    pub won_ms: Option<f64>,
}

impl Stages {
    /// Of the events `seen` since the fault at `fault`, in order of arrival.
    pub(super) fn of(seen: &[Seen], fault: Instant, old: &str, winner: Option<&str>) -> Self {
        let since = |seen: &Seen| millis(seen.at.saturating_duration_since(fault));
        let is_winner = |seen: &&Seen| Some(seen.event.reporter.as_str()) == winner;
        let suspects = |seen: &&Seen| matches!(&seen.event.change, Change::Suspected { leader, .. } if leader.as_str() == old);
        let campaigns = |seen: &Seen| matches!(seen.event.change, Change::Campaigning { .. });
        let wins = |seen: &&Seen| {
            let Change::LeaderChanged { leader } = &seen.event.change else { return false };
            leader.as_ref() == Some(&seen.event.reporter)
        };
        let before = seen.iter().filter(is_winner).take_while(|seen| !campaigns(seen));
        let own = seen.iter().filter(is_winner);
        Self {
            suspected_ms: seen.iter().find(suspects).map(since),
            condemned_ms: before.filter(suspects).last().map(since),
            agreed_ms: own.clone().find(|seen| campaigns(seen)).map(since),
            won_ms: own.clone().find(wins).map(since),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::ident::Term;
    use crate::observe::events::Event;

    fn seen(fault: Instant, ms: u64, reporter: &str, change: Change) -> Seen {
        let reporter = reporter.parse().unwrap();
        let event = Event { time_ms: 0, reporter, term: Term(3), change };
        Seen { server: 0, at: fault + Duration::from_millis(ms), event }
    }

    fn suspected(attempt: u32) -> Change {
        Change::Suspected { leader: "n1".parse().unwrap(), cause: "refused".into(), attempt }
    }

    #[test]
    fn each_stage_is_the_winners_but_the_first_suspicion_is_anybodys() {
        let fault = clock::now();
        let campaigning = Change::Campaigning { node: "n2".parse().unwrap() };
        let leads = |name: &str| Change::LeaderChanged { leader: name.parse().ok() };
        let events = [
            seen(fault, 1, "n3", suspected(1)),
            seen(fault, 2, "n2", suspected(1)),
            seen(fault, 4, "n2", suspected(3)),
            seen(fault, 5, "n3", suspected(3)),
            seen(fault, 6, "n2", campaigning),
            seen(fault, 7, "n2", Change::LeaderChanged { leader: None }),
            seen(fault, 8, "n3", leads("n2")),
            seen(fault, 9, "n2", leads("n2")),
            seen(fault, 12, "n2", suspected(1)),
        ];
        let stages = Stages::of(&events, fault, "n1", Some("n2"));
        let expected = [Some(1.0), Some(4.0), Some(6.0), Some(9.0)];
        let Stages { suspected_ms, condemned_ms, agreed_ms, won_ms } = stages;
        assert_eq!([suspected_ms, condemned_ms, agreed_ms, won_ms], expected);
        assert_eq!(Stages::of(&[], fault, "n1", None), Stages::default());
    }
}
