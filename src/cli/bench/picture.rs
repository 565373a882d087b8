//! The course of a load as a picture: throughput, latencies, and who led.

use super::text::title;
use crate::cli::output::ms;
use crate::load::BenchReport;
use crate::load::timeline::Second;
use crate::plot::{Axis, Figure, Mark, Panel, Series, Shape, colours};

/// Runs of up to so many seconds are drawn in slices of a tenth of one, if each has enough
/// requests for percentiles.
const FINE_S_MAX: f64 = 30.0;
const FINE_REQUESTS_MIN: f64 = 10.0;
/// With fewer requests in a slice, its 99th percentile is its maximum, and the 90th is drawn.
const P99_REQUESTS_MIN: f64 = 200.0;
/// More rows than this are drawn together: a slide has no more room.
const ROWS_MAX: usize = 600;

/// A row to be drawn, in the middle of its time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    t_s: f64,
    ok_rps: f64,
    failed_rps: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

pub(super) fn figure(report: &BenchReport, slices: &[Second]) -> Figure {
    let rows = rows(report, slices);
    let label = "Seconds since the load began".to_owned();
    // Up, so that a run of almost ten seconds has its ten.
    let to = Some((report.duration_s * 10.0).ceil() / 10.0);
    let x = Axis { label, from: Some(0.0), to, ..Axis::default() };
    Figure {
        title: capitalised(&title(report)),
        subtitle: subtitle(report),
        footer: format!("stegcluster {} bench · {}", report.version, began(report)),
        x,
        panels: vec![throughput(report, &rows), latency(report, &rows)],
    }
}

fn throughput(report: &BenchReport, rows: &[Row]) -> Panel {
    let mut panel = Panel::new(Axis::from_zero("Requests a second"));
    let of = |name: &str, colour, shape, value: fn(&Row) -> f64| Series {
        name: name.into(),
        colour,
        shape,
        points: rows.iter().map(|row| (row.t_s, value(row))).collect(),
    };
    panel.series.push(of("succeeded", colours::BLUE, Shape::Area, |row| row.ok_rps));
    if report.failed > 0 {
        panel.series.push(of("failed", colours::RED, Shape::Area, |row| row.failed_rps));
    }
    if let Some(rate) = report.rate_rps {
        let label = format!("due: {rate} a second");
        panel.marks.push(Mark::Level { y: rate, label, colour: colours::GREY });
    }
    panel.marks.extend(leaders(report, true));
    panel
}

fn latency(report: &BenchReport, rows: &[Row]) -> Panel {
    let rule = if report.rate_rps.is_some() { "due" } else { "sent" };
    let label = format!("Latency in ms, from when a request was {rule}");
    let mut panel = Panel::new(Axis::logarithmic(label));
    panel.height = 1.25;
    let of = |name: &str, colour, value: fn(&Row) -> f64| Series {
        name: name.into(),
        colour,
        shape: Shape::Line,
        points: rows.iter().map(|row| (row.t_s, value(row))).collect(),
    };
    let in_each = report.requests as f64 / rows.len().max(1) as f64;
    let high = if in_each >= P99_REQUESTS_MIN {
        of("p99", colours::RED, |row| row.p99_ms)
    } else {
        of("p90", colours::RED, |row| row.p90_ms)
    };
    panel.series = vec![
        of("max", colours::ORANGE, |row| row.max_ms),
        high,
        of("p50", colours::GREEN, |row| row.p50_ms),
    ];
    panel.marks = leaders(report, false);
    panel
}

/// Changes of leader within the run; with words in one panel only.
fn leaders(report: &BenchReport, worded: bool) -> Vec<Mark> {
    let run = 0.0..=report.duration_s;
    let within = report.leader_changes.iter().filter(|change| run.contains(&change.t_s));
    let mark = |change: &crate::load::report::LeaderChangeReport| {
        let words = format!("{} leads", change.leader);
        let label = if worded { words } else { String::new() };
        Mark::At { x: change.t_s, label, colour: colours::PURPLE }
    };
    within.map(mark).collect()
}

fn subtitle(report: &BenchReport) -> String {
    let latency = &report.latency_ms;
    let mut parts = vec![
        format!("{} requests in {:.1} s", report.requests, report.duration_s),
        format!("{:.0} a second", report.throughput_rps),
        format!("{} failed", report.failed),
        format!(
            "ms: p50 {}, p99 {}, p99.9 {}, max {}",
            ms(latency.p50),
            ms(latency.p99),
            ms(latency.p999),
            ms(latency.max)
        ),
        format!("longest gap {} ms", ms(Some(report.max_gap_ms))),
    ];
    if report.servers.len() > 1 {
        parts.push(format!("{} nodes", report.servers.len()));
    }
    parts.join(" · ")
}

