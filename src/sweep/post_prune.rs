//! The command that is run after a prune, for bridges that read their map again when they are told to.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::children::wait;

/// Runs `command` in a shell with `report` on its stdin, for `limit` at most. What it prints goes to our stderr: stdout
/// is for our own report.
///
/// # Errors
/// It cannot be started, fails, or takes too long; then it is ended, with all that it started in its group.
pub(crate) fn run(command: &str, report: &[u8], limit: Duration) -> Result<()> {
    let child = Command::new("sh")
        .args(["-c", command])
        .stdin(in_memory(report).context("the report cannot be handed over")?)
        .stdout(std::io::stderr().as_fd().try_clone_to_owned()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{command}` cannot be started"))?;
    match wait(child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{command}` ended with {status}"),
        None => bail!("`{command}` was ended: it took longer than {limit:?} (map.post_prune_limit)"),
    }
}

/// The bytes as a file without a name: however little of it the command reads, nobody waits.
fn in_memory(bytes: &[u8]) -> std::io::Result<Stdio> {
    let mut file = File::from(memfd_create("report", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
