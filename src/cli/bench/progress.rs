//! How a load is going, on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output;
use crate::client::Stop;
use crate::load::meter::Live;
use crate::load::{LoadPlan, Meter};

/// Often enough to look alive.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line on standard error; indicatif hides it where that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    end: End,
}

/// What ends the load, and the bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Requests(u64),
    Time(Duration),
}

impl Progress {
    pub fn new(plan: &LoadPlan) -> Self {
        let all = |requests: u64| requests.saturating_mul(plan.clients as u64);
        let end = match (plan.requests.map(all), plan.duration) {
            (Some(requests), None) => End::Requests(requests),
            (_, duration) => End::Time(duration.unwrap_or_default()),
        };
        let bar = ProgressBar::new(match end {
            End::Requests(requests) => requests,
            End::Time(time) => time.as_millis() as u64,
        });
        // The default style stays where the template should be refused.
        let template = "{wide_bar} {percent:>3} %  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, end }
    }

    /// Follows `meter` until stopped, and takes the line away. To be run on its own thread.
    pub fn show(&self, meter: &Meter, stop: &Stop) {
        if self.bar.is_hidden() {
            return;
        }
        loop {
            let live = meter.live();
            self.bar.set_message(message(&live, self.end));
            self.bar.set_position(match self.end {
                End::Requests(_) => live.ok + live.failed,
                End::Time(_) => live.elapsed.as_millis() as u64,
            });
            if stop.wait(INTERVAL) {
                self.bar.finish_and_clear();
                return;
            }
        }
    }
}

fn message(live: &Live, end: End) -> String {
    if live.elapsed.is_zero() {
        return "warming up".to_owned();
    }
    let failed = live.failed;
    let so_far = match &live.last {
        None => format!("{} done, {failed} failed", live.ok),
        Some(second) => {
            let (p50, p99) = (output::ms(second.p50_ms), output::ms(second.p99_ms));
            format!("{}/s, p50 {p50} ms, p99 {p99} ms, {failed} failed", second.ok)
        }
    };
    match left(live, end) {
        Some(left) => format!("{so_far}, {} s left", left.as_secs_f64().ceil()),
        None => so_far,
    }
}

/// At the mean rate so far, where requests end the load.
fn left(live: &Live, end: End) -> Option<Duration> {
    match end {
        End::Time(time) => Some(time.saturating_sub(live.elapsed)),
        End::Requests(requests) => {
            let done = live.ok + live.failed;
            let each_s = live.elapsed.as_secs_f64() / done as f64;
            let left_s = requests.saturating_sub(done) as f64 * each_s;
            Duration::try_from_secs_f64(left_s).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::timeline::Second;

    #[test]
    fn the_message_leaves_room_for_a_bar_in_80_columns() {
        let last =
            Second { ok: 12_345, p50_ms: Some(123.4), p99_ms: Some(12_345.6), ..Second::default() };
        let elapsed = Duration::from_secs(3);
        let live = Live { ok: 99_999, failed: 1234, last: Some(last), elapsed };
        let end = End::Time(Duration::from_millis(63_400));
        let text = message(&live, end);
        assert_eq!(text, "12345/s, p50 123 ms, p99 12346 ms, 1234 failed, 61 s left");
        assert!(text.len() <= 62);
        let first = Live { last: None, ..live };
        assert_eq!(message(&first, end), "99999 done, 1234 failed, 61 s left");
        assert_eq!(message(&Live::default(), end), "warming up");
        // Three seconds for 101,233: six more for twice as many.
        assert_eq!(left(&first, End::Requests(303_699)), Some(Duration::from_secs(6)));
        let nothing = Live { ok: 0, failed: 0, ..first };
        assert_eq!(left(&nothing, End::Requests(9)), None);
    }
}