fn began(report: &BenchReport) -> String {
    let since_epoch = std::time::Duration::from_millis(report.begun_unix_ms);
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since_epoch).to_string()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn rows(report: &BenchReport, slices: &[Second]) -> Vec<Row> {
    let each = report.requests as f64 / slices.len().max(1) as f64;
    let fine = report.duration_s <= FINE_S_MAX && each >= FINE_REQUESTS_MIN;
    let (seconds, length_s) = if fine { (slices, 0.1) } else { (&report.timeline[..], 1.0) };
    let row = |second: &Second| {
        // The last may be cut short; a rate of almost nothing would be of almost no time.
        let covered_s = (report.duration_s - second.t_s).min(length_s);
        let or_hole = |value: Option<f64>| value.unwrap_or(f64::NAN);
        (covered_s > length_s / 2.0).then(|| Row {
            t_s: second.t_s + covered_s / 2.0,
            ok_rps: second.ok as f64 / covered_s,
            failed_rps: second.failed as f64 / covered_s,
            p50_ms: or_hole(second.p50_ms),
            p90_ms: or_hole(second.p90_ms),
            p99_ms: or_hole(second.p99_ms),
            max_ms: or_hole(second.max_ms),
        })
    };
    let rows: Vec<Row> = seconds.iter().filter_map(row).collect();
    rows.chunks(rows.len().div_ceil(ROWS_MAX).max(1)).map(together).collect()
}

/// Several rows as one: means of rates and medians, the greatest of what is a worst.
fn together(rows: &[Row]) -> Row {
    let mean = |value: fn(&Row) -> f64| {
        let known: Vec<f64> = rows.iter().map(value).filter(|value| value.is_finite()).collect();
        known.iter().sum::<f64>() / known.len() as f64
    };
    let most = |value: fn(&Row) -> f64| rows.iter().map(value).fold(f64::NAN, f64::max);
    Row {
        t_s: mean(|row| row.t_s),
        ok_rps: mean(|row| row.ok_rps),
        failed_rps: mean(|row| row.failed_rps),
        p50_ms: mean(|row| row.p50_ms),
        p90_ms: most(|row| row.p90_ms),
        p99_ms: most(|row| row.p99_ms),
        max_ms: most(|row| row.max_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::LeaderChangeReport;

    fn seconds(count: usize, length_s: f64, ok: u64) -> Vec<Second> {
        let row = |n: usize| Second {
            t_s: n as f64 * length_s,
            ok,
            p50_ms: Some(2.0),
            p99_ms: Some(n as f64),
            ..Second::default()
        };
        (0..count).map(row).collect()
    }

    fn report(duration_s: f64) -> BenchReport {
        let timeline = seconds(duration_s.ceil() as usize, 1.0, 500);
        let requests = timeline.len() as u64 * 500;
        BenchReport { duration_s, requests, timeline, ..BenchReport::default() }
    }

    #[test]
    fn short_runs_are_drawn_finely_and_long_ones_together() {
        let short = report(3.04);
        let drawn = rows(&short, &seconds(31, 0.1, 50));
        assert_eq!(drawn.len(), 30);
        assert!((drawn[29].ok_rps - 500.0).abs() < 1e-6 && (drawn[0].t_s - 0.05).abs() < 1e-9);
        let slow = BenchReport { requests: 31, ..short };
        assert_eq!(rows(&slow, &seconds(31, 0.1, 1)).len(), 3);
        let long = rows(&report(7200.0), &[]);
        assert_eq!(long.len(), 600);
        assert!((long[1].p99_ms - 23.0).abs() < 1e-9 && (long[1].p50_ms - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_picture_names_the_leaders_and_the_rule() {
        let change = |t_s, leader: &str| LeaderChangeReport { t_s, leader: leader.into(), term: 2 };
        let leader_changes = vec![change(-1.0, "n1"), change(2.5, "n2")];
        let run = BenchReport { leader_changes, rate_rps: Some(500.0), failed: 1, ..report(9.0) };
        let svg = figure(&run, &[]).svg();
        assert!(svg.contains(">n2 leads<") && !svg.contains(">n1 leads<"));
        assert!(svg.contains("was due<") && svg.contains(">due: 500 a second<"));
        assert!(svg.contains(">failed<"));
    }
}
