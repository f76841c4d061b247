//! How a run ends, as a value; `main` turns it into the process's exit code.

use std::process::ExitCode;

/// The outcomes a script may branch on. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, also when there was nothing to do.
    Done,
    /// The command failed; nothing is half-written.
    Failed,
    /// What was looked for was found: `processes scan`, whose original promises 1 for that.
    Found,
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
            Self::Failed | Self::Found => 1,
            Self::Usage => 2,
            Self::Locked => 3,
            Self::Partial => 4,
            Self::WorkToDo => 10,
        }
    }

    /// The outcome that an exit code stands for; others than ours stand for a failure.
    pub(crate) const fn of_code(code: i32) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::Locked,
            4 => Self::Partial,
            10 => Self::WorkToDo,
            _ => Self::Failed,
        }
    }

    /// The outcome of two things done in one run: the one that more needs looking at.
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        const fn weight(status: ExitStatus) -> u8 {
            match status {
                ExitStatus::Done => 0,
                ExitStatus::WorkToDo | ExitStatus::Found => 1,
                ExitStatus::Partial => 2,
                ExitStatus::Locked => 3,
                ExitStatus::Failed => 4,
                ExitStatus::Usage => 5,
            }
        }
        if weight(other) > weight(self) { other } else { self }
    }

    /// One word for a table.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Found => "found",
            Self::Usage => "refused",
            Self::Locked => "locked",
            Self::Partial => "partial",
            Self::WorkToDo => "to do",
        }
    }

    /// What a run that ended so came to.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "wrong usage or configuration",
            Self::Locked => "another run held the lock",
            Self::Partial => "partial: not all could be looked at",
            Self::WorkToDo => "there was work to do",
            Self::Done | Self::Failed | Self::Found => self.word(),
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn every_code_leads_back_to_its_outcome() {
        for code in 0..=255_u8 {
            let status = ExitStatus::of_code(code.into());
            assert!(status.code() == code || status == ExitStatus::Failed, "{code}");
        }
        assert_eq!(ExitStatus::of_code(3), ExitStatus::Locked);
        assert_eq!(ExitStatus::of_code(203), ExitStatus::Failed);
    }
}
