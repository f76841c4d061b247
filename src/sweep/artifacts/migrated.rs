//! What nanoclaw's migration from v1 to v2 left twice or three times.
//!
//! It copies `data/sessions/<folder>/.claude` whole to `data/v2-sessions/<group>/.claude-shared` (`agent_groups` in v2's database
//! tells which folder is which group's), and there `projects/-workspace-group` to `projects/-workspace-agent`, which is the one
//! that v2 goes on with. A transcript goes where a copy further along begins with all that it holds, as a conversation that
//! went on in the copy is longer; any other file where the copy is the same. And nobody may speak for it.
//!
//! Only what is a session's goes. What version 1 needs to go on at all (its settings, credentials, skills and memory) stays, and
//! where it does go on after the migration (the session that it names has no whole copy) everything of the group does.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use rustix::fs::{FileType, Mode, OFlags, openat};

use super::claims::Speakers;
use super::homes::{Continued, Home, Whose};
use super::open::Open;
use super::plan::{HomePlan, Item, Plan, Twin};
use super::units::{Unit, uuids_in};
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::proc::Proc;
use crate::filesystem::walk::{self, FileStamp, Lister, Seen};
use crate::interrupt;
use crate::policy::artifact::{Cause, Facts, Verdict};
use crate::policy::session_id::SessionId;
use crate::queues::central::folders_of_groups;

const OLD_PROJECT: &str = "projects/-workspace-group";
const NEW_PROJECT: &str = "projects/-workspace-agent";
const CHUNK: usize = 256 * 1024;

/// How long the central database may be busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What goes: of each v1 home, and of each v2 home's old project.
pub(crate) fn plan<'c>(
    homes: Vec<Home<'c>>,
    roots: &[PathBuf],
    (speakers, proc): (&Speakers<'_>, &Proc),
    now: DateTime<Utc>,
) -> Plan<'c> {
    let mut plan = Plan::default();
    let roots = roots.iter().filter_map(|root| std::fs::canonicalize(root).ok());
    let groups: Vec<(PathBuf, anyhow::Result<FxHashMap<String, String>>)> =
        roots.map(|root| (root.clone(), folders_of_groups(&root.join("data/v2.db"), PATIENCE))).collect();
    for (root, folders) in &groups {
        if let Err(error) = folders {
            // Without v2's database nobody has migrated.
            plan.problems.push(format!("{}: what was migrated is not known: {error:#}", root.display()));
        }
    }
    let places: Vec<(String, PathBuf)> = homes.iter().filter(|home| is_v2(home)).filter_map(place_of).collect();
    for home in homes {
        let Whose::Group { group, continued } = &home.whose else { continue };
        let Some((root, Ok(folders))) = groups.iter().find(|(root, _)| home.folder.starts_with(root)) else { continue };
        let is_copy = |(id, copy): &&(String, PathBuf)| {
            copy.starts_with(root) && folders.get(id).is_some_and(|folder| folder == group)
        };
        let (start, copies) = match continued {
            Continued::V1(_) => (Path::new(""), places.iter().filter(is_copy).map(|(_, copy)| copy.clone()).collect()),
            Continued::V2(_) => (Path::new(OLD_PROJECT), Vec::new()),
        };
        let mut search = Search {
            home: &home.folder,
            is_v1: start == Path::new(""),
            copies,
            found: Vec::new(),
            alone: Vec::new(),
            problems: Vec::new(),
        };
        search.folder(start);
        plan.problems.append(&mut search.problems);
        let items = judged(&home, (search.found, &search.alone), (speakers, proc), now, &mut plan.problems);
        plan.homes.push(HomePlan { home, items, excesses: Vec::new() });
    }
    plan
}

/// An agent group's id and home.
fn place_of(home: &Home<'_>) -> Option<(String, PathBuf)> {
    let Whose::Group { group, .. } = &home.whose else { return None };
    Some((group.clone(), home.folder.clone()))
}

