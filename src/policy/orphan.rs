//! Whether a process was left behind by an AI coding CLI whose session is over.
//!
//! Only what is proven counts. [`ROWS`] is the whole rule: each row may object, and a process that no row objects to is
//! orphaned. A row that is taken out must turn a test red (`tests/mutate-guards`).

use std::fmt;
use std::time::Duration;

use super::duration::format_age;

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Its session is provably over: the only one that is ever ended.
    Orphaned,
    /// It cannot be told; it is left alone.
    Unknown,
    /// Somebody has it.
    Owned,
    /// It runs no more: there is nothing to end.
    Gone,
}

impl Verdict {
    /// The name in JSON and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Orphaned => "orphaned",
            Self::Unknown => "unknown",
            Self::Owned => "owned",
            Self::Gone => "gone",
        }
    }
}

/// From when on what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Younger processes are left alone.
    pub(crate) min_age: Duration,
    /// How long a tracked session may go without a sign of life.
    pub(crate) stale: Duration,
}

/// What a process is to the run that looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// This very process.
    Itself,
    /// A process that started this one, or started one that did.
    Ancestor,
    /// A process that this one started.
    Descendant,
    /// One of the same terminal session (field 6 of `/proc/<pid>/stat`).
    Session,
}

/// Where a process belongs, by its control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    /// None that says anything.
    None,
    /// A unit of systemd that somebody starts and stops.
    Service(String),
    /// A container that this run is not in itself.
    Container(String),
    /// A login, a window or a command that somebody started.
    Scope { name: String, state: Scope },
}

/// Whether somebody still has a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Somebody has.
    Open,
    /// Nobody has; what is in it was left behind.
    Closed,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Who holds a process: the nearest that matters of its parent, the parent's parent, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It was adopted by pid 1, this user's `systemd --user` or a declared subreaper: whoever started it has ended.
    Adopter(ProcessName),
    /// Somebody has it, directly or not.
    Guardian(Guardian, ProcessName),
    /// Some other process that runs.
    Other(ProcessName),
    /// It is outside of what can be seen, or ended this very moment.
    Unseen(u32),
}

/// What holds a process, if that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guardian {
    /// An AI coding CLI.
    Cli,
    /// tmux, screen and the like.
    Multiplexer,
    Editor,
    /// A login shell.
    Login,
    /// A process at a terminal.
    AtTerminal,
}

/// A process for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessName {
    pub(crate) pid: u32,
    /// What it calls itself.
    pub(crate) name: String,
}

/// What the records that the CLIs keep of their own processes say of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vendor {
    /// Nothing.
    Silent,
    /// It runs a session.
    Live(String),
    /// It belongs to a CLI's daemon, which runs and would start it anew.
    Worker { daemon: u32 },
    /// Something that could not be checked or read may name it.
    Unknown(String),
}

/// What is known of the session that a process belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// The process that the session's record names: the CLI.
    pub(crate) owner: Owner,
    /// Of a tracked session; `None` for one that only the CLI's own record names.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// Its record says that it has ended.
    pub(crate) is_completed: bool,
}

/// What became of the process that a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is the process in question.
    Itself,
    /// It runs.
    Runs(u32),
    /// It runs, and said this very moment that the session ends.
    Ends(u32),
    /// There is none of this number any more, or not since this boot.
    Gone(u32),
    /// The number is another process's by now.
    Reused(u32),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// A tracked session's last sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// So long ago.
    Ago(Duration),
    /// It cannot be read, or lies in the future.
    Unknown(String),
}

/// Everything that decides about one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) relation: Option<Relation>,
    /// Whose it is, where not this user's; an error text where that cannot be read.
    pub(crate) other_user: Result<Option<u32>, String>,
    /// Why its number means something else here: another pid namespace. An error text where that cannot be read.
    pub(crate) elsewhere: Result<Option<String>, String>,
    /// An error text where the file that it runs cannot be read.
    pub(crate) executable: Result<(), String>,
    /// How long it has run; `None` where it would have started in the future.
    pub(crate) age: Option<Duration>,
    pub(crate) group: Result<Group, String>,
    /// Its controlling terminal, which is open as long as it has one.
    pub(crate) terminal: Option<String>,
    pub(crate) parent: Parent,
    pub(crate) vendor: Vendor,
    /// A process below it that must not be ended, and why.
    pub(crate) shelters: Option<(u32, String)>,
    /// Something shows that a CLI started it, or it is one.
    pub(crate) is_of_cli: bool,
    pub(crate) session: Option<Session>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The row's name.
    pub(crate) row: &'static str,
    pub(crate) text: String,
}

/// A verdict with everything that speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<Reason>,
}

/// What may be objected to calling a process orphaned.
struct Row {
    name: &'static str,
    object: fn(&Facts, &Limits) -> Option<Objection>,
}

/// Why a process is not orphaned, and which verdict that makes.
struct Objection(Verdict, String);

/// Somebody has it.
fn owned(text: impl Into<String>) -> Objection {
    Objection(Verdict::Owned, text.into())
}

/// It cannot be told.
fn unknown(text: impl Into<String>) -> Objection {
    Objection(Verdict::Unknown, text.into())
}

