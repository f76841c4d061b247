//! The files and folders that one item consists of: looked at, held against the plan, removed.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::apply::{Failure, Outcome};
use super::names::Names;
use crate::artifacts::archive::Archived;
use crate::artifacts::survey::{Piece, Sums};
use crate::filesystem::walk::{self, Lister, Seen};
use crate::filesystem::{Attributes, removal_obstacle, remove_empty_folder, remove_name, remove_unchanged};
use crate::interrupt;

/// One file that is to go.
pub(super) struct Going {
    /// Relative to the home.
    pub(super) path: PathBuf,
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
    pub(super) fn of(home: BorrowedFd<'_>, pieces: &[Piece], names: &Names) -> rustix::io::Result<Option<Self>> {
        let mut parts = Self::default();
        for piece in pieces {
            let Some((folder, name)) = walk::open_place(home, &piece.path)? else { return Ok(None) };
            let Some(going) = look(folder.as_fd(), &name, piece.path.clone())? else { return Ok(None) };
            if !piece.is_folder {
                parts.files.push(going);
            } else if !parts.add_folder(folder.as_fd(), &name, going)? {
                return Ok(None);
            }
        }
        for going in &mut parts.files {
            going.seen = names.before(going.seen);
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

    /// Whether every file is as it was, but for what this run did itself.
    pub(super) fn are_unchanged(&self, home: BorrowedFd<'_>, names: &Names) -> rustix::io::Result<bool> {
        for going in &self.files {
            interrupt::mark();
            let Some((folder, name)) = walk::open_place(home, &going.path)? else { return Ok(false) };
            if walk::file_stamp(folder.as_fd(), &name) != Ok(Some(names.expected(&going.seen))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why not all of it could be removed: found out before the first file goes.
    pub(super) fn obstacle(&self, home: BorrowedFd<'_>) -> std::io::Result<Option<String>> {
        let mut places: BTreeMap<&Path, Vec<u32>> = BTreeMap::new();
        for going in self.files.iter().chain(&self.folders) {
            places.entry(going.path.parent().unwrap_or(Path::new(""))).or_default().push(going.seen.owner);
        }
        for (place, owners) in places {
            let Some(folder) = walk::open_folder_without_links(home, place)? else { continue };
            if let Some(why) = removal_obstacle(folder.as_fd(), owners.into_iter())? {
                return Ok(Some(format!("the folder {} {why}", place.display())));
            }
        }
        Ok(None)
    }

    /// Removes the files, what is known by them first (`is_record`), and then the folders, as far as these are empty. Whoever is
    /// stopped in between leaves a session that is whole in the archive and that nobody goes on with by mistake; the next run
    /// finds the rest by what the archive holds.
    pub(super) fn remove(
        &self,
        home: BorrowedFd<'_>,
        is_record: impl Fn(&Path) -> bool,
        names: &mut Names,
        freed: &mut u64,
    ) -> Result<Outcome, Failure> {
        let mut removed = 0;
        let stopped = |removed: usize, path: &Path, why: &dyn std::fmt::Display| {
            let much = match removed {
                0 => "nothing of it was removed".to_owned(),
                some => format!("{some} of {} files removed", self.files.len()),
            };
            Failure::of(format!("{}: {why}; {much}", path.display()))
        };
        let (first, last): (Vec<&Going>, Vec<&Going>) = self.files.iter().partition(|going| is_record(&going.path));
        for going in first.into_iter().chain(last) {
            // Not asked whether to end: half an item is none.
            interrupt::mark();
            match going.remove(home, names) {
                Ok(Some(disk)) => *freed += disk,
                Ok(None) if removed == 0 => return Ok(Outcome::Changed),
                Ok(None) => return Err(stopped(removed, &going.path, &"it changed meanwhile, and stays")),
                Err(error) => return Err(stopped(removed, &going.path, &error)),
            }
            removed += 1;
        }
        for going in self.folders.iter().rev() {
            interrupt::mark();
            let done = walk::open_place(home, &going.path).and_then(|place| match place {
                Some((folder, name)) => remove_empty_folder(folder.as_fd(), &name),
                None => Ok(false),
            });
            done.map_err(|error| stopped(removed, &going.path, &error))?;
        }
        Ok(Outcome::Removed)
    }
}

impl Going {
    /// Removes the file unless it changed; yields what the disk has back.
    fn remove(&self, home: BorrowedFd<'_>, names: &mut Names) -> rustix::io::Result<Option<u64>> {
        let Some((folder, name)) = walk::open_place(home, &self.path)? else { return Ok(None) };
        let stamp = names.expected(&self.seen);
        if self.seen.links < 2 {
            let is_gone = remove_unchanged(folder.as_fd(), &name, stamp)?;
            return Ok(is_gone.then_some(self.seen.disk));
        }
        let after = remove_name(folder.as_fd(), &name, stamp)?;
        Ok(after.map(|after| names.take(&self.seen, after)))
    }

    /// As the archive notes it.
    pub(super) fn archived(&self) -> Archived {
        let Seen { mode, owner, group, stamp, .. } = self.seen;
        let attributes = Attributes { mode, owner, group, modified: stamp.modified, accessed: self.accessed };
        Archived::new(self.path.clone(), stamp.size, attributes)
    }
}

fn look(folder: BorrowedFd<'_>, name: &CString, path: PathBuf) -> rustix::io::Result<Option<Going>> {
    match walk::look_closely(folder, name) {
        Ok((seen, accessed)) => Ok(Some(Going { path, seen, accessed })),
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
        let parts = Parts::of(opened.as_fd(), &[piece], &Names::default()).unwrap().unwrap();
        let mut steps = interrupt::steps_of_test();
        let mut took = || interrupt::steps_of_test() - std::mem::replace(&mut steps, interrupt::steps_of_test());
        assert!(parts.are_unchanged(opened.as_fd(), &Names::default()).unwrap() && took() >= 9);
        let removed = parts.remove(opened.as_fd(), |_| false, &mut Names::default(), &mut 0);
        assert!(matches!(removed, Ok(Outcome::Removed)));
        assert!(took() >= 10 && !item.exists());
    }
}
