//! What writing can end with.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file of our own could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// What is at the path is not what we would have made.
    #[error("{} is not touched: {why}; move it away and try again", path.display())]
    Refused { path: PathBuf, why: &'static str },
    /// A system call failed.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

impl FileError {
    /// A function that wraps the error of doing `action` to `path`.
    pub(super) fn io<E: Into<io::Error>>(path: &Path, action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source: source.into() }
    }
}

/// Why a shared file was not replaced. Unless said otherwise it is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// The new file would belong to somebody else.
    #[error(
        "cannot keep the owner of {} (user {uid}, group {gid}): {source}; it was left as it is, try again as that user",
        path.display()
    )]
    Owner { path: PathBuf, uid: u32, gid: u32, source: io::Error },
    /// The new content could not be written or put in place.
    #[error("cannot {action} {}: {source}{}; the file was left as it is", path.display(), advice(source))]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// Another program's version was put aside and could not be put back.
    #[error(
        "another program changed {} in the moment of its replacement, and its version, now {}, could not be put back: \
         {source}; compare the two and keep the right one",
        path.display(),
        aside.display()
    )]
    Displaced { path: PathBuf, aside: PathBuf, source: io::Error },
}

impl ReplaceError {
    /// A function that wraps the error of doing `action` to `path`.
    pub(super) fn io<E: Into<io::Error>>(path: &Path, action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source: source.into() }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room and try again)",
        io::ErrorKind::PermissionDenied => " (the folder must be writable for this user)",
        io::ErrorKind::ReadOnlyFilesystem => " (the file system is mounted read-only)",
        _ => "",
    }
}
