//! What is kept of a drill that found a violation, or was not got over: the history of every
//! operation, every node's ledger, the report with its seed, and the nodes' logs.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Drilled, Ground};
use crate::clock;

/// Makes a folder in `parent` and writes everything there. Own nodes' folder, with their logs and
/// their data, is left where it is; a file says where.
///
/// # Errors
/// The folder cannot be written.
pub fn keep(parent: &Path, drilled: &Drilled, ground: &mut Ground) -> io::Result<PathBuf> {
    let name = format!("stegcluster-drill-{}-{}", drilled.report.seed, clock::unix_ms());
    let folder = parent.join(name);
    std::fs::create_dir_all(&folder)?;
    lines(&folder.join("history.jsonl"), drilled.operations.iter())?;
    for (number, listing) in drilled.listings.iter().enumerate() {
        let entries = listing.entries.iter().map(|(id, digest)| Entry { id, digest });
        lines(&folder.join(format!("ledger-{}.jsonl", number + 1)), entries)?;
    }
    let report = serde_json::to_vec_pretty(&drilled.report)?;
    std::fs::write(folder.join("report.json"), report)?;
    std::fs::write(folder.join("verdict.txt"), verdict(drilled))?;
    if let Ground::Local(fleet) = ground {
        fleet.keep_folder();
        for number in 0..fleet.len() {
            let log = format!("{}.log", fleet.name(number));
            std::fs::copy(fleet.folder().join(&log), folder.join(&log))?;
        }
        let nodes = format!("{}\n", fleet.folder().display());
        std::fs::write(folder.join("nodes-folder.txt"), nodes)?;
    }
    Ok(folder)
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a crate::ident::RecordId,
    digest: &'a crate::record::Digest,
}

fn lines<T: Serialize>(file: &Path, values: impl Iterator<Item = T>) -> io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    for value in values {
        serde_json::to_writer(&mut out, &value)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn verdict(drilled: &Drilled) -> String {
    let summary = &drilled.report.summary;
    let mut text = format!("seed {}\n", drilled.report.seed);
    for sentence in summary.examples.iter().chain(&summary.unfinished) {
        text += sentence;
        text.push('\n');
    }
    text
}