/// Whether what has a copy may go, beside the sessions that are `alone`.
fn judged(
    home: &Home<'_>,
    (found, alone): (Vec<Item>, &[String]),
    (speakers, proc): (&Speakers<'_>, &Proc),
    now: DateTime<Utc>,
    problems: &mut Vec<String>,
) -> Vec<Item> {
    if found.is_empty() {
        return found;
    }
    let claims = speakers.of(home);
    let units: Vec<&Unit> = found.iter().map(|item| &item.unit).collect();
    let open = Open::look(home, &units, proc);
    problems.extend(claims.trouble.iter().map(|why| format!("{}: {why}", home.folder.display())));
    problems.extend(open.trouble.iter().cloned());
    let in_use = alone.iter().find_map(|session| claims.continued(session));
    let judge = |item: Item| {
        let doubt = claims.trouble.clone().or_else(|| open.trouble.clone());
        let mut claims = claims.on(&item.unit, &[], &open);
        claims.extend(in_use.clone());
        let facts = Facts { modified: item.unit.modified(), recorded: Ok(None), doubt, claims };
        Item { verdict: facts.as_duplicate(now), ..item }
    };
    found.into_iter().map(judge).collect()
}

fn is_v2(home: &Home<'_>) -> bool {
    matches!(&home.whose, Whose::Group { continued: Continued::V2(_), .. })
}

/// Looks for copies of what is in one home.
struct Search<'s> {
    home: &'s Path,
    is_v1: bool,
    /// The v2 homes that a v1 home was copied to.
    copies: Vec<PathBuf>,
    found: Vec<Item>,
    /// The sessions whose transcripts have no whole copy.
    alone: Vec<String>,
    problems: Vec<String>,
}

impl Search<'_> {
    fn folder(&mut self, path: &Path) {
        let opened =
            walk::open_folder_path(self.home).and_then(|home| walk::open_folder_without_links(home.as_fd(), path));
        match opened {
            Ok(Some(folder)) => self.inside(folder.as_fd(), path),
            Ok(None) => {}
            Err(error) => self.problems.push(format!("{}: {error}", self.home.join(path).display())),
        }
    }

    fn inside(&mut self, folder: BorrowedFd<'_>, path: &Path) {
        let mut names = Vec::new();
        if let Err(error) = Lister::new().list(folder, |name, _| names.push(name.to_owned())) {
            self.problems.push(format!("{}: {error}", self.home.join(path).display()));
        }
        names.sort();
        for name in names {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let looked = walk::look(folder, &name).map_err(std::io::Error::from);
            let done = looked.and_then(|seen| match seen.kind {
                FileType::RegularFile => self.file(folder, &name, &path, &seen),
                FileType::Directory => {
                    if let Some(below) = walk::open_real_folder(folder, &*name)? {
                        self.inside(below.as_fd(), &path);
                    }
                    Ok(())
                }
                _ => Ok(()),
            });
            if let Err(error) = done {
                self.problems.push(format!("{}: {error}", self.home.join(&path).display()));
            }
        }
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &CString, path: &Path, seen: &Seen) -> std::io::Result<()> {
        let found = self.found.len();
        // What is empty is in every file.
        for (home, copy) in self.places_of(path).into_iter().filter(|_| seen.stamp.size > 0 && is_of_session(path)) {
            if let Some(stamp) = holds(folder, name, seen, (&home, &copy))? {
                let mut sums = Sums::default();
                sums.add(seen, true);
                let piece = Piece {
                    kind: 0,
                    path: path.to_owned(),
                    is_folder: false,
                    sums,
                    part: None,
                    id: None,
                    is_incomplete: false,
                };
                let unit = Unit { kind: 0, session: None, pieces: vec![piece], sums };
                self.found.push(Item {
                    last_activity: sums.newest.map(DateTime::from_timestamp_nanos),
                    unit,
                    verdict: Verdict::Remove(Cause::Duplicate),
                    above: Vec::new(),
                    twin: Some(Twin { home, path: copy, stamp }),
                });
                break;
            }
        }
        if self.found.len() == found && path.extension().is_some_and(|ending| ending == "jsonl") {
            self.alone.extend(uuids_in(path));
        }
        Ok(())
    }

    /// Where copies of the file at `path` may be, those that v2 goes on with first, each with the home that it is in.
    fn places_of(&self, path: &Path) -> Vec<(PathBuf, PathBuf)> {
        let renamed = path.strip_prefix(OLD_PROJECT).ok().map(|below| Path::new(NEW_PROJECT).join(below));
        let at = |home: &Path, below: &Path| (home.to_owned(), home.join(below));
        if !self.is_v1 {
            return renamed.map(|renamed| at(self.home, &renamed)).into_iter().collect();
        }
        let renamed = renamed.iter().flat_map(|renamed| self.copies.iter().map(move |copy| at(copy, renamed)));
        renamed.chain(self.copies.iter().map(|copy| at(copy, path))).collect()
    }
}

