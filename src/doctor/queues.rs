//! Whether the queues of the configured installations can be swept, and whether they are in need of it.

use std::path::PathBuf;

use super::map::out_of_reach;
use super::{Facts, Finding, Status, count};
use crate::policy::shell::quoted;

/// What is known of one installation.
#[derive(Debug)]
pub(crate) struct QueueFacts {
    /// Its folder, as it is configured.
    pub(crate) root: PathBuf,
    /// The folder of its sessions: as it follows from that, and with links resolved. Drop-ins may name either.
    pub(crate) sessions: [PathBuf; 2],
    /// What is in it, or why it cannot be looked at.
    pub(crate) look: Result<QueueLook, String>,
}

/// What a look at one installation came to.
#[derive(Debug)]
pub(crate) struct QueueLook {
    /// Whether its host runs, in words, and whether that is known.
    pub(crate) host: String,
    pub(crate) is_host_known: bool,
    /// Whether a sweep only says what it sees.
    pub(crate) is_left_alone: bool,
    /// The container runtimes that answered, or why nobody knows which containers run.
    pub(crate) runtime: Result<Vec<String>, String>,
    /// How many sessions are active.
    pub(crate) sessions: usize,
    /// Each session that could not be looked at, and why.
    pub(crate) broken: Vec<String>,
    /// What else could not be looked at.
    pub(crate) problems: Vec<String>,
    /// How many sessions have a silent container, or a claim of one that is gone.
    pub(crate) stuck: usize,
    /// How many containers have no session.
    pub(crate) orphans: usize,
}

pub(super) fn queues(facts: &Facts) -> Finding {
    let Some(queues) = &facts.queues else { return Finding::without_settings() };
    if queues.is_empty() {
        return Finding::ok("not used: [[queues]] names no installation");
    }
    let (well, bad): (Vec<Finding>, Vec<Finding>) =
        queues.iter().map(|queue| of_root(facts, queue)).partition(|finding| finding.status == Status::Ok);
    let messages: Vec<String> = well.into_iter().map(|finding| finding.message).collect();
    worst(bad).unwrap_or_else(|| Finding::ok(messages.join("; ")))
}

/// What is to be said of one installation: the worst of it.
fn of_root(facts: &Facts, queue: &QueueFacts) -> Finding {
    let root = queue.root.display();
    let named = queue.root.to_string_lossy();
    let named = quoted(&named);
    let look = match &queue.look {
        Ok(look) => look,
        Err(why) => {
            let remedy = "put its root in [[queues]] right, or run as the user whose installation it is";
            return Finding::wrong(why, remedy);
        }
    };
    let status = format!("see `session-sweep queues status --root {named}`");
    let mut findings = Vec::new();
    // A service whose drop-in names the folder by another way to it can write there, too.
    let unreachable = queue.sessions.iter().map(|folder| out_of_reach(facts, folder));
    findings.extend(unreachable.collect::<Option<Vec<_>>>().and_then(|said| said.into_iter().next()));
    if let [first, rest @ ..] = look.broken.as_slice() {
        findings.push(Finding::wrong(format!("{root}: {first}{}", and_more(rest.len())), &status));
    }
    if let Err(why) = &look.runtime {
        let remedy = "start it and let this user use it; docs/queues.md tells what a timer needs for that";
        findings.push(Finding::unknown(format!("{root}: {why}"), remedy));
    }
    if !look.is_host_known {
        let remedy = "run as the user whose installation it is, or set take_over for this root";
        findings.push(Finding::unknown(format!("{root}: {}", look.host), remedy));
    }
    if let [first, rest @ ..] = look.problems.as_slice() {
        findings.push(Finding::unknown(format!("{root}: {first}{}", and_more(rest.len())), &status));
    }
    if look.stuck + look.orphans > 0 {
        let found = format!("{} stuck, {}", count(look.stuck, "session"), count(look.orphans, "orphaned container"));
        let (note, flag) = if look.is_left_alone { (", and its host runs", " --take-over") } else { ("", "") };
        let remedy = format!("session-sweep queues sweep{flag} --root {named}");
        findings.push(Finding::warning(format!("{root}: {found}{note}"), remedy));
    }
    let runtime = look.runtime.as_ref().map(|names| names.join(" and ")).unwrap_or_default();
    let note = if look.is_left_alone { ": a sweep leaves it alone" } else { "" };
    let well = format!("{root}: {}, {}{note}; {runtime} answers", count(look.sessions, "session"), look.host);
    worst(findings).unwrap_or_else(|| Finding::ok(well))
}

/// The first of the worst.
fn worst(findings: Vec<Finding>) -> Option<Finding> {
    const fn rank(finding: &Finding) -> u8 {
        match finding.status {
            Status::Wrong => 0,
            Status::Unknown => 1,
            Status::Warning => 2,
            Status::Ok => 3,
        }
    }
    findings.into_iter().min_by_key(rank)
}

fn and_more(number: usize) -> String {
    if number == 0 { String::new() } else { format!(" (and {number} more)") }
}
