//! Targets in words: `client_gap_ms.p99<250,failed<0.1%`.
//!
//! A target is a measure of the report's summary, a sign and a limit. Times have a statistic after
//! a dot, `p50`, `p99` or `max` (which is meant where there is none), and their limit is in
//! milliseconds, or in seconds with an `s`. Counts may be limited by a share of all writes, with
//! a `%`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::report::{Spread, Summary, Times};
use super::words::did_you_mean;
use crate::clock::millis;

type PickTime = fn(&Times) -> &Spread;
type PickCount = fn(&Summary) -> u64;

const TIMES: [(&str, PickTime); 8] = [
    ("detect_ms", |times| &times.detect_ms),
    ("elect_ms", |times| &times.elect_ms),
    ("first_commit_ms", |times| &times.first_commit_ms),
    ("first_answer_ms", |times| &times.first_answer_ms),
    ("client_gap_ms", |times| &times.client_gap_ms),
    ("rejoin_ms", |times| &times.rejoin_ms),
    ("caught_up_ms", |times| &times.caught_up_ms),
    ("view_ms", |times| &times.view_ms),
];
const COUNTS: [(&str, PickCount); 8] = [
    ("ok", |summary| summary.ok),
    ("failed", |summary| summary.failed),
    ("unknown", |summary| summary.unknown),
    ("retried", |summary| summary.retried),
    ("acked", |summary| summary.acked),
    ("lost", |summary| summary.lost),
    ("duplicated", |summary| summary.duplicated),
    ("spurious_elections", |summary| summary.spurious_elections),
];
const STATS: [&str; 3] = ["p50", "p99", "max"];
/// Longer signs first: `<=` begins with `<`.
const SIGNS: [(&str, Sign); 4] =
    [("<=", Sign::AtMost), (">=", Sign::AtLeast), ("<", Sign::Below), (">", Sign::Above)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Sign {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
        }
    }
}

#[derive(Clone, Copy)]
enum Measure {
    /// With the statistic's place in [`STATS`].
    Time(PickTime, usize),
    Count(PickCount),
    /// Of all writes, in percent.
    Share(PickCount),
}

/// One target.
#[derive(Clone)]
pub struct Slo {
    text: String,
    measure: Measure,
    sign: Sign,
    limit: f64,
}

/// What is wrong with a target, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target:?}: {problem}")]
pub struct SloError {
    target: String,
    problem: String,
}

impl Slo {
    /// Reads targets with commas between.
    ///
    /// # Errors
    /// Names the first target that makes no sense.
    pub fn list(text: &str) -> Result<Vec<Self>, SloError> {
        let targets = text.split(',').map(str::trim).filter(|target| !target.is_empty());
        let targets: Vec<Self> = targets.map(str::parse).collect::<Result<_, _>>()?;
        if targets.is_empty() {
            return Err(wrong(text, "no target; for example client_gap_ms.p99<250"));
        }
        Ok(targets)
    }

    /// A sentence, where `summary` misses the target.
    pub(super) fn missed(&self, summary: &Summary) -> Option<String> {
        let (value, unit) = match self.measure {
            Measure::Time(pick, stat) => {
                let spread = pick(&summary.times);
                ([spread.p50, spread.p99, spread.max][stat], " ms")
            }
            Measure::Count(pick) => (Some(pick(summary) as f64), ""),
            Measure::Share(pick) => {
                let writes = summary.ok + summary.failed + summary.unknown;
                let share = |all: u64| pick(summary) as f64 * 100.0 / all as f64;
                ((writes > 0).then(|| share(writes)), "%")
            }
        };
        match value {
            None => Some(format!("{}: it was not measured", self.text)),
            Some(value) if self.sign.holds(value, self.limit) => None,
            Some(value) => Some(format!("{}: it was {}{unit}", self.text, plain(value))),
        }
    }
}

