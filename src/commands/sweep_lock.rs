//! One sweep at a time: a lock in the state folder that `sweep` holds, whoever starts it, and every tick of the daemon.
//!
//! The areas' own locks keep each file whole; this one keeps two sweeps from going over the same areas beside each other,
//! each with its own limits.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::filesystem::{FileError, Lock, LockError, LockPolicy, make_folder};
use crate::output::escape::Escaped;

/// The daemon's own lock, which it holds as long as it runs: there is one of them for a state folder.
pub(super) fn of_daemon(state: &Path) -> PathBuf {
    state.join("daemon.lock")
}

/// Takes the sweep's lock for `program`, waiting for at most `wait`.
///
/// # Errors
/// Another sweep or tick has it, what is in its place is no lock of ours, or the state folder cannot be used.
pub(super) fn take(context: &Context, program: &str, wait: Option<Duration>) -> Result<Lock> {
    let state = &context.dirs.state;
    make_folder(state).map_err(|error| FolderUnusable(format!("{error:#}")))?;
    let path = state.join("sweep.lock");
    match Lock::take(&path, LockPolicy { wait, ..context.lock(program) }) {
        // Nothing is there, and nothing can be made: no lock of anybody. The same where all is read-only.
        Err(LockError::File(error)) if is_read_only(&error) || path.symlink_metadata().is_err() => {
            Err(FolderUnusable(error.to_string()).into())
        }
        taken => Ok(taken?),
    }
}

/// As [`take`], for a run that somebody waits for: where the state folder cannot be used it goes on without, as no other run and
/// no daemon uses it either.
///
/// # Errors
/// Another sweep or tick has it, or what is in its place is no lock of ours.
pub(super) fn take_if_possible(context: &Context, program: &str, wait: Option<Duration>) -> Result<Option<Lock>> {
    match take(context, program, wait) {
        Err(error) if error.is::<FolderUnusable>() => {
            let why = format!("{error:#}");
            log::warn!("nothing keeps another sweep from running beside this one: {}", Escaped(&why));
            Ok(None)
        }
        taken => taken.map(Some),
    }
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct FolderUnusable(String);

fn is_read_only(error: &FileError) -> bool {
    matches!(error, FileError::Io { cause, .. } if cause.kind() == ErrorKind::ReadOnlyFilesystem)
}
