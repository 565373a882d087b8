//! A report for people.

use crate::cli::output::{ms, table};
use crate::load::BenchReport;
use crate::load::histogram::Percentiles;
use crate::load::report::PartReport;

/// A send delay beyond this, in milliseconds, is no matter of timers any more.
const DELAY_MS: f64 = 5.0;
/// Changes of leader that are listed; more are in the JSON.
const CHANGES_SHOWN: usize = 10;

pub(super) fn render(report: &BenchReport) -> String {
    let mut text = head(report);
    text += &format!(
        "ok {}, failed {} ({:.2} %), unknown {}, retried {}\n",
        report.ok,
        report.failed,
        report.error_rate * 100.0,
        report.unknown,
        report.retried,
    );
    if report.verified + report.mismatched > 0 {
        let (right, wrong) = (report.verified, report.mismatched);
        text += &format!("read back and compared: {right} right, {wrong} wrong\n");
    }
    text += &format!("latency ms: {}\n", percentiles(&report.latency_ms));
    text += &open_loop(report);
    let gap = ms(Some(report.max_gap_ms));
    let elections = report.elections;
    text += &format!("longest gap without a success {gap} ms, elections {elections}\n");
    for change in report.leader_changes.iter().take(CHANGES_SHOWN) {
        let (at, leader, term) = (change.t_s, &change.leader, change.term);
        text += &format!("  {leader} leads from {at:.3} s on (term {term})\n");
    }
    if report.by_mode.len() > 1 {
        text += &format!("\n{}", parts("MODE", &report.by_mode));
    }
    text += &format!("\n{}", parts("NODE", &report.per_node));
    for (failure, times) in &report.failures {
        text += &format!("failed {times} times: {failure}\n");
    }
    text
}

/// What was run, and by which rule latency was counted.
pub(super) fn title(report: &BenchReport) -> String {
    let mode = &report.mode;
    let clients = match report.clients {
        1 => "1 client".to_owned(),
        several => format!("{several} clients"),
    };
    match report.rate_rps {
        Some(rate) => format!("open loop: {mode} at {rate} a second by up to {clients}"),
        None => format!("closed loop: {mode} by {clients}"),
    }
}

fn head(report: &BenchReport) -> String {
    let from = if report.rate_rps.is_some() { "due" } else { "sent" };
    format!(
        "{}; latency from when a request was {from}\n{} requests in {:.1} s, {:.1} a second{}\n",
        title(report),
        report.requests,
        report.duration_s,
        report.throughput_rps,
        if report.interrupted { " (interrupted)" } else { "" },
    )
}

fn percentiles(all: &Percentiles) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
        ms(all.p50),
        ms(all.p90),
        ms(all.p99),
        ms(all.p999),
        ms(all.p9999),
        ms(all.max),
    )
}

fn open_loop(report: &BenchReport) -> String {
    let (Some(service), Some(delay)) = (&report.service_ms, &report.send_delay_ms) else {
        return String::new();
    };
    let mut text = format!("from sending on: {}\n", percentiles(service));
    if delay.p99.is_some_and(|p99| p99 > DELAY_MS) {
        text += &format!(
            "sent late: p99 {} ms, max {} (no client was free, or this machine had no time)\n",
            ms(delay.p99),
            ms(delay.max),
        );
    }
    text
}

fn parts<'a>(head: &str, all: impl IntoIterator<Item = (&'a String, &'a PartReport)>) -> String {
    let row = |(name, part): (&String, &PartReport)| {
        let latency = &part.latency_ms;
        let (ok, failed) = (part.ok.to_string(), part.failed.to_string());
        vec![name.clone(), ok, failed, ms(latency.p50), ms(latency.p99), ms(latency.max)]
    };
    let rows: Vec<Vec<String>> = all.into_iter().map(row).collect();
    table(&[head, "OK", "FAILED", "P50 MS", "P99 MS", "MAX MS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_by_which_rule_latency_was_counted_in_80_columns() {
        let latency_ms =
            Percentiles { p50: Some(1.24), p99: Some(900.0), ..Percentiles::default() };
        let closed =
            BenchReport { mode: "embed".into(), clients: 20, latency_ms, ..Default::default() };
        let text = render(&closed);
        assert!(text.starts_with("closed loop: embed by 20 clients; latency from when"), "{text}");
        assert!(text.contains("was sent\n") && !text.contains("from sending on"), "{text}");
        let open = BenchReport {
            mode: "embed=70,extract=30".into(),
            rate_rps: Some(500.0),
            service_ms: Some(latency_ms),
            send_delay_ms: Some(latency_ms),
            ..closed
        };
        let text = render(&open);
        assert!(text.contains("was due\n") && text.contains("from sending on: p50 1.2"), "{text}");
        assert!(text.contains("sent late: p99 900 ms"), "{text}");
    }
}
