//! One sweep at a time: a lock in the state folder that `sweep` holds, whoever starts it, and every tick of the daemon.
//!
//! The areas' own locks keep each file whole; this one keeps two sweeps from going over the same areas beside each other,
//! each with its own limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::context::Context;
use crate::filesystem::{Lock, LockError, make_folder};

/// The daemon's own lock, which it holds as long as it runs: there is one of them for a state folder.
pub(super) fn of_daemon(state: &Path) -> PathBuf {
    state.join("daemon.lock")
}

/// Takes the sweep's lock for `program`, waiting for at most `wait`; nothing where the state folder cannot be used, in which
/// case no daemon uses it either.
///
/// # Errors
/// Another sweep or tick has it.
pub(super) fn take(context: &Context, program: &str, wait: Option<Duration>) -> Result<Option<Lock>, LockError> {
    let state = &context.dirs.state;
    let policy = crate::filesystem::LockPolicy { wait, ..context.lock(program) };
    let taken = match make_folder(state) {
        Ok(()) => Lock::take(&state.join("sweep.lock"), policy).map_err(|error| match error {
            LockError::Held { .. } => Ok(error),
            LockError::File(_) => Err(error.to_string()),
        }),
        Err(error) => Err(Err(format!("{error:#}"))),
    };
    match taken {
        Ok(lock) => Ok(Some(lock)),
        Err(Ok(held)) => Err(held),
        Err(Err(why)) => {
            log::warn!(
                "nothing keeps another sweep from running beside this one: {}",
                crate::output::escape::Escaped(&why)
            );
            Ok(None)
        }
    }
}
