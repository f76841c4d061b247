//! The files and folders that one item consists of: looked at, held against the plan, removed.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use rustix::fs::FileType;

use super::apply::{Failure, Outcome};
use crate::artifacts::rules::Part;
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::walk::{self, Lister, Seen};
use crate::filesystem::{remove_empty_folder, remove_unchanged};
use crate::interrupt;

/// One file that is to go.
pub(super) struct Going {
    /// Relative to the home.
    pub(super) path: PathBuf,
    /// It is a transcript: by it a session is known.
    is_transcript: bool,
    pub(super) seen: Seen,
    pub(super) accessed: i64,
}

/// All that an item consists of.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) files: Vec<Going>,
    /// Those above before those below.
    pub(super) folders: Vec<Going>,
}

impl Parts {
    /// Looks at all that `pieces` consist of now; nothing where one of them is gone, is reached by a link, or holds something
    /// that is no file.
    pub(super) fn of(home: BorrowedFd<'_>, pieces: &[Piece]) -> rustix::io::Result<Option<Self>> {
        let mut parts = Self::default();
        for piece in pieces {
            let Some((folder, name)) = parent_of(home, &piece.path)? else { return Ok(None) };
            let Some(going) = look(folder.as_fd(), &name, piece.path.clone())? else { return Ok(None) };
            if !piece.is_folder {
                parts.files.push(Going { is_transcript: piece.part == Some(Part::Transcript), ..going });
            } else if !parts.add_folder(folder.as_fd(), &name, going)? {
                return Ok(None);
            }
        }
        Ok(Some(parts))
    }

    /// Adds a folder with all that is in it; false where something in it is neither a file nor a folder.
    fn add_folder(&mut self, parent: BorrowedFd<'_>, name: &CString, going: Going) -> rustix::io::Result<bool> {
        let Some(folder) = walk::open_real_folder(parent, name)? else { return Ok(false) };
        let path = going.path.clone();
        self.folders.push(going);
        let mut names = Vec::new();
        Lister::new().list(folder.as_fd(), |name, _| names.push(name.to_owned()))?;
        names.sort();
        for name in names {
            let Some(going) = look(folder.as_fd(), &name, path.join(OsStr::from_bytes(name.to_bytes())))? else {
                return Ok(false);
            };
            match going.seen.kind {
                FileType::RegularFile => self.files.push(going),
                FileType::Directory if self.add_folder(folder.as_fd(), &name, going)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What shows that a file came, went or changed since the survey.
    pub(super) fn trace(&self) -> u64 {
        let mut sums = Sums::default();
        self.files.iter().for_each(|going| sums.add(&going.seen, true));
        sums.trace
    }

    /// Whether every file is as it was.
    pub(super) fn are_unchanged(&self, home: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        for going in &self.files {
            interrupt::mark();
            let Some((folder, name)) = parent_of(home, &going.path)? else { return Ok(false) };
            if walk::file_stamp(folder.as_fd(), &name) != Ok(Some(going.seen.stamp)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the files and the folders, as far as these are empty. Transcripts last: by them the run after one that was killed
    /// here finds the rest.
    pub(super) fn remove(
        &self,
        home: BorrowedFd<'_>,
        links: &mut FxHashMap<(u64, u64), u32>,
        freed: &mut u64,
    ) -> Result<Outcome, Failure> {
        let mut removed = 0;
        let (last, first): (Vec<&Going>, Vec<&Going>) = self.files.iter().partition(|going| going.is_transcript);
        for going in first {
            if let Some(outcome) = Self::remove_file(home, going, &mut removed, links, freed)? {
                return Ok(outcome);
            }
        }
        for going in self.folders.iter().rev() {
            interrupt::mark();
            if let Some((folder, name)) = parent_of(home, &going.path)? {
                remove_empty_folder(folder.as_fd(), &name)?;
            }
        }
        for going in last {
            if let Some(outcome) = Self::remove_file(home, going, &mut removed, links, freed)? {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Removed)
    }

    /// Removes one file; yields how the item ends where it ends with this one.
    fn remove_file(
        home: BorrowedFd<'_>,
        going: &Going,
        removed: &mut usize,
        links: &mut FxHashMap<(u64, u64), u32>,
        freed: &mut u64,
    ) -> Result<Option<Outcome>, Failure> {
        // Not asked whether to end: half an item is none.
        interrupt::mark();
        let at = |error: rustix::io::Errno| Failure::of(format!("{}: {error}", going.path.display()));
        let place = parent_of(home, &going.path).map_err(at)?;
        let is_gone = match &place {
            Some((folder, name)) => remove_unchanged(folder.as_fd(), name, going.seen.stamp).map_err(at)?,
            None => false,
        };
        if !is_gone && *removed == 0 {
            return Ok(Some(Outcome::Changed));
        }
        if !is_gone {
            return Err(Failure::of(format!("{} changed, and stays; the rest was removed", going.path.display())));
        }
        *removed += 1;
        *freed += going.freed(links);
        Ok(None)
    }
}

impl Going {
    /// What the disk has back when this name is gone: nothing while the file has another one.
    fn freed(&self, links: &mut FxHashMap<(u64, u64), u32>) -> u64 {
        let gone = links.entry(self.seen.identity()).or_default();
        *gone += 1;
        if *gone >= self.seen.links { self.seen.disk } else { 0 }
    }
}

/// The folder that holds `path`, without a link on the way, and the name in it.
fn parent_of(home: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<Option<(OwnedFd, CString)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Ok(name) = CString::new(name.as_bytes()) else { return Ok(None) };
    Ok(walk::open_folder_without_links(home, parent)?.map(|folder| (folder, name)))
}

fn look(folder: BorrowedFd<'_>, name: &CString, path: PathBuf) -> rustix::io::Result<Option<Going>> {
    match walk::look_closely(folder, name) {
        Ok((seen, accessed)) => Ok(Some(Going { path, is_transcript: false, seen, accessed })),
        Err(error) if walk::means_absent(error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_a_large_item_is_a_sign_of_life() {
        let home = tempfile::tempdir().unwrap();
        let item = home.path().join("item");
        fs_err::create_dir(&item).unwrap();
        (0..9).for_each(|number| fs_err::write(item.join(number.to_string()), "x").unwrap());
        let opened = std::fs::File::open(home.path()).unwrap();
        let piece = Piece {
            kind: 0,
            path: PathBuf::from("item"),
            is_folder: true,
            sums: Sums::default(),
            part: None,
            id: None,
            is_incomplete: false,
        };
        let parts = Parts::of(opened.as_fd(), &[piece]).unwrap().unwrap();
        let mut steps = interrupt::steps_of_test();
        let mut took = || interrupt::steps_of_test() - std::mem::replace(&mut steps, interrupt::steps_of_test());
        assert!(parts.are_unchanged(opened.as_fd()).unwrap() && took() >= 9);
        assert!(matches!(parts.remove(opened.as_fd(), &mut FxHashMap::default(), &mut 0), Ok(Outcome::Removed)));
        assert!(took() >= 10 && !item.exists());
    }
}
