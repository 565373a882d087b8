//! The gaps of a drill as a picture.

use super::report::{DrillReport, IterationReport};
use crate::plot::{Axis, Colour, Figure, Mark, Panel, Series, Shape, colours};

type Pick = fn(&IterationReport) -> Option<f64>;

/// The client gap and the first commit of every iteration, by fault, on a logarithmic scale: some
/// faults take milliseconds, some take the seconds after which a node serves alone.
pub fn gaps(report: &DrillReport) -> Figure {
    let faults: Vec<&str> = report.summary.by_fault.keys().copied().collect();
    let mut panel = Panel::new(Axis::logarithmic("ms from the fault"));
    let measures: [(&str, Colour, f64, Pick); 2] = [
        ("client gap", colours::BLUE, -0.14, |iteration| iteration.client_gap_ms),
        ("first commit", colours::ORANGE, 0.14, |iteration| iteration.first_commit_ms),
    ];
    for (name, colour, aside, pick) in measures {
        let point = |iteration: &IterationReport| {
            let place = faults.iter().position(|fault| *fault == iteration.fault)?;
            Some((place as f64 + aside, pick(iteration)?))
        };
        let points: Vec<(f64, f64)> = report.iterations.iter().filter_map(point).collect();
        if !points.is_empty() {
            panel.series.push(Series { name: name.into(), colour, shape: Shape::Dots, points });
        }
    }
    if let Some(y) = report.config.plan.targets.client_gap_ms {
        panel.marks.push(Mark::Level { y, label: "target".into(), colour: colours::RED });
    }
    // The longest would not fit beside each other.
    let short = |fault: &&str| match *fault {
        "kill-both-followers" => "kill-both".to_owned(),
        "rolling-restart" => "rolling".to_owned(),
        other => other.to_owned(),
    };
    let names = faults.iter().map(short).collect();
    Figure {
        title: "What each fault cost the clients".into(),
        subtitle: subtitle(report),
        footer: format!("stegcluster {}, seed {}", report.config.version, report.seed),
        x: Axis::of_names("", names),
        panels: vec![panel],
    }
}

fn subtitle(report: &DrillReport) -> String {
    let summary = &report.summary;
    format!(
        "{} faults on {} nodes, {} acknowledged records: {} lost, {} doubled, {}",
        report.iterations.len(),
        report.config.servers.len(),
        summary.acked,
        summary.lost,
        summary.duplicated,
        linearizable(report)
    )
}

/// In a word or two.
pub(super) fn linearizable(report: &DrillReport) -> &'static str {
    match (report.summary.linearizable, report.summary.linearizable_reads) {
        (true, _) => "linearizable",
        (false, 0) => "no reads to check",
        (false, _) => "not linearizable",
    }
}
