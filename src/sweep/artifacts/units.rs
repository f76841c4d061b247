//! What goes at once: a file, a folder, or a session with all that belongs to it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use walkdir::WalkDir;

use super::homes::Home;
use crate::artifacts::kinds::Grain;
use crate::artifacts::rules::Part;
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::walk;
use crate::policy::artifact::Reason;
use crate::policy::path_pattern::Folder;
use crate::policy::session_id::SessionId;
use crate::providers::Provider;
use crate::providers::first_records::{Head, field_at_head, working_folder};
use crate::providers::last_record::last_record_time;

/// How the name of a file of records ends, of all CLIs that keep a file for each sub-agent.
const RECORDS: &str = "jsonl";

/// Something that goes at once or stays.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Index in the rules' kinds.
    pub(crate) kind: usize,
    /// The session that it is; nothing for what is none.
    pub(crate) session: Option<String>,
    /// Its parts: of a session the transcripts first.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) sums: Sums,
}

impl Unit {
    /// When any of its files was changed last.
    pub(crate) fn modified(&self) -> Option<DateTime<Utc>> {
        self.sums.newest.map(DateTime::from_timestamp_nanos)
    }

    /// Where it is, for people: of a session its transcript.
    pub(crate) fn path(&self) -> &Path {
        self.pieces.first().map_or(Path::new(""), |piece| &piece.path)
    }

