//! Whether processes that CLIs left behind can be found and ended, by this user and by the services that sweep them.

use std::path::PathBuf;

use super::map::out_of_reach;
use super::{Facts, Finding};

/// What is known of processes.
#[derive(Debug)]
pub(crate) struct ProcessesFacts {
    /// Whether `sweep` looks at them.
    pub(crate) is_enabled: bool,
    /// The folder of the sessions' records.
    pub(crate) records: PathBuf,
    pub(crate) has_records: bool,
    /// Whether this kernel opens processes as pidfds, without which none is ended.
    pub(crate) has_pidfds: bool,
    pub(crate) scan: Result<Scan, String>,
}

/// What a scan came to.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) left_behind: usize,
    pub(crate) unknown: usize,
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

pub(super) fn processes(facts: &Facts) -> Finding {
    let Some(processes) = &facts.processes else { return Finding::without_settings() };
    let scan = match &processes.scan {
        Ok(scan) => scan,
        Err(why) => return Finding::wrong(why, "put it right: until then no process is ended"),
    };
    if let [first, rest @ ..] = scan.problems.as_slice() {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        return Finding::unknown(format!("{first}{more}"), "see `session-sweep processes report`");
    }
    if !processes.has_pidfds {
        return Finding::warning("this kernel has no pidfds: nothing can be ended", "use Linux 5.3 or later");
    }
    let found = format!("{} left behind, {} unknown", scan.left_behind, scan.unknown);
    if !processes.is_enabled {
        let note = "a sweep leaves them alone (session-sweep config set processes.enabled true)";
        return Finding::ok(format!("{found}; {note}"));
    }
    // Where there is no record there is none to be removed.
    let reach = processes.has_records.then(|| out_of_reach(facts, &processes.records)).flatten();
    reach.unwrap_or_else(|| Finding::ok(found))
}