const fn row(name: &'static str, object: fn(&Facts, &Limits) -> Option<Objection>) -> Row {
    Row { name, object }
}

/// The rule. Each row stands on a line of its own, which `tests/mutate-guards` takes out.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    row("itself", |facts, _| related(facts, Relation::Itself, "it is this very run")),
    row("ancestor", |facts, _| related(facts, Relation::Ancestor, "it started this run")),
    row("descendant", |facts, _| related(facts, Relation::Descendant, "this run started it")),
    row("own-session", |facts, _| related(facts, Relation::Session, "it is in this run's own terminal session")),
    row("other-user", |facts, _| other_user(facts)),
    row("user-unknown", |facts, _| unread(&facts.other_user, "whose it is cannot be told")),
    row("elsewhere", |facts, _| elsewhere(facts)),
    row("namespace-unknown", |facts, _| unread(&facts.elsewhere, "where it lives cannot be told")),
    row("executable-unknown", |facts, _| unread(&facts.executable, "what it runs cannot be told")),
    row("young", young),
    row("age-unknown", |facts, _| age_unknown(facts)),
    row("service", |facts, _| service(facts)),
    row("container", |facts, _| container(facts)),
    row("group-unknown", |facts, _| unread(&facts.group, "its control group cannot be read")),
    row("terminal", |facts, _| terminal(facts)),
    row("live-cli", |facts, _| guarded(facts, Guardian::Cli, "is an AI CLI that started it")),
    row("multiplexer", |facts, _| guarded(facts, Guardian::Multiplexer, "has it in a window")),
    row("editor", |facts, _| guarded(facts, Guardian::Editor, "is an editor that started it")),
    row("login-shell", |facts, _| guarded(facts, Guardian::Login, "is a login that started it")),
    row("at-terminal", |facts, _| guarded(facts, Guardian::AtTerminal, "started it, and is at a terminal")),
    row("vendor", |facts, _| vendor(facts)),
    row("daemon", |facts, _| daemon(facts)),
    row("vendor-unknown", |facts, _| vendor_unknown(facts)),
    row("parent", parent),
    row("shelters", |facts, _| shelters(facts)),
    row("owner", |facts, _| owner(facts)),
    row("origin", |facts, _| origin(facts)),
    row("session", |facts, _| session(facts)),
    row("heartbeat", heartbeat),
];

/// The names of all rows, in order.
#[cfg(test)]
pub(crate) fn rows() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// Decides one process that runs.
pub(crate) fn judge(facts: &Facts, limits: &Limits) -> Judgement {
    let mut verdict = Verdict::Orphaned;
    let mut reasons = Vec::new();
    for row in ROWS {
        if let Some(Objection(weight, text)) = (row.object)(facts, limits) {
            verdict = verdict.max(weight);
            reasons.push((weight, Reason { row: row.name, text }));
        }
    }
    if verdict == Verdict::Orphaned {
        return Judgement { verdict, reasons: evidence(facts) };
    }
    // Who has somebody is in no doubt, whatever else cannot be told.
    let decides = |(weight, reason): (Verdict, Reason)| (weight == verdict).then_some(reason);
    Judgement { verdict, reasons: reasons.into_iter().filter_map(decides).collect() }
}

/// What shows that a session is over, for people.
fn evidence(facts: &Facts) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say = |row, text: String| reasons.push(Reason { row, text });
    if let Parent::Adopter(by) = &facts.parent {
        say("parent", format!("whoever started it has ended: {by} adopted it"));
    }
    say("terminal", "it has no terminal".to_owned());
    if let Some(session) = &facts.session {
        match session.owner {
            Owner::Gone(pid) => say("owner", format!("its session {} is over: process {pid} is gone", session.id)),
            Owner::Reused(pid) => {
                say(
                    "owner",
                    format!("its session {} is over: the number {pid} is another process's by now", session.id),
                );
            }
            Owner::Ends(pid) => say("owner", format!("process {pid} ends its session {}", session.id)),
            Owner::Itself | Owner::Runs(_) | Owner::Unknown(_) => {}
        }
        if let Some(Heartbeat::Ago(age)) = session.heartbeat {
            say("heartbeat", format!("the last sign of life was {} ago", format_age(age)));
        }
    }
    if let Ok(Group::Scope { name, state: Scope::Closed }) = &facts.group {
        say("session", format!("nobody has {name} any more"));
    }
    reasons
}

fn related(facts: &Facts, relation: Relation, text: &str) -> Option<Objection> {
    (facts.relation == Some(relation)).then(|| owned(text))
}

/// What could not be read decides nothing, and nothing is decided without it.
fn unread<T>(fact: &Result<T, String>, text: &str) -> Option<Objection> {
    fact.as_ref().err().map(|why| unknown(format!("{text}: {why}")))
}

fn other_user(facts: &Facts) -> Option<Objection> {
    let user = facts.other_user.as_ref().ok()?.as_ref()?;
    Some(owned(format!("it is user {user}'s")))
}

fn elsewhere(facts: &Facts) -> Option<Objection> {
    facts.elsewhere.as_ref().ok()?.as_ref().map(|why| unknown(why.clone()))
}

