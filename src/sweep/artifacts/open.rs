//! Which files of a home are open, now and in the last moment.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::homes::Home;
use super::units::Unit;
use crate::artifacts::survey::Piece;
use crate::filesystem::proc::Proc;
use crate::providers::live::{LiveSessions, OpenFiles};
use crate::providers::row::LiveRule;

/// Looks again whether somebody has `unit` open.
pub(super) fn is_open_now(home: &Home<'_>, unit: &Unit, proc: &Proc) -> Result<bool, String> {
    let Some(row) = home.row else { return Ok(false) };
    // Where it is the only sign. To look at the files of all processes takes longer than most removals.
    if unit.session.is_some() && row.live.contains(&LiveRule::OpenTranscript) {
        let open = Open::look(home, &[unit], proc);
        if let Some(why) = open.trouble {
            return Err(why);
        }
        if open.holder(unit).is_some() {
            return Ok(true);
        }
    }
    let sessions = unit.sessions();
    let live = LiveSessions::gather(row, &home.signs, &|id| sessions.iter().any(|session| session == id), proc);
    match live.errors.first() {
        Some(why) => Err(format!("which sessions are open is not known: {why}")),
        None => Ok(sessions.iter().any(|session| live.get(session).is_some())),
    }
}

/// Which of some files processes hold open.
#[derive(Default)]
pub(super) struct Open {
    pub(super) holders: FxHashMap<PathBuf, u32>,
    /// Processes whose files are not for us to see.
    pub(super) hidden: Vec<u32>,
    /// Why it cannot be told of all.
    pub(super) trouble: Option<String>,
}

impl Open {
    /// Looks for the files of `units`, which lie in `home`, and for all below it.
    pub(super) fn look(home: &Home<'_>, units: &[&Unit], proc: &Proc) -> Self {
        let mut paths: FxHashMap<&[u8], Vec<&Path>> = FxHashMap::default();
        for piece in units.iter().flat_map(|unit| &unit.pieces).filter(|piece| !piece.is_folder) {
            let name = piece.path.file_name().unwrap_or_default().as_encoded_bytes();
            paths.entry(name).or_default().push(&piece.path);
        }
        let mut holders = FxHashMap::default();
        if units.is_empty() {
            return Self::default();
        }
        let name_of = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        let open = OpenFiles::look_for(proc, &|path| {
            path.starts_with(&home.folder) || paths.contains_key(name_of(path).as_slice())
        });
        for held in open.iter() {
            // A file that was removed is held by its former name and a note.
            if let Ok(below) = held.path.strip_prefix(&home.folder) {
                holders.insert(below.to_owned(), held.pid);
            }
            let name = held.path.file_name().unwrap_or_default().as_encoded_bytes();
            for path in paths.get(name).into_iter().flatten() {
                if held.is(&home.folder.join(path)) {
                    holders.insert((*path).to_owned(), held.pid);
                }
            }
        }
        Self { holders, hidden: open.hidden, trouble: open.errors.into_iter().next() }
    }

    pub(super) fn holder(&self, unit: &Unit) -> Option<u32> {
        let below = |piece: &Piece| {
            let mut held = self.holders.iter();
            held.find(|(path, _)| piece.is_folder && path.starts_with(&piece.path)).map(|(_, pid)| *pid)
        };
        unit.pieces.iter().find_map(|piece| self.holders.get(&piece.path).copied().or_else(|| below(piece)))
    }
}
