//! Everything a provider's store holds, mapped or not: for overviews, where speed is not what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::io::Errno;
use walkdir::WalkDir;

use super::first_records::{Head, field_at_head};
use super::row::Provider;
use super::{SessionId, database};
use crate::filesystem::walk;
use crate::policy::path_pattern::{NamePattern, PathPattern};

/// What one provider's store holds.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The store's folder or database is there.
    pub(crate) present: bool,
    pub(crate) sessions: Vec<Session>,
    /// Of the database that sessions share; zero where there is none.
    pub(crate) database_bytes: u64,
    pub(crate) problems: Vec<String>,
}

/// One session with all copies of its transcript.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// The newest copy; the database for a provider that has one.
    #[serde(serialize_with = "super::path_as_text")]
    pub(crate) transcript: PathBuf,
    #[serde(serialize_with = "as_timestamp")]
    pub(crate) modified: DateTime<Utc>,
    /// Of all copies together; unknown where sessions share a database.
    pub(crate) bytes: Option<u64>,
}

fn as_timestamp<S: serde::Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&crate::policy::timestamp::Timestamp(*time), serializer)
}

impl Inventory {
    /// Reads the whole store.
    pub(crate) fn of(provider: &Provider, home: &Path) -> Self {
        let mut inventory = Self::default();
        let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
        for pattern in &provider.transcripts {
            inventory.read_pattern(provider, home, pattern, &mut sessions);
        }
        inventory.read_database(provider, home, &mut sessions);
        // Where two patterns begin in one folder, each meets what is wrong there.
        let mut told = BTreeSet::new();
        inventory.problems.retain(|problem| told.insert(problem.clone()));
        inventory.sessions = sessions.into_values().collect();
        inventory.sessions.sort_by_key(|session| std::cmp::Reverse(session.modified));
        inventory
    }

    fn read_pattern(
        &mut self,
        provider: &Provider,
        home: &Path,
        pattern: &PathPattern,
        sessions: &mut BTreeMap<String, Session>,
    ) {
        let Some(name) = &pattern.name else { return };
        let base: PathBuf = std::iter::once(home.as_os_str()).chain(pattern.base().map(OsStr::new)).collect();
        match base.try_exists() {
            Ok(true) => self.present = true,
            Ok(false) => return,
            Err(error) => return self.problems.push(format!("{}: {error}", base.display())),
        }
        let depth = pattern.folders.len() - pattern.base().count() + 1 + pattern.tail.len();
        for file in WalkDir::new(&base).min_depth(depth).max_depth(depth).follow_links(true) {
            let file = match file {
                Ok(file) => file,
                Err(error) if error.loop_ancestor().is_some() || is_gone(&error) => continue,
                Err(error) => {
                    self.problems.push(error.to_string());
                    continue;
                }
            };
            if !file.file_type().is_file() {
                continue;
            }
            let id = match id_of(provider, home, pattern, name, file.path()) {
                Ok(Some(id)) => id,
                Ok(None) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    self.problems.push(format!("{}: {error}", file.path().display()));
                    continue;
                }
            };
            let metadata = match file.metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_gone(&error) => continue,
                Err(error) => {
                    self.problems.push(error.to_string());
                    continue;
                }
            };
            let modified = metadata.modified().map_or(DateTime::<Utc>::UNIX_EPOCH, DateTime::from);
            let session = Session { id, transcript: file.into_path(), modified, bytes: Some(metadata.len()) };
            match sessions.get_mut(&session.id) {
                None => drop(sessions.insert(session.id.clone(), session)),
                Some(known) => {
                    let bytes = known.bytes.zip(session.bytes).map(|(known, more)| known + more);
                    if session.modified > known.modified {
                        *known = session;
                    }
                    known.bytes = bytes;
                }
            }
        }
    }

    fn read_database(&mut self, provider: &Provider, home: &Path, sessions: &mut BTreeMap<String, Session>) {
        let Some(database) = &provider.database else { return };
        match database::sessions(database, home, &|_| true) {
            Ok(Some(rows)) => {
                self.present = true;
                self.database_bytes = database::size(database, home);
                for (id, row) in &rows.sessions {
                    let Some(modified) = row.last_activity else { continue };
                    let session =
                        Session { id: id.to_owned(), transcript: home.join(&database.path), modified, bytes: None };
                    sessions.entry(id.to_owned()).or_insert(session);
                }
            }
            Ok(None) => {}
            Err(problem) => self.problems.push(format!("{problem:#}")),
        }
    }
}

/// Whether what was listed is not there any more.
fn is_gone(error: &walkdir::Error) -> bool {
    error.io_error().and_then(Errno::from_io_error).is_some_and(walk::means_absent)
}

/// The session that the file at `path` belongs to; `None` when the pattern does not lead there.
///
/// # Errors
/// Only the file itself tells, and it cannot be read.
fn id_of(
    provider: &Provider,
    home: &Path,
    pattern: &PathPattern,
    name: &NamePattern,
    path: &Path,
) -> io::Result<Option<String>> {
    let Some(component) = id_component(provider, home, pattern, path) else { return Ok(None) };
    let inside = |field: &[String]| -> io::Result<Option<String>> {
        let folder = walk::open_folder_path(path.parent().unwrap_or(home))?;
        let file = CString::new(path.file_name().unwrap_or_default().as_bytes())?;
        match field_at_head(folder.as_fd(), &file, field) {
            Head::Found(text) => Ok(Some(text)),
            Head::Absent => Ok(None),
            Head::Unreadable(error) => Err(error),
        }
    };
    // With a `*` in front only the form of the id tells where it begins; all such names hold a UUID.
    let lengths = match name.characters {
        Some(length) => length..=length,
        None if name.is_exact() => 1..=component.len(),
        None => 36..=36,
    };
    let Some(named) = lengths.rev().find_map(|length| name.id_in(component, length)) else { return Ok(None) };
    if !provider.subagent_field.is_empty() {
        match inside(&provider.subagent_field) {
            Ok(None) => {}
            // What begins with no such record is no sub-agent's.
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            other => return other.map(|_| None),
        }
    }
    let id = match name.characters {
        Some(_) => inside(&provider.id_field)?,
        None => std::str::from_utf8(named).ok().map(str::to_owned),
    };
    Ok(id.filter(|id| SessionId::new(id).is_ok()))
}

/// The component of `path` that holds the id, if the pattern leads there.
fn id_component<'p>(provider: &Provider, home: &Path, pattern: &PathPattern, path: &'p Path) -> Option<&'p [u8]> {
    let relative = path.strip_prefix(home).ok()?;
    // Claude Code before 2.1 keeps `agent-<hex>.jsonl` beside the sessions they belong to.
    if provider.subagents.iter().any(|pattern| pattern.is_loose_file(relative)) {
        return None;
    }
    let mut components = relative.components().map(|component| component.as_os_str().as_bytes());
    let folders = pattern.folders.iter().all(|folder| components.next().is_some_and(|text| folder.matches(text)));
    let component = components.next()?;
    let tail = pattern.tail.iter().all(|folder| components.next().is_some_and(|text| folder.matches(text)));
    (folders && tail && components.next().is_none()).then_some(component)
}
