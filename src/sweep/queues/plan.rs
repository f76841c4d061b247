//! What is to be done in one installation: every session that something is to be said of, every container, each step with
//! its reason.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::policy::queue::{Judgement, Thresholds};
use crate::queues::central::{Generation, Status};
use crate::queues::host::Host;
use crate::queues::runtime::Container;
use crate::queues::zone::Zone;

/// What is to be done in one installation.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The installation's folder, links resolved.
    pub(crate) root: PathBuf,
    /// What its containers are labelled with.
    pub(crate) slug: String,
    pub(crate) generation: Generation,
    pub(crate) host: Host,
    /// Why nothing of it is to be done, only said; nothing where all of it is.
    pub(crate) hands_off: Option<String>,
    /// The names of the runtimes that were asked, or why nobody knows which containers run.
    pub(crate) runtime: Result<Vec<String>, String>,
    pub(crate) zone: Zone,
    pub(crate) thresholds: Thresholds,
    /// Whether there is a command that wakes sessions.
    pub(crate) has_wake: bool,
    /// Sessions that were looked at closely, in the order of the central database.
    pub(crate) sessions: Vec<SessionItem>,
    /// Sessions that have not changed since a tick that found nothing to do in them.
    pub(crate) unchanged: usize,
    /// All containers of this installation, orphans first.
    pub(crate) containers: Vec<ContainerItem>,
    /// What could not be looked at, besides sessions.
    pub(crate) problems: Vec<String>,
    /// What was seen besides sessions and is left alone, in words.
    pub(crate) notes: Vec<String>,
}

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct SessionItem {
    pub(crate) id: String,
    /// Its agent group.
    pub(crate) group: String,
    pub(crate) status: Status,
    /// When a host took it over, where hosts note that.
    pub(crate) claimed: Option<DateTime<Utc>>,
    pub(crate) liveness: Liveness,
    /// The time of `.heartbeat`.
    pub(crate) heartbeat: Option<DateTime<Utc>>,
    /// What is in its databases; nothing where they are not there or could not be read.
    pub(crate) queue: Option<Queue>,
    /// What is to become of its container.
    pub(crate) judgement: Judgement,
    /// In the order in which they are done.
    pub(crate) steps: Vec<Step>,
    /// Why it could not be looked at, and everything in it stays as it is.
    pub(crate) problem: Option<String>,
    /// What was seen and is left alone, in words.
    pub(crate) notes: Vec<String>,
}

/// Which containers work on a session.
#[derive(Debug, Clone)]
pub(crate) enum Liveness {
    /// Nobody knows: the runtime does not answer.
    Unknown,
    /// These run; none where it is empty.
    Known(Vec<Container>),
}

/// What a session's databases hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// Messages that a container could work on now, and for which it is woken.
    pub(crate) due: usize,
    /// Messages that wait, due or not.
    pub(crate) pending: usize,
    /// Messages that a container said it works on.
    pub(crate) claimed: usize,
    /// Claims of those that nobody works on any more.
    pub(crate) stuck: usize,
    pub(crate) failed: usize,
    /// When a message that is not due yet will be, the earliest.
    pub(crate) next_due: Option<DateTime<Utc>>,
    /// When the next run of a recurring task is planned.
    pub(crate) next_recurrence: Option<DateTime<Utc>>,
    /// Expressions that cannot be followed and were told of before.
    pub(crate) parked: usize,
}

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) reason: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Undo what a container or host had half written when it was killed, as its journal tells. The session is looked at
    /// again after it.
    RollBack {
        /// `inbound.db` or `outbound.db`.
        database: &'static str,
    },
    /// Stop the session's containers. What follows is done only when they are gone.
    Stop {
        /// Their ids.
        containers: Vec<String>,
    },
    /// Give a message the final status that a container reported.
    Acknowledge { message: String, status: Final },
    /// Try a message again later.
    Retry { message: String, tries: u32, at: DateTime<Utc> },
    /// Give a message up.
    Fail { message: String, tries: u32 },
    /// Remove claims that nobody works on: message and the time as it is written.
    ClearClaims { claims: Vec<(String, String)> },
    /// Plan the next run of a recurring task, and take the expression from the finished one.
    Recur { message: String, expression: String, next: DateTime<Utc>, is_paused: bool },
    /// Take the expression from a finished run whose series has a next run already.
    Disarm { message: String, expression: String },
    /// Tell once of an expression that cannot be followed, and leave it alone from then on.
    Park { message: String, expression: String },
    /// Have the session woken.
    Wake { due: usize },
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Final {
    Completed,
    Failed,
}

