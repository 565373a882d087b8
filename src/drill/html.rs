//! The report as one page that needs no other file: to attach to a ticket.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::picture;
use super::report::{DrillReport, IterationReport, Spread};
use crate::clock;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#22262b;max-width:72rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid #e3e6e9;white-space:nowrap}\
th:first-child,td:first-child,.left{text-align:left}th{color:#6b727b;font-weight:600}\
.verdict{padding:.8rem 1rem;border-radius:.4rem;margin:1rem 0;font-weight:600}\
.good{background:#e2f4ee;color:#00593f}.bad{background:#fbe6dc;color:#8a2f00}\
.facts{display:flex;flex-wrap:wrap;gap:1.5rem;margin:1rem 0}.facts div{min-width:6rem}\
.facts b{display:block;font-size:1.4rem;font-variant-numeric:tabular-nums}.facts span{color:#6b727b}\
details{border-bottom:1px solid #e3e6e9;padding:.35rem 0}summary{cursor:pointer}\
ol{margin:.5rem 0;padding-left:1.2rem;list-style:none}ol li{display:flex;gap:.8rem}\
ol b{min-width:6rem;text-align:right;font-weight:600;font-variant-numeric:tabular-nums}\
pre{background:#f5f6f7;padding:.8rem;overflow:auto;font-size:13px}svg{max-width:100%;height:auto}\
.scroll{overflow-x:auto}footer{color:#6b727b;margin-top:2rem}\
@media(prefers-color-scheme:dark){body{background:#16181b;color:#e3e6e9}\
th,td,details{border-color:#33383e}pre{background:#22262b}svg{background:#fff}}";

/// A whole page.
pub fn page(report: &DrillReport) -> String {
    let mut page = String::new();
    let title = format!("Failover drill of {} nodes", report.config.servers.len());
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    verdict(&mut page, report);
    facts(&mut page, report);
    let _ = write!(page, "<h2>Gaps</h2>\n{}\n", picture::gaps(report).svg());
    by_fault(&mut page, report);
    iterations(&mut page, report);
    let config = serde_json::to_string_pretty(&report.config).unwrap_or_default();
    let _ = write!(
        page,
        "<h2>Set-up</h2>\n<details><summary>Everything that was asked for; seed {}</summary>\
         <pre>{}</pre></details>\n<footer>stegcluster {}, {}</footer>\n</body></html>\n",
        report.seed,
        escaped(&config),
        report.config.version,
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(clock::unix_ms()))
    );
    page
}

fn verdict(page: &mut String, report: &DrillReport) {
    let summary = &report.summary;
    let (class, words) = if !report.is_sound() {
        ("bad", "A record was lost, doubled or read stale, or two nodes led one term.")
    } else if !report.met_targets() {
        ("bad", "Nothing was lost, but a target was missed.")
    } else if summary.interrupted {
        ("good", "Interrupted; nothing was lost, nothing was doubled until then.")
    } else {
        ("good", "Nothing was lost, nothing was doubled.")
    };
    let _ = writeln!(page, "<p class=\"verdict {class}\">{words}</p>");
    let told: Vec<&String> =
        summary.examples.iter().chain(&summary.missed).chain(&summary.unfinished).collect();
    if !told.is_empty() {
        page.push_str("<ul>\n");
        for sentence in told {
            let _ = writeln!(page, "<li>{}</li>", escaped(sentence));
        }
        page.push_str("</ul>\n");
    }
}

fn facts(page: &mut String, report: &DrillReport) {
    let summary = &report.summary;
    let gap = summary.times.client_gap_ms;
    let operations = format!("operations: {}", picture::linearizable(report));
    let facts = [
        (summary.acked.to_string(), "records acknowledged"),
        (summary.lost.to_string(), "lost"),
        (summary.duplicated.to_string(), "doubled"),
        (summary.linearizable_checked.to_string(), operations.as_str()),
        (summary.terms_conflicting.to_string(), "terms with two leaders"),
        (summary.spurious_elections.to_string(), "spurious elections"),
        (format!("{} of {}", summary.failed + summary.unknown, requests(report)), "writes failed"),
        (format!("{} ms", ms(gap.p50)), "client gap, median"),
        (format!("{} ms", ms(gap.max)), "client gap, longest"),
    ];
    page.push_str("<div class=\"facts\">");
    for (value, what) in facts {
        let _ = write!(page, "<div><b>{value}</b><span>{what}</span></div>");
    }
    page.push_str("</div>\n");
}

fn requests(report: &DrillReport) -> u64 {
    report.summary.ok + report.summary.failed + report.summary.unknown
}

fn by_fault(page: &mut String, report: &DrillReport) {
    page.push_str(
        "<h2>By fault</h2>\n<p>Median and longest, in ms from the fault.</p>\
         <div class=\"scroll\"><table>\n<tr><th>fault</th><th>times</th><th>detected</th>\
         <th>elected</th><th>first commit</th><th>first answer</th><th>client gap</th>\
         <th>caught up</th></tr>\n",
    );
    let pair = |spread: &Spread| match spread.p50 {
        None => "-".to_owned(),
        Some(_) => format!("{} / {}", ms(spread.p50), ms(spread.max)),
    };
    for (fault, of) in &report.summary.by_fault {
        let times = &of.times;
        let _ = write!(page, "<tr><td>{fault}</td><td>{}</td>", of.iterations);
        for spread in [
            &times.detect_ms,
            &times.elect_ms,
            &times.first_commit_ms,
            &times.first_answer_ms,
            &times.client_gap_ms,
            &times.caught_up_ms,
        ] {
            let _ = write!(page, "<td>{}</td>", pair(spread));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn iterations(page: &mut String, report: &DrillReport) {
    page.push_str("<h2>What happened</h2>\n");
    for (number, iteration) in report.iterations.iter().enumerate() {
        one(page, number + 1, iteration);
    }
}

fn one(page: &mut String, number: usize, iteration: &IterationReport) {
    let IterationReport { fault, old_leader, new_leader, term, .. } = iteration;
    let leads = match new_leader {
        Some(new) if new == old_leader => format!("{} leads on", escaped(new)),
        Some(new) => format!("{} to {}", escaped(old_leader), escaped(new)),
        None => format!("{} to nobody", escaped(old_leader)),
    };
    let _ = write!(
        page,
        "<details><summary>{number}. {fault}: {leads}, term {term}; client gap {} ms; \
         {} ok, {} failed, {} unknown</summary><ol>",
        ms(iteration.client_gap_ms),
        iteration.ok,
        iteration.failed,
        iteration.unknown
    );
    for moment in &iteration.timeline {
        let at = ms(Some(moment.t_ms));
        let _ = write!(page, "<li><b>{at} ms</b> {}</li>", escaped(&moment.what));
    }
    page.push_str("</ol></details>\n");
}

fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_the_page() {
        assert_eq!(escaped("<n1> & \"n2\""), "&lt;n1&gt; &amp; &quot;n2&quot;");
    }
}