    /// Whether not all of it could be looked at.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.pieces.iter().any(|piece| piece.is_incomplete)
    }

    /// Every session that it names: its own, or the UUIDs in its path.
    pub(crate) fn sessions(&self) -> Vec<String> {
        match &self.session {
            Some(session) => vec![session.clone()],
            None => uuids_in(self.path()),
        }
    }

    /// Whether there is a conversation, and not only what a killed run left of one.
    pub(crate) fn has_transcript(&self) -> bool {
        self.transcripts().next().is_some()
    }

    fn transcripts(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.part == Some(Part::Transcript))
    }

    /// The files of its transcripts.
    pub(crate) fn records<'u>(&'u self, home: &'u Home<'_>) -> impl Iterator<Item = PathBuf> + 'u {
        let row = home.row;
        self.transcripts().map(move |piece| home.folder.join(record_of(piece, row)))
    }

    /// The last activity that its transcripts record, and those of its sub-agents.
    ///
    /// # Errors
    /// One of them cannot be read, or the transcript has nothing that tells.
    pub(crate) fn recorded(&self, home: &Home<'_>) -> Result<Option<DateTime<Utc>>, Reason> {
        let unread = |error: anyhow::Error| Reason::Unread(format!("{error:#}"));
        let mut newest = None;
        for path in self.records(home) {
            let last = last_record_time(&path).map_err(unread)?;
            if last.time.is_none() && (last.gave_up || last.records_skipped > 0) {
                let why = format!("{}: none of its records has a time that can be read", path.display());
                return Err(Reason::Unknown(why));
            }
            newest = newest.max(last.time);
        }
        for path in self.records_of_agents(home).map_err(Reason::Unread)? {
            newest = newest.max(last_record_time(&path).map_err(unread)?.time);
        }
        Ok(newest)
    }

    /// Whether any of its transcripts has a record with a time, or cannot be read.
    pub(crate) fn records_something(&self, home: &Home<'_>) -> bool {
        self.records(home).any(|path| last_record_time(&path).map_or(true, |last| last.time.is_some()))
    }

    /// The files with the records of its sub-agents: what else of it has lines of records.
    fn records_of_agents(&self, home: &Home<'_>) -> Result<Vec<PathBuf>, String> {
        let has_records = |path: &Path| path.extension().is_some_and(|extension| extension == RECORDS);
        let mut found = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.part != Some(Part::Transcript)) {
            for entry in WalkDir::new(home.folder.join(&piece.path)) {
                let entry = entry.map_err(|error| error.to_string())?;
                if entry.file_type().is_file() && has_records(entry.path()) {
                    found.push(entry.into_path());
                }
            }
        }
        Ok(found)
    }

    /// The session that it is a sub-agent of, where the transcript says so.
    ///
    /// # Errors
    /// That cannot be read.
    pub(crate) fn parent(&self, home: &Home<'_>) -> Result<Option<String>, String> {
        let Some(row) = home.row.filter(|row| !row.subagent_field.is_empty()) else { return Ok(None) };
        for path in self.records(home) {
            match field_in(home, &path, &row.subagent_field) {
                Head::Found(parent) => return Ok(Some(parent)),
                Head::Absent => {}
                // What begins with no such record is no sub-agent's.
                Head::Unreadable(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
                Head::Unreadable(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(None)
    }

    /// The project that it was for: the folder of its transcript where each project has one, else where it worked.
    pub(crate) fn project(&self, home: &Home<'_>) -> Option<PathBuf> {
        let row = home.row?;
        let has_folders = |folder: &Folder| matches!(folder, Folder::Any | Folder::Affixes(..) | Folder::Glob(_));
        if row.transcripts.iter().any(|pattern| pattern.folders.iter().any(has_folders)) {
            return self.path().parent().map(Path::to_owned);
        }
        self.records(home).find_map(|path| working_folder(&row.working_folder, &path).ok().flatten())
    }
}

/// What belongs together of the pieces of a home: those kinds whose place in `wanted` is true. The second part is what belongs to
/// sessions that have no transcript, by their ids.
pub(crate) fn units(home: &Home<'_>, pieces: Vec<Piece>, wanted: &[bool]) -> (Vec<Unit>, BTreeMap<String, Vec<Piece>>) {
    let mut units = Vec::new();
    let mut rest: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    let mut sessions: BTreeMap<String, Unit> = BTreeMap::new();
    let mut beside = Vec::new();
    for piece in pieces.into_iter().filter(|piece| wanted[piece.kind]) {
        if home.rules.kinds[piece.kind].grain != Grain::Session {
            units.push(Unit { kind: piece.kind, session: None, sums: piece.sums, pieces: vec![piece] });
            continue;
        }
        // A folder without its record is no transcript any more.
        let record = || home.folder.join(record_of(&piece, home.row)).symlink_metadata();
        let has_record =
            || !piece.is_folder || !record().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if piece.part != Some(Part::Transcript) || !has_record() {
            beside.push(piece);
            continue;
        }
        // A transcript of nobody stays.
        let Some(id) = session_of(home, &piece) else { continue };
        let unit = || Unit { kind: piece.kind, session: Some(id.clone()), sums: Sums::default(), pieces: Vec::new() };
        let unit = sessions.entry(id.clone()).or_insert_with(unit);
        unit.sums.join(&piece.sums);
        unit.pieces.push(piece);
    }
    // The newest copy first.
    for unit in sessions.values_mut() {
        unit.pieces.sort_by_key(|piece| std::cmp::Reverse(piece.sums.newest));
    }
    let mut parents = FxHashMap::default();
    for piece in beside {
        let id = match (&piece.id, piece.part) {
            (Some((id, false)), Some(Part::Companion | Part::Transcript)) => Some(id.clone()),
            (_, Some(Part::Loose)) => parent_in(home, &piece, &mut parents),
            _ => None,
        };
        let Some(id) = id else { continue };
        if let Some(unit) = sessions.get_mut(&id) {
            unit.sums.join(&piece.sums);
            unit.pieces.push(piece);
        } else {
            rest.entry(id).or_default().push(piece);
        }
    }
    units.extend(sessions.into_values());
    (units, rest)
}

/// The id of a transcript's session: from its name, or from inside where the name holds only its beginning.
fn session_of(home: &Home<'_>, piece: &Piece) -> Option<String> {
    let (id, is_shortened) = piece.id.clone()?;
    let id = match (is_shortened, home.row) {
        (false, _) => id,
        (true, Some(row)) => match field_in(home, &record_of(piece, home.row), &row.id_field) {
            Head::Found(inside) if inside.starts_with(&id) => inside,
            _ => return None,
        },
        (true, None) => return None,
    };
    // What can be pruned is called by a UUID.
    SessionId::new(&id).is_ok_and(SessionId::is_uuid).then_some(id)
}

/// The session of a sub-agent's transcript whose name does not tell.
fn parent_in(home: &Home<'_>, piece: &Piece, known: &mut FxHashMap<PathBuf, Option<String>>) -> Option<String> {
    let row = home.row?;
    let read = || match field_in(home, &piece.path, &row.id_field) {
        Head::Found(parent) => Some(parent),
        Head::Absent | Head::Unreadable(_) => None,
    };
    known.entry(piece.path.clone()).or_insert_with(read).clone()
}

/// The file with the records of a transcript, which may be a folder.
fn record_of(piece: &Piece, row: Option<&Provider>) -> PathBuf {
    let tail = |folder: &Folder| folder.is_literal().then(|| folder.literal().to_owned());
    let below = row.and_then(|row| row.transcripts.iter().find(|pattern| !pattern.tail.is_empty()));
    match below.filter(|_| piece.is_folder) {
        Some(pattern) => piece.path.join(pattern.tail.iter().filter_map(tail).collect::<PathBuf>()),
        None => piece.path.clone(),
    }
}

/// A field of a file in a home, which is reached without a link.
fn field_in(home: &Home<'_>, path: &Path, field: &[String]) -> Head {
    let below = path.strip_prefix(&home.folder).unwrap_or(path);
    match walk::open_folder_path(&home.folder).and_then(|home| walk::open_place(home.as_fd(), below)) {
        Ok(Some((folder, name))) => field_at_head(folder.as_fd(), &name, field),
        Ok(None) => Head::Absent,
        Err(error) => Head::Unreadable(error.into()),
    }
}

/// Every UUID in a text.
pub(super) fn uuids_in(text: impl AsRef<OsStr>) -> Vec<String> {
    const LENGTH: usize = 36;
    let text = text.as_ref().as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at + LENGTH <= text.len() {
        let part = std::str::from_utf8(&text[at..at + LENGTH]).ok();
        match part.filter(|part| SessionId::new(part).is_ok_and(SessionId::is_uuid)) {
            Some(id) => {
                found.push(id.to_owned());
                at += LENGTH;
            }
            None => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_every_session_that_it_has_a_uuid_of() {
        let (one, other) = ("0856b851-1111-4222-8333-0123456789ab", "01a1f848-9752-7c50-b5ba-bc312216b249");
        let path = format!("todos/{one}-agent-{other}.json");
        assert_eq!(uuids_in(path), [one, other]);
        assert_eq!(uuids_in(format!("{one}/1p.{other}")), [one, other]);
        assert_eq!(uuids_in("debug/latest"), Vec::<String>::new());
        // One digit less is another name, not a part of it.
        assert_eq!(uuids_in(&one[1..]), Vec::<String>::new());
    }
}
