//! `stegcluster capacity`: what a picture can hide, before anything is hidden.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::embed::read;
use super::servers::{ServersArgs, code_of};
use super::{exit, output};
use crate::api::codec::CapacityResponse;

/// Show how much a picture can hide, by each method
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stegcluster capacity
  stegcluster capacity --cover photo.jpg --passphrase")]
pub struct CapacityArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The picture; the node's own if not given
    #[arg(long, value_name = "FILE")]
    cover: Option<PathBuf>,
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
    let (client, _) = args.servers.client(Duration::from_secs(60))?;
    let cover = args.cover.as_deref().map(read).transpose()?;
    let answer = match client.capacity(0, cover.as_deref(), args.passphrase) {
        Ok(answer) => answer.value,
        Err(error) => return Ok(output::fail(code_of(&error), &error)),
    };
    output::print(&if args.json { output::json(&answer)? } else { table(&answer) });
    Ok(ExitCode::from(exit::OK))
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
