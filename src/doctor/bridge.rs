//! Whether the bridge is reached, agrees with its file, and leaves alone what was pruned.

use rustc_hash::FxHashMap;

use super::{Facts, Finding, count};
use crate::session_map::{Document, FLAT_MODEL};

/// What became of asking the bridge.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The settings name none.
    NotSet,
    /// Nobody listens at this address.
    Down(String),
    /// It cannot be asked, or its answer is not understood.
    Failed(String),
    /// It answered.
    Listed {
        /// Where.
        url: String,
        /// How many mappings it has.
        mappings: usize,
        /// How many mappings are not the same in the file; nothing where there is no file to compare with.
        differing: Option<usize>,
    },
}

/// How many mappings came back after they were pruned, unused, more than once: once may be a person's doing.
#[derive(Debug)]
pub(crate) struct WrittenBack {
    /// They are in the map now.
    pub(crate) now: usize,
    /// Those of them that are back for the second time.
    pub(crate) second_time: usize,
    /// They had come back more than once when they were pruned last.
    pub(crate) before: usize,
}

/// How many chats have another session in the one than in the other, or are in one of them alone.
pub(crate) fn differences(one: &Document<'_>, other: &Document<'_>) -> usize {
    let sessions = |document: &Document<'_>| -> FxHashMap<(String, String), String> {
        let entries = document.entries.iter();
        let key = |model: Option<&str>, chat: &str| (model.unwrap_or(FLAT_MODEL).to_owned(), chat.to_owned());
        entries.map(|entry| (key(entry.model.as_deref(), &entry.chat), entry.session.to_string())).collect()
    };
    let (one, other) = (sessions(one), sessions(other));
    let changed = one.iter().filter(|(chat, session)| other.get(*chat) != Some(*session)).count();
    changed + other.keys().filter(|chat| !one.contains_key(*chat)).count()
}

pub(super) fn bridge(facts: &Facts) -> Finding {
    let Some(asked) = &facts.bridge else { return Finding::without_settings() };
    let own = facts.schedules();
    let cut_off = own.iter().find(|schedule| schedule.reach.has_no_network);
    if let (Some(schedule), false) = (cut_off, matches!(asked, Asked::NotSet)) {
        let unit = schedule.place.replace(".timer", ".service");
        let message = format!("bridge.url is set, and {unit} may not open network connections");
        return Finding::wrong(message, "./install.sh --bridge-url URL");
    }
    match asked {
        Asked::NotSet => Finding::ok("bridge.url is not set: the file counts"),
        Asked::Down(url) => Finding::warning(
            format!("nobody listens at {url}: while the bridge is down, its file counts"),
            "start the bridge, or put bridge.url right",
        ),
        Asked::Failed(why) => Finding::wrong(why, "see docs/bridge.md; until then no sweep can do its work"),
        Asked::Listed { url, mappings, differing: Some(differing) } if *differing > 0 => Finding::warning(
            format!("{url} has {}, and its file differs in {differing}", count(*mappings, "mapping")),
            "see that bridge.url and map.dir are of one bridge; one that was restarted reads its file again",
        ),
        Asked::Listed { url, mappings, differing } => {
            let agrees = if differing.is_some() { ", the same as its file" } else { "" };
            Finding::ok(format!("{url} has {}{agrees}", count(*mappings, "mapping")))
        }
    }
}

pub(super) fn written_back(facts: &Facts) -> Finding {
    let back = match &facts.written_back {
        None => return Finding::without_settings(),
        Some(Err(why)) => return Finding::unknown(why, "see map-readable and bridge"),
        Some(Ok(back)) => back,
    };
    let is_asked = !matches!(facts.bridge, None | Some(Asked::NotSet));
    // What came back before the bridge was asked to remove it says nothing about now.
    let number = if is_asked { back.now } else { back.before + back.second_time };
    if number == 0 {
        return Finding::ok("nothing that was pruned keeps coming back");
    }
    let message = format!(
        "{} came back again and again after it was pruned: the bridge writes its memory",
        count(number, "mapping")
    );
    let remedy = if is_asked {
        "see docs/bridge.md: the bridge at bridge.url is not the one that keeps this map"
    } else {
        "session-sweep config set bridge.url http://127.0.0.1:PORT; see docs/bridge.md"
    };
    Finding::wrong(message, remedy)
}
