//! What writing can end with.
//!
//! The system's own words stand in each message; the field is no `source`, or they would stand there twice.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file of our own could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// What is at the path is not what we would have made.
    #[error("{} is not touched: {why}; move it away and try again", path.display())]
    Refused { path: PathBuf, why: &'static str },
    /// A system call failed.
    #[error("cannot {action} {}: {cause}{}", path.display(), advice(cause))]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
}

impl FileError {
    /// A function that wraps the error of doing `action` to `path`.
    pub(super) fn io<E: Into<io::Error>>(path: &Path, action: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::Io { path: path.to_owned(), action, cause: cause.into() }
    }
}

/// Why a shared file was not replaced. Unless said otherwise it is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// The new file would belong to somebody else.
    #[error(
        "cannot keep the owner of {} (user {uid}, group {gid}): {cause}; it was left as it is, try again as that user",
        path.display()
    )]
    Owner { path: PathBuf, uid: u32, gid: u32, cause: io::Error },
    /// The new content could not be written or put in place.
    #[error("cannot {action} {}: {cause}{}; the file was left as it is", path.display(), advice(cause))]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    /// Another program's version was put aside and could not be put back.
    #[error(
        "another program changed {} in the moment of its replacement, and its version, now {}, could not be put back: \
         {cause}; compare the two and keep the right one",
        path.display(),
        aside.display()
    )]
    Displaced { path: PathBuf, aside: PathBuf, cause: io::Error },
}

impl ReplaceError {
    /// A function that wraps the error of doing `action` to `path`.
    pub(super) fn io<E: Into<io::Error>>(path: &Path, action: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::Io { path: path.to_owned(), action, cause: cause.into() }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room and try again)",
        io::ErrorKind::PermissionDenied => " (the folder must be writable for this user)",
        io::ErrorKind::ReadOnlyFilesystem => {
            " (it is read-only for this process; where that is a service, its unit has to let it write there)"
        }
        _ => "",
    }
}
