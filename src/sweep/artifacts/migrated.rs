//! What nanoclaw's migration from v1 to v2 left twice or three times.
//!
//! It copies `data/sessions/<folder>/.claude` whole to `data/v2-sessions/<group>/.claude-shared`, and there
//! `projects/-workspace-group` to `projects/-workspace-agent`, which is the one that v2 goes on with. A file goes where a copy
//! further along begins with all that it holds: a conversation that went on in the copy is longer.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chrono::DateTime;
use rustix::fs::{FileType, Mode, OFlags, openat};

use super::homes::{Continued, Home, Whose};
use super::plan::{HomePlan, Item, Plan, Twin};
use super::units::Unit;
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::walk::{self, FileStamp, Lister, Seen};
use crate::interrupt;
use crate::policy::artifact::{Cause, Verdict};

const OLD_PROJECT: &str = "projects/-workspace-group";
const NEW_PROJECT: &str = "projects/-workspace-agent";
const CHUNK: usize = 256 * 1024;

/// What goes: of each v1 home, and of each v2 home's old project.
pub(crate) fn plan<'c>(homes: Vec<Home<'c>>, roots: &[PathBuf]) -> Result<Plan<'c>> {
    let mut plan = Plan { homes: Vec::new(), forgotten: Vec::new(), held: None, problems: Vec::new() };
    let copies: Vec<PathBuf> = homes.iter().filter(|home| is_v2(home)).map(|home| home.folder.clone()).collect();
    for home in homes {
        let v1 = matches!(&home.whose, Whose::Group { continued: Continued::V1(_), .. });
        if !v1 && !is_v2(&home) {
            continue;
        }
        let Some(root) =
            roots.iter().filter_map(|root| std::fs::canonicalize(root).ok()).find(|root| home.folder.starts_with(root))
        else {
            continue;
        };
        // Without v2's database nobody has migrated.
        if !root.join("data/v2.db").is_file() {
            plan.problems.push(format!("{}: there is no data/v2.db, so nothing was migrated here", root.display()));
            continue;
        }
        let below: Vec<&PathBuf> = copies.iter().filter(|copy| copy.starts_with(&root)).collect();
        let mut search = Search {
            home: &home.folder,
            copies: if v1 { below } else { Vec::new() },
            found: Vec::new(),
            problems: Vec::new(),
        };
        let start = if v1 { Path::new("") } else { Path::new(OLD_PROJECT) };
        search.folder(start)?;
        plan.problems.append(&mut search.problems);
        let items = search.found;
        plan.homes.push(HomePlan { home, items });
    }
    Ok(plan)
}

fn is_v2(home: &Home<'_>) -> bool {
    matches!(&home.whose, Whose::Group { continued: Continued::V2(_), .. })
}

/// Looks for copies of what is in one home.
struct Search<'s> {
    home: &'s Path,
    /// The v2 homes that a v1 home may have been copied to.
    copies: Vec<&'s PathBuf>,
    found: Vec<Item>,
    problems: Vec<String>,
}

impl Search<'_> {
    fn folder(&mut self, path: &Path) -> Result<()> {
        let home = walk::open_folder_path(self.home)?;
        if let Some(folder) = walk::open_folder_without_links(home.as_fd(), path)? {
            self.inside(folder.as_fd(), path);
        }
        Ok(())
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
        for copy in self.places_of(path) {
            if let Some(stamp) = holds(folder, name, seen, &copy)? {
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
                    twin: Some(Twin { path: copy, stamp }),
                });
                break;
            }
        }
        Ok(())
    }

    /// Where copies of the file at `path` may be, those that v2 goes on with first.
    fn places_of(&self, path: &Path) -> Vec<PathBuf> {
        let renamed = path.strip_prefix(OLD_PROJECT).ok().map(|below| Path::new(NEW_PROJECT).join(below));
        if self.copies.is_empty() {
            return renamed.map(|renamed| self.home.join(renamed)).into_iter().collect();
        }
        let renamed = renamed.iter().flat_map(|renamed| self.copies.iter().map(move |copy| copy.join(renamed)));
        renamed.chain(self.copies.iter().map(|copy| copy.join(path))).collect()
    }
}

/// Whether the file at `copy` begins with all of a file that was `seen`; yields what tells that it does not change.
fn holds(folder: BorrowedFd<'_>, name: &CString, seen: &Seen, copy: &Path) -> std::io::Result<Option<FileStamp>> {
    let Some((copy_folder, copy_name)) = place(copy)? else { return Ok(None) };
    let there = match walk::look(copy_folder.as_fd(), &copy_name) {
        Ok(there) => there,
        Err(error) if walk::means_absent(error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // One file by two names is no copy.
    if there.kind != FileType::RegularFile || there.stamp.size < seen.stamp.size || there.identity() == seen.identity()
    {
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

/// The folder of a path, and its name.
fn place(path: &Path) -> std::io::Result<Option<(OwnedFd, CString)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    match walk::open_folder_path(parent) {
        Ok(folder) => Ok(Some((folder, CString::new(name.as_bytes())?))),
        Err(error) if walk::means_absent(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Twin {
    /// Whether the copy is still what it was.
    pub(super) fn is_unchanged(&self) -> bool {
        let found = place(&self.path).ok().flatten();
        found.is_some_and(|(folder, name)| walk::file_stamp(folder.as_fd(), &name) == Ok(Some(self.stamp)))
    }
}