/// Whether a file below a home is a session's: its transcript, a sub-agent's, what is kept for it alone, or a log, a list or
/// telemetry that names it.
fn is_of_session(path: &Path) -> bool {
    let mut components = path.iter().filter_map(OsStr::to_str);
    let is_uuid = |name: &str| SessionId::new(name).is_ok_and(SessionId::is_uuid);
    match (components.next(), components.next(), components.next(), components.next()) {
        (Some("projects"), Some(_), Some(folder), Some(_)) => is_uuid(folder),
        (Some("projects"), Some(_), Some(file), None) => {
            file.strip_suffix(".jsonl").is_some_and(|stem| is_uuid(stem) || stem.starts_with("agent-"))
        }
        (Some("debug" | "todos" | "telemetry"), ..) => !uuids_in(path).is_empty(),
        _ => false,
    }
}

/// Whether the file at `copy` holds all of a file that was `seen`; yields what tells that it does not change.
fn holds(
    folder: BorrowedFd<'_>,
    name: &CString,
    seen: &Seen,
    (home, copy): (&Path, &Path),
) -> std::io::Result<Option<FileStamp>> {
    let Some((copy_folder, copy_name)) = place(home, copy)? else { return Ok(None) };
    let there = match walk::look(copy_folder.as_fd(), &copy_name) {
        Ok(there) => there,
        Err(error) if walk::means_absent(error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // One file by two names is no copy.
    let goes_on = copy.extension().is_some_and(|ending| ending == "jsonl");
    let is_whole = there.stamp.size == seen.stamp.size || (goes_on && there.stamp.size > seen.stamp.size);
    if there.kind != FileType::RegularFile || !is_whole || there.identity() == seen.identity() {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |folder: BorrowedFd<'_>, name: &CString| -> std::io::Result<File> {
        Ok(File::from(openat(folder, name.as_c_str(), flags, Mode::empty())?))
    };
    let (mut one, mut other) = (open(folder, name)?, open(copy_folder.as_fd(), &copy_name)?);
    let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut left = seen.stamp.size;
    while left > 0 {
        interrupt::mark();
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        one.read_exact(&mut first[..length])?;
        other.read_exact(&mut second[..length])?;
        if first[..length] != second[..length] {
            return Ok(None);
        }
        left -= length as u64;
    }
    Ok(Some(there.stamp))
}

/// The folder of a path in a home, which is reached without a link, and its name.
fn place(home: &Path, path: &Path) -> rustix::io::Result<Option<(OwnedFd, CString)>> {
    let Ok(below) = path.strip_prefix(home) else { return Ok(None) };
    match walk::open_folder_path(home) {
        Ok(folder) => walk::open_place(folder.as_fd(), below),
        Err(error) if walk::means_absent(error) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Twin {
    /// Whether the copy is still what it was.
    pub(super) fn is_unchanged(&self) -> bool {
        let found = place(&self.home, &self.path).ok().flatten();
        found.is_some_and(|(folder, name)| walk::file_stamp(folder.as_fd(), &name) == Ok(Some(self.stamp)))
    }
}