/// As many digits as matter, and no zeros behind.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn wrong(target: &str, problem: impl Into<String>) -> SloError {
    SloError { target: target.to_owned(), problem: problem.into() }
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let split = |(word, sign): &(&str, Sign)| {
            text.split_once(word).map(|(name, limit)| (name.trim(), *sign, limit.trim()))
        };
        let Some((name, sign, limit)) = SIGNS.iter().find_map(split) else {
            return Err(wrong(text, "a target has one of <, <=, > and >= in it"));
        };
        let (base, stat) = match name.split_once('.') {
            Some((base, stat)) => (base, Some(stat)),
            None => (name, None),
        };
        let time = TIMES.iter().find(|(known, _)| *known == base);
        let count = COUNTS.iter().find(|(known, _)| *known == base);
        let (measure, limit) = match (time, count) {
            (Some((_, pick)), _) => {
                let stat = stat.unwrap_or("max");
                let Some(place) = STATS.iter().position(|known| *known == stat) else {
                    let problem = format!("no statistic {stat:?}{}", did_you_mean(stat, &STATS));
                    return Err(wrong(text, problem));
                };
                (Measure::Time(*pick, place), milliseconds(text, limit)?)
            }
            (None, Some(_)) if stat.is_some() => {
                return Err(wrong(text, format!("{base} is a count and has no statistic")));
            }
            (None, Some((_, pick))) => match limit.strip_suffix('%') {
                Some(share) => (Measure::Share(*pick), number(text, share)?),
                None => (Measure::Count(*pick), number(text, limit)?),
            },
            (None, None) => return Err(unknown(text, base)),
        };
        Ok(Self { text: text.to_owned(), measure, sign, limit })
    }
}

fn unknown(text: &str, name: &str) -> SloError {
    let times = TIMES.iter().map(|(known, _)| *known);
    let known: Vec<&str> = times.chain(COUNTS.iter().map(|(known, _)| *known)).collect();
    wrong(text, format!("no measure {name:?}{}", did_you_mean(name, &known)))
}

fn milliseconds(target: &str, limit: &str) -> Result<f64, SloError> {
    if limit.ends_with('%') {
        return Err(wrong(target, "a time is limited in ms or s, not in %"));
    }
    match (limit.strip_suffix("ms"), limit.strip_suffix('s')) {
        (Some(ms), _) => number(target, ms),
        (None, Some(seconds)) => {
            let seconds = number(target, seconds)?;
            let time = std::time::Duration::try_from_secs_f64(seconds);
            time.map(millis).map_err(|_| wrong(target, format!("no time: {limit}")))
        }
        (None, None) => number(target, limit),
    }
}

fn number(target: &str, text: &str) -> Result<f64, SloError> {
    let number: Option<f64> = text.trim().parse().ok();
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| wrong(target, format!("{text:?} is no limit: a number, 0 or greater")))
}

impl fmt::Debug for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slo").field(&self.text).finish()
    }
}

impl PartialEq for Slo {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Slo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let spread = Spread { p50: Some(12.0), p99: Some(240.0), max: Some(1250.5) };
        let times = Times { client_gap_ms: spread, ..Times::default() };
        Summary { times, ok: 1990, failed: 2, unknown: 8, ..Summary::default() }
    }

    fn missed(text: &str) -> Vec<String> {
        let targets = Slo::list(text).unwrap();
        targets.iter().filter_map(|target| target.missed(&summary())).collect()
    }

    #[test]
    fn targets_that_are_met_say_nothing() {
        let met = "client_gap_ms.p99<250, client_gap_ms.p50<=12,client_gap_ms<1.5s,failed<0.2%,\
                   lost<=0,ok>1000,ok>=1990,unknown<9,client_gap_ms.p99<240.5ms";
        assert_eq!(missed(met), Vec::<String>::new());
    }

    #[test]
    fn targets_that_are_missed_say_by_what() {
        let text = "client_gap_ms.p99<240,client_gap_ms<=1s,failed<0.1%,ok>5000,view_ms<9";
        assert_eq!(
            missed(text),
            [
                "client_gap_ms.p99<240: it was 240 ms",
                "client_gap_ms<=1s: it was 1250.5 ms",
                "failed<0.1%: it was 0.1%",
                "ok>5000: it was 1990",
                "view_ms<9: it was not measured",
            ]
        );
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (text, part) in [
            ("client_gap.p99<250", "did you mean \"client_gap_ms\"?"),
            ("faild<1", "did you mean \"failed\"?"),
            ("client_gap_ms.p98<250", "no statistic \"p98\"; did you mean \"p99\"?"),
            ("failed.p99<1", "is a count and has no statistic"),
            ("client_gap_ms=5", "one of <, <=, > and >="),
            ("client_gap_ms<5%", "not in %"),
            ("client_gap_ms<soon", "\"soon\" is no limit"),
            ("failed<-1", "0 or greater"),
            ("", "no target"),
        ] {
            let error = Slo::list(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
