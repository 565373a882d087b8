//! Many runs, each with a seed of its own, on as many threads as there are cores.
//!
//! | variable | meaning |
//! |---|---|
//! | `STEGCLUSTER_SIM_SEED` | run this seed only, and print its trace |
//! | `STEGCLUSTER_SIM_RUNS` | how many runs; without it a number that fits a commit |
//! | `STEGCLUSTER_SIM_FROM` | the first seed |
//! | `STEGCLUSTER_SIM_KEEP_GOING` | do not end at the first failure |
//! | `STEGCLUSTER_SIM_MINUTES` | go on with ever new seeds for so long |

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::run::{Options, Outcome, Stats, run};

/// Runs where nothing else is asked for.
const RUNS: u64 = 2000;
/// Between two lines on how far it is.
const PRINTED: u64 = 250;
/// So many runs meet every kind of fault.
const ENOUGH: u64 = 150;
/// Kinds of faults that `schedule` draws.
const KINDS: usize = 21;
/// Lines of a trace that are shown of a failed run.
const SHOWN: usize = 60;
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

#[allow(clippy::disallowed_methods, reason = "real time, of the harness")]
fn real_time() -> std::time::Instant {
    std::time::Instant::now()
}

/// What a failed run leaves behind.
pub fn report(seed: u64, outcome: &Outcome) -> String {
    let from = outcome.trace.len().saturating_sub(SHOWN);
    let lines = outcome.trace[from..].join("\n");
    format!(
        "\nseed {seed} failed:\n  {}\nthe end of its trace:\n{lines}\n\
         replay it with its whole trace:\n  STEGCLUSTER_SIM_SEED={seed} make sim\n",
        outcome.violations.join("\n  ")
    )
}

/// Totals of many runs.
#[derive(Default)]
struct Totals {
    runs: u64,
    stats: Stats,
}

impl Totals {
    fn add(&mut self, stats: &Stats, took: Duration) {
        self.runs += 1;
        if self.runs.is_multiple_of(PRINTED) {
            println!("{} runs in {:.0} s", self.runs, took.as_secs_f64());
        }
        let total = &mut self.stats;
        total.acked += stats.acked;
        total.unknown += stats.unknown;
        total.solos += stats.solos;
        total.acked_alone += stats.acked_alone;
        total.drained += stats.drained;
        total.conflicts += stats.conflicts;
        total.refused_reads += stats.refused_reads;
        total.hermits += stats.hermits;
        total.reads += stats.reads;
        total.elections += stats.elections;
        total.votes += stats.votes;
        total.calm_times += stats.calm_times;
        total.simulated += stats.simulated;
        total.healed_within = total.healed_within.max(stats.healed_within);
        for (kind, times) in &stats.faults {
            *total.faults.entry(kind.clone()).or_default() += times;
        }
    }

    fn print(&self, took: Duration) {
        let Self { runs, stats } = self;
        println!(
            "{runs} runs in {:.1} s ({:.0} a minute), {:.0} s simulated: {} records acknowledged by a \
             quorum, {} unknown, {} linearizable reads, {} elections, {} votes, {} calm times, \
             healed within {:.1} s, faults {:?}; nodes served alone {} times and acknowledged {} \
             records, {} drained, {} of them under another id, {} linearizable reads refused, Raft \
             left alone {} times",
            took.as_secs_f64(),
            *runs as f64 * 60.0 / took.as_secs_f64(),
            stats.simulated.as_secs_f64(),
            stats.acked,
            stats.unknown,
            stats.reads,
            stats.elections,
            stats.votes,
            stats.calm_times,
            stats.healed_within.as_secs_f64(),
            stats.faults,
            stats.solos,
            stats.acked_alone,
            stats.drained,
            stats.conflicts,
            stats.refused_reads,
            stats.hermits,
        );
    }
}

#[test]
fn every_property_holds_whatever_the_seed() {
    if let Some(seed) = number("STEGCLUSTER_SIM_SEED") {
        let outcome = run(seed, Options::default());
        println!("{}", outcome.trace.join("\n"));
        println!("{:?}", outcome.stats);
        assert!(outcome.violations.is_empty(), "{}", report(seed, &outcome));
        return;
    }
    let minutes = number("STEGCLUSTER_SIM_MINUTES");
    let from = number("STEGCLUSTER_SIM_FROM").unwrap_or(1);
    let runs = match minutes {
        Some(_) => u64::MAX - from,
        None => number("STEGCLUSTER_SIM_RUNS").unwrap_or(RUNS),
    };
    let keep_going = std::env::var_os("STEGCLUSTER_SIM_KEEP_GOING").is_some();
    let began = real_time();
    let over = || minutes.is_some_and(|m| began.elapsed() > Duration::from_secs(60 * m));
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let totals = Mutex::new(Totals::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) && !over() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        break;
                    }
                    let seed = from + number;
                    let outcome = run(seed, Options::default());
                    totals.lock().unwrap().add(&outcome.stats, began.elapsed());
                    if !outcome.violations.is_empty() {
                        failed.store(!keep_going, Ordering::Relaxed);
                        println!("seed {seed}: {}", outcome.violations[0]);
                        failures.lock().unwrap().push(report(seed, &outcome));
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    totals.print(began.elapsed());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.concat());
    // Checks that never had anything to check prove nothing.
    let stats = totals.stats;
    assert!(stats.acked > 0 && stats.reads > 0 && stats.votes > 0 && stats.calm_times > 0);
    if totals.runs >= ENOUGH {
        assert!(
            stats.solos > 0 && stats.acked_alone > 0 && stats.drained > 0,
            "nobody served alone"
        );
        assert!(stats.conflicts > 0 && stats.refused_reads > 0 && stats.hermits > 0);
        assert_eq!(stats.faults.len(), KINDS, "not every kind of fault: {:?}", stats.faults);
    }
}
