//! How a run ends, as a value; `main` turns it into the process's exit code.

use std::process::ExitCode;

/// The outcomes a script may branch on. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, also when there was nothing to do.
    Done,
    /// The command failed; nothing is half-written.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Another run holds the lock.
    Locked,
    /// Some things could not be looked at or were refused; they are listed, and the rest was done.
    Partial,
    /// Only with `--exit-code`: there is work to do.
    WorkToDo,
}

impl ExitStatus {
    /// The exit code, 0 to 10.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Locked => 3,
            Self::Partial => 4,
            Self::WorkToDo => 10,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