fn young(facts: &Facts, limits: &Limits) -> Option<Objection> {
    let age = facts.age.filter(|age| *age < limits.min_age)?;
    Some(owned(format!("it started {} ago, less than {}", format_age(age), format_age(limits.min_age))))
}

fn age_unknown(facts: &Facts) -> Option<Objection> {
    facts.age.is_none().then(|| unknown("it would have started in the future"))
}

fn service(facts: &Facts) -> Option<Objection> {
    let Ok(Group::Service(name)) = &facts.group else { return None };
    Some(owned(format!("it belongs to {name}")))
}

fn container(facts: &Facts) -> Option<Objection> {
    let Ok(Group::Container(name)) = &facts.group else { return None };
    Some(owned(format!("it is in the container {name}")))
}

fn terminal(facts: &Facts) -> Option<Objection> {
    facts.terminal.as_ref().map(|terminal| owned(format!("it is at {terminal}, which is open")))
}

fn guarded(facts: &Facts, guardian: Guardian, text: &str) -> Option<Objection> {
    match &facts.parent {
        Parent::Guardian(kind, by) if *kind == guardian => Some(owned(format!("{by} {text}"))),
        _ => None,
    }
}

fn vendor(facts: &Facts) -> Option<Objection> {
    let Vendor::Live(what) = &facts.vendor else { return None };
    Some(owned(what.clone()))
}

fn daemon(facts: &Facts) -> Option<Objection> {
    let Vendor::Worker { daemon } = facts.vendor else { return None };
    Some(owned(format!(
        "it is a worker of the CLI's daemon, process {daemon}, which would start it anew: end that one if need be"
    )))
}

fn vendor_unknown(facts: &Facts) -> Option<Objection> {
    let Vendor::Unknown(why) = &facts.vendor else { return None };
    Some(unknown(why.clone()))
}

/// Only who was adopted has lost whoever started it.
fn parent(facts: &Facts, limits: &Limits) -> Option<Objection> {
    match &facts.parent {
        Parent::Unseen(pid) => Some(unknown(format!("its parent, process {pid}, cannot be seen"))),
        Parent::Other(by) => {
            let is_stale = facts.session.as_ref().is_some_and(|session| {
                let is_old = matches!(session.heartbeat, Some(Heartbeat::Ago(age)) if age > limits.stale);
                session.owner == Owner::Itself && is_old
            });
            let text = format!("{by} started it and runs");
            Some(if is_stale { unknown(format!("its session gives no sign of life, but {text}")) } else { owned(text) })
        }
        Parent::Adopter(_) | Parent::Guardian(..) => None,
    }
}

/// It would not end alone.
fn shelters(facts: &Facts) -> Option<Objection> {
    let (pid, why) = facts.shelters.as_ref()?;
    Some(owned(format!("it started process {pid}, which must not be ended: {why}")))
}

/// What a session started goes on with it.
fn owner(facts: &Facts) -> Option<Objection> {
    let session = facts.session.as_ref()?;
    match &session.owner {
        Owner::Runs(pid) => Some(owned(format!("its session {} runs: process {pid}", session.id))),
        Owner::Unknown(why) => Some(unknown(format!("whether its session {} runs cannot be told: {why}", session.id))),
        Owner::Itself | Owner::Ends(_) | Owner::Gone(_) | Owner::Reused(_) => None,
    }
}

fn origin(facts: &Facts) -> Option<Objection> {
    (!facts.is_of_cli).then(|| unknown("nothing shows that an AI CLI started it"))
}

/// Somebody must be known to have gone: the process of its session's record, or the scope that it was started in.
fn session(facts: &Facts) -> Option<Objection> {
    let owner = facts.session.as_ref().map(|session| &session.owner);
    if matches!(owner, Some(Owner::Gone(_) | Owner::Reused(_) | Owner::Ends(_))) {
        return None;
    }
    match &facts.group {
        Ok(Group::Scope { state: Scope::Closed, .. }) | Err(_) => None,
        Ok(Group::Scope { name, state: Scope::Open }) => Some(unknown(format!("{name} is not closed"))),
        Ok(Group::Scope { name, state: Scope::Unknown(why) }) => {
            Some(unknown(format!("whether {name} is closed cannot be told: {why}")))
        }
        Ok(Group::None | Group::Service(_) | Group::Container(_)) => {
            Some(unknown("no record and no login scope shows that its session is over"))
        }
    }
}

/// A tracked session must have been silent for long.
fn heartbeat(facts: &Facts, limits: &Limits) -> Option<Objection> {
    let session = facts.session.as_ref().filter(|session| !session.is_completed)?;
    let id = &session.id;
    match session.heartbeat.as_ref()? {
        Heartbeat::Ago(age) if *age > limits.stale => None,
        Heartbeat::Ago(age) => Some(owned(format!("its session {id} gave a sign of life {} ago", format_age(*age)))),
        Heartbeat::Unknown(why) => {
            Some(unknown(format!("when its session {id} gave a sign of life cannot be told: {why}")))
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

#[cfg(test)]
#[path = "orphan_tests.rs"]
mod tests;
