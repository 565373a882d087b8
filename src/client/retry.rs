//! Which server next, and after what pause. Pure: no clock, no network.

use std::time::Duration;

use super::error::ClientError;
use crate::clock::{self, Instant};

/// First pause between two attempts; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(5);
/// A new leader is there within this, or waiting longer does no harm either.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Pause after `failures` failed attempts in a row (1 or more).
pub(crate) fn pause(failures: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

/// Longest pause that a server is granted which asks for one: it may be wrong, or not ours.
const ASKED_MAX: Duration = Duration::from_secs(30);

/// How long a server is left alone that asked for `asked` (`Retry-After`): up to a quarter
/// longer, so that those who were turned away together do not come together.
pub(crate) fn asked_pause(asked: Duration) -> Duration {
    let asked = asked.min(ASKED_MAX);
    asked + jittered(asked / 4, 0.0)
}

/// A random part of `time`, at least `least` of it (0 to 1).
pub(crate) fn jittered(time: Duration, least: f64) -> Duration {
    // The ids that we make are random enough to spread clients.
    let random = clock::fresh_uuid().as_u128() as u32;
    time.mul_f64(least + (1.0 - least) * f64::from(random) / f64::from(u32::MAX))
}

/// Watches for how long nobody so much as takes the connection.
#[derive(Debug)]
pub(crate) struct Refusing {
    max: Option<Duration>,
    since: Instant,
}

impl Refusing {
    /// `max` of `None`: for as long as it likes.
    pub fn new(max: Option<Duration>, now: Instant) -> Self {
        Self { max, since: now }
    }

    /// True where all attempts of the last `max` ended like this one, without a connection.
    pub fn for_too_long(&mut self, error: &ClientError, now: Instant) -> bool {
        if !matches!(error, ClientError::NotSent { .. }) {
            self.since = now;
            return false;
        }
        self.max.is_some_and(|max| now.saturating_duration_since(self.since) >= max)
    }
}

/// What is known against a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Against {
    /// It did not answer lately: try it after the others, until then.
    pub unreachable_until: Option<Instant>,
    /// It asked to be left alone (`Retry-After`): do not try it until then.
    pub asked_until: Option<Instant>,
    /// For how long a job would wait there, and when it said so.
    pub busy: Option<(Duration, Instant)>,
}

/// For how long a server is taken to be as busy as it said.
const BUSY_FRESH: Duration = Duration::from_secs(1);
/// Added to what each server says, so that a wait of a millisecond is not endlessly more than none.
const BUSY_LEAST: Duration = Duration::from_millis(2);

impl Against {
    /// A reason to go elsewhere; one that said nothing lately has none.
    fn busy(&self, now: Instant) -> Duration {
        let fresh = self.busy.filter(|(_, said)| now.saturating_duration_since(*said) < BUSY_FRESH);
        fresh.map_or(Duration::ZERO, |(wait, _)| wait) + BUSY_LEAST
    }

    fn is_free(&self, now: Instant) -> bool {
        let past = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        past(self.unreachable_until) && past(self.asked_until)
    }
}

/// The less busy one of two servers, mostly: `first`, or one that `random` (0 to 1) draws from the
/// others. Two choices are nearly as good as all (Mitzenmacher, "The Power of Two Choices in
/// Randomized Load Balancing", 2001), and each has its chance in inverse proportion to its wait: were
/// the less busy one certain, all clients would go there together, and nobody would learn that the
/// other is idle by now. `known` is not empty.
pub(crate) fn less_busy(first: usize, known: &[Against], now: Instant, random: f64) -> usize {
    let first = first % known.len();
    if known.len() == 1 || !known[first].is_free(now) {
        return first;
    }
    // One draw for two: which other, and what remains of it whether that one.
    let drawn = random.clamp(0.0, 1.0) * (known.len() - 1) as f64;
    let step = (drawn as usize).min(known.len() - 2);
    let other = (first + 1 + step) % known.len();
    if !known[other].is_free(now) || known[first].busy.is_none() {
        return first;
    }
    let (here, there) = (known[first].busy(now), known[other].busy(now));
    let to_other = here.as_secs_f64() / (here + there).as_secs_f64();
    if drawn - (step as f64) < to_other { other } else { first }
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

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_their_cap() {
        let pauses: Vec<u128> = (1..=7).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 100, 100]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_server_is_left_alone_for_what_it_asked_and_a_little_more() {
        let pauses: Vec<Duration> = (0..100).map(|_| asked_pause(4 * SECOND)).collect();
        assert!(pauses.iter().all(|pause| (4 * SECOND..=5 * SECOND).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        assert!(asked_pause(Duration::from_secs(1 << 40)) < 2 * ASKED_MAX);
    }

    #[test]
    fn only_refusals_without_end_are_given_up_on() {
        let (now, server) = (clock::now(), "http://a:1".to_owned());
        let not_sent = ClientError::NotSent { server: server.clone(), cause: "refused".into() };
        let no_answer = ClientError::NoAnswer { server, cause: "timed out".into() };
        let mut refusing = Refusing::new(Some(5 * SECOND), now);
        let asked = [(&not_sent, 4), (&no_answer, 6), (&not_sent, 8), (&not_sent, 11)];
        let given_up = asked.map(|(error, s)| refusing.for_too_long(error, now + s * SECOND));
        assert_eq!(given_up, [false, false, false, true]);
        assert!(!Refusing::new(None, now).for_too_long(&not_sent, now + 1000 * SECOND));
    }

    #[test]
    fn a_server_with_something_against_it_is_passed_over() {
        let now = clock::now();
        let unreachable = Against { unreachable_until: Some(now + SECOND), ..Against::default() };
        let asked = Against { asked_until: Some(now + SECOND), ..Against::default() };
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

    #[test]
    fn the_less_busy_of_two_servers_is_taken_in_proportion() {
        let now = clock::now();
        let busy = |ms, said| Against {
            busy: Some((Duration::from_millis(ms), said)),
            ..Against::default()
        };
        let share = |known: &[Against], of: usize| {
            let draws = (0..1000).map(|draw| less_busy(0, known, now, f64::from(draw) / 1000.0));
            draws.filter(|server| *server == of).count().div_ceil(10)
        };
        // 38 + 2 ms against 8 + 2: the other four times as often.
        assert_eq!(share(&[busy(38, now), busy(8, now)], 1), 80);
        assert_eq!(share(&[busy(8, now), busy(38, now)], 1), 20);
        let three = [busy(38, now), busy(8, now), busy(38, now)];
        assert_eq!([0, 1, 2].map(|of| share(&three, of)), [35, 40, 25]);
        // What is known is too old, or nothing is.
        assert_eq!(share(&[busy(98, now), busy(8, now)], 0), 9);
        let later = now + BUSY_FRESH;
        let even = less_busy(0, &[busy(98, now), busy(8, now)], later, 0.51);
        assert_eq!((even, less_busy(0, &[busy(98, now), busy(8, now)], later, 0.49)), (0, 1));
        assert_eq!(share(&[Against::default(), busy(8, now)], 0), 100, "round as before");
        // Something worse than being busy is known.
        let gone = Against { unreachable_until: Some(now + SECOND), ..busy(0, now) };
        assert_eq!(share(&[busy(98, now), gone], 0), 100);
        assert_eq!(less_busy(7, &[busy(98, now)], now, 0.9), 0, "there is only one");
    }
}
