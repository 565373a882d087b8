//! `stegcluster capacity`: what a picture can hide, before anything is hidden.

use std::path::PathBuf;
use std::process::ExitCode;

use super::files::{expand, read};
use super::worker::{WorkerArgs, complain};
use super::{exit, output};
use crate::api::codec::CapacityResponse;

/// Show how much a picture can hide, by each method
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster capacity
  stegcluster capacity --cover photo.jpg --passphrase
  stegcluster capacity --offline --cover '*.jpg'")]
pub struct CapacityArgs {
    #[command(flatten)]
    worker: WorkerArgs,
    /// The picture; the node's own if not given. `-` is standard input, patterns such as '*.jpg'
    /// are looked up
    #[arg(long, value_name = "FILE", num_args = 1..)]
    cover: Vec<PathBuf>,
    /// For a secret with a passphrase
    #[arg(long)]
    passphrase: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Asks, and prints what there is room for.
///
/// # Errors
/// The picture could not be read, or Ctrl-C not be caught.
pub fn run(args: CapacityArgs) -> anyhow::Result<ExitCode> {
    let worker = args.worker.worker()?;
    let covers = expand(&args.cover)?;
    // None given: the node's own.
    let covers: Vec<Option<&PathBuf>> =
        if covers.is_empty() { vec![None] } else { covers.iter().map(Some).collect() };
    let mut code = exit::OK;
    for cover in &covers {
        let bytes = cover.map(|cover| read(cover)).transpose()?;
        let name = cover.map_or("the node's own cover".into(), |cover| cover.display().to_string());
        match worker.capacity(bytes.as_deref(), args.passphrase) {
            Ok(answer) if args.json => output::print(&output::json(&answer)?),
            Ok(answer) => {
                if covers.len() > 1 {
                    output::print(&format!("{name}: "));
                }
                output::print(&table(&answer));
            }
            Err(error) => code = complain(&name, &error),
        }
    }
    Ok(ExitCode::from(code))
}

fn table(answer: &CapacityResponse) -> String {
    let cover = &answer.cover;
    let colours = if cover.channels == 1 { "grey" } else { "colour" };
    let mut text = format!("{} x {} pixels, {colours}\n", cover.width, cover.height);
    text.push_str("METHOD    BITS  BYTES\n");
    for held in &answer.methods {
        let method = held.method.to_string();
        text.push_str(&format!("{method:<8}  {:>4}  {}\n", held.bits, held.capacity_bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::codec::{CoverInfo, MethodCapacity};
    use crate::record::Method;

    #[test]
    fn the_table_lists_each_method() {
        let cover = CoverInfo {
            width: 40,
            height: 30,
            channels: 3,
            lsb_per_channel: 1,
            capacity_bytes: 386,
        };
        let held = |method, bits, capacity_bytes| MethodCapacity { method, bits, capacity_bytes };
        let methods = vec![held(Method::Adaptive, 1, 120), held(Method::Lsb, 2, 800)];
        let answer = CapacityResponse { cover, method: Method::Lsb, encrypted: false, methods };
        assert_eq!(
            table(&answer),
            "40 x 30 pixels, colour\n\
             METHOD    BITS  BYTES\n\
             adaptive     1  120\n\
             lsb          2  800\n"
        );
    }
}
