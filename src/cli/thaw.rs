//! `_thaw`, hidden: wakes a frozen node. `/admin/fail` starts it, since a stopped
//! process cannot wake itself.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::rt::pause_thread;

/// Wake a stopped process after a while
#[derive(Debug, Args)]
pub struct ThawArgs {
    pid: i32,
    ms: u64,
}

pub fn run(args: &ThawArgs) -> anyhow::Result<ExitCode> {
    let pid = Pid::from_raw(args.pid).context("no process has this id")?;
    pause_thread(Duration::from_millis(args.ms));
    kill_process(pid, Signal::CONT).context("cannot wake the process")?;
    Ok(ExitCode::SUCCESS)
}
