//! Whether the session map can be read and written, by this user and by the services that do it.

use std::path::{Path, PathBuf};

use super::{Facts, Finding, count};
use crate::policy::shell::quoted_for_unit;

/// What is known of the map.
#[derive(Debug)]
pub(crate) struct MapFacts {
    pub(crate) path: PathBuf,
    pub(crate) text: MapText,
    /// What stands in the way of replacing it, or why that is not known.
    pub(crate) obstacle: Result<Option<String>, String>,
    /// Whether its folder is there, or why that is not known.
    pub(crate) has_folder: Result<bool, String>,
}

/// What came of reading the map.
#[derive(Debug)]
pub(crate) enum MapText {
    /// It is not there.
    Missing,
    /// It was read.
    Read {
        /// How many mappings it has.
        mappings: usize,
        /// How many members are none.
        not_understood: usize,
    },
    /// It was not.
    Unreadable(String),
}

pub(super) fn readable(facts: &Facts) -> Finding {
    let Some(map) = &facts.map else { return Finding::without_settings() };
    let path = map.path.display();
    match &map.text {
        MapText::Missing => Finding::warning(
            format!("there is no session map at {path}: a sweep has nothing to do"),
            "session-sweep config set map.dir FOLDER, if the bridge keeps it elsewhere",
        ),
        MapText::Unreadable(why) => Finding::wrong(why, "run as the bridge's user, or put the map right"),
        MapText::Read { mappings, not_understood: 0 } => {
            Finding::ok(format!("{} in {path}", count(*mappings, "mapping")))
        }
        MapText::Read { mappings: 0, not_understood } => Finding::warning(
            format!(
                "nothing in {path} is a mapping that we know ({} of another form)",
                count(*not_understood, "member")
            ),
            "see docs/bridge.md for the forms of map that are known",
        ),
        MapText::Read { mappings, not_understood } => {
            let others = count(*not_understood, "member");
            Finding::ok(format!("{} in {path}; {others} of another form stay", count(*mappings, "mapping")))
        }
    }
}

pub(super) fn writable(facts: &Facts) -> Finding {
    let Some(map) = &facts.map else { return Finding::without_settings() };
    let folder = map.path.parent().unwrap_or(&map.path);
    match &map.has_folder {
        Ok(true) => {}
        Ok(false) => {
            return Finding::warning(
                format!("there is no folder {}", folder.display()),
                "session-sweep config set map.dir FOLDER, if the bridge keeps its map elsewhere",
            );
        }
        Err(why) => return Finding::unknown(format!("{}: {why}", folder.display()), "run as the bridge's user"),
    }
    match &map.obstacle {
        Err(why) => return Finding::unknown(why, "run as the bridge's user"),
        Ok(Some(why)) => {
            return Finding::wrong(why, "run as the bridge's user, or give the map and its folder to this one");
        }
        Ok(None) => {}
    }
    let changeable = || Finding::ok(format!("{} can be changed", map.path.display()));
    out_of_reach(facts, folder).unwrap_or_else(changeable)
}

/// The service of a schedule that cannot write to a folder.
pub(super) fn out_of_reach(facts: &Facts, folder: &Path) -> Option<Finding> {
    facts.schedules().into_iter().find_map(|schedule| {
        let why = schedule.reach.objection(folder)?;
        let unit = schedule.place.replace(".timer", ".service");
        let writable = folder.to_string_lossy();
        let writable = quoted_for_unit(&writable);
        let remedy = format!("./install.sh, or a drop-in for {unit} with ReadWritePaths={writable}");
        Some(Finding::wrong(format!("{unit} cannot write {}: {why}", folder.display()), remedy))
    })
}
