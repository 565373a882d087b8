//! `generate`, hidden: writes the manual and the completions, for packagers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::reference;

/// Write man pages and shell completions below a folder
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Where man/ and completions/ go
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    for (name, bytes) in reference::files()? {
        let file = args.folder.join(name);
        let folder = file.parent().unwrap_or(&args.folder);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, bytes))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