/// One container of the installation.
#[derive(Debug, Clone)]
pub(crate) struct ContainerItem {
    pub(crate) container: Container,
    pub(crate) verdict: ContainerVerdict,
    pub(crate) group: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) reason: String,
}

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ContainerVerdict {
    /// Of no session, or of a closed one: to be stopped.
    Orphan,
    /// It cannot be told: kept.
    Unknown,
    /// It works on a session: kept.
    Session,
    /// Of this installation and no session's: kept.
    Auxiliary,
}

impl Action {
    /// In one word, for people and programs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::RollBack { .. } => "roll_back",
            Self::Stop { .. } => "stop",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Retry { .. } => "retry",
            Self::Fail { .. } => "fail",
            Self::ClearClaims { .. } => "clear_claims",
            Self::Recur { .. } => "recur",
            Self::Disarm { .. } => "disarm",
            Self::Park { .. } => "park",
            Self::Wake { .. } => "wake",
        }
    }

    /// Whether it may only be done where no container works on the session.
    pub(crate) const fn needs_death(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Fail { .. } | Self::ClearClaims { .. } | Self::Wake { .. })
    }

    /// The message that it is about.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Acknowledge { message, .. }
            | Self::Retry { message, .. }
            | Self::Fail { message, .. }
            | Self::Recur { message, .. }
            | Self::Disarm { message, .. }
            | Self::Park { message, .. } => Some(message),
            Self::RollBack { .. } | Self::Stop { .. } | Self::ClearClaims { .. } | Self::Wake { .. } => None,
        }
    }
}

impl Final {
    /// As it is written into the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl ContainerVerdict {
    /// In one word, for people and programs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Unknown => "unknown",
            Self::Session => "session",
            Self::Auxiliary => "auxiliary",
        }
    }
}

impl Liveness {
    /// Whether a container works on the session; nothing where nobody knows.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Known(containers) => Some(!containers.is_empty()),
        }
    }
}

impl Plan {
    /// The containers that are to be stopped.
    pub(crate) fn orphans(&self) -> impl Iterator<Item = &ContainerItem> {
        self.containers.iter().filter(|item| item.verdict == ContainerVerdict::Orphan)
    }

    /// Whether there is something to do: not where it is left to the host.
    pub(crate) fn has_work(&self) -> bool {
        self.hands_off.is_none()
            && (self.orphans().next().is_some() || self.sessions.iter().any(|session| !session.steps.is_empty()))
    }

    /// Whether it is left to a host that runs: all is well then.
    pub(crate) const fn is_left_to_host(&self) -> bool {
        self.hands_off.is_some() && matches!(self.host, Host::Running(_))
    }

    /// Why nothing is to be done though no host is known to do it: nobody may be doing it at all.
    fn doubt(&self) -> Option<String> {
        let why = self.hands_off.as_ref().filter(|_| !self.is_left_to_host())?;
        Some(format!("{}: {why}", self.root.display()))
    }

    /// Everything that could not be looked at.
    pub(crate) fn all_problems(&self) -> Vec<String> {
        let of_session = |session: &SessionItem| {
            session.problem.as_ref().map(|problem| format!("session {}: {problem}", session.id))
        };
        let unknown = self.runtime.as_ref().err().cloned();
        unknown
            .into_iter()
            .chain(self.doubt())
            .chain(self.problems.iter().cloned())
            .chain(self.sessions.iter().filter_map(of_session))
            .collect()
    }
}
