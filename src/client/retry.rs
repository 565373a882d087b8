//! Which server next, and after what pause. Pure: no clock, no network.

use std::time::Duration;

use crate::clock::Instant;

/// First pause between two attempts; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// A new leader is there within this, or waiting longer does no harm either.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Pause after `failures` failed attempts in a row (1 or more).
pub(crate) fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

/// What is known against a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Against {
    /// It did not answer lately: try it after the others, until then.
    pub unreachable_until: Option<Instant>,
    /// It asked to be left alone (`Retry-After`): do not try it until then.
    pub asked_until: Option<Instant>,
}

/// The server to ask next, and how long to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub server: usize,
    pub wait: Duration,
}

/// Goes round from `first`, past servers that something is known against, while there is a
/// better one. `known` is not empty.
pub(crate) fn choose(first: usize, known: &[Against], now: Instant) -> Choice {
    let order = || (0..known.len()).map(|step| (first + step) % known.len());
    let past = |until: Option<Instant>| until.is_none_or(|until| until <= now);
    let willing = |server: &usize| past(known[*server].asked_until);
    let reachable = |server: &usize| past(known[*server].unreachable_until);
    let ready = order().filter(willing).find(reachable).or_else(|| order().find(willing));
    if let Some(server) = ready {
        return Choice { server, wait: Duration::ZERO };
    }
    let soonest = order().min_by_key(|server| known[*server].asked_until);
    let server = soonest.unwrap_or(first % known.len().max(1));
    let until = known.get(server).and_then(|against| against.asked_until).unwrap_or(now);
    Choice { server, wait: until.saturating_duration_since(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_their_cap() {
        let pauses: Vec<u128> = (1..=7).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 100, 100]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_server_with_something_against_it_is_passed_over() {
        let now = clock::now();
        let unreachable = Against { unreachable_until: Some(now + SECOND), asked_until: None };
        let asked = Against { unreachable_until: None, asked_until: Some(now + SECOND) };
        let asked_longer = Against { asked_until: Some(now + 2 * SECOND), ..asked };
        let fine = Against::default();
        let at_once = |server| Choice { server, wait: Duration::ZERO };

        assert_eq!(choose(4, &[fine; 3], now), at_once(1));
        assert_eq!(choose(0, &[unreachable, asked, fine], now), at_once(2));
        assert_eq!(choose(0, &[unreachable, fine, fine], now + SECOND), at_once(0));
        // None is good: an unreachable one may be back, so it is asked without delay.
        assert_eq!(choose(1, &[unreachable, asked, asked], now), at_once(0));
        assert_eq!(choose(1, &[unreachable; 3], now), at_once(1));
        let soonest = Choice { server: 1, wait: SECOND };
        assert_eq!(choose(0, &[asked_longer, asked, asked_longer], now), soonest);
    }
}
