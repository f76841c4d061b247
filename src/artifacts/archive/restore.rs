//! Putting an archived session back where it was.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::content::{CHUNK, Content, fill, is_manifest, system_error};
use super::{Archive, Archived, CONTENT, Entry, Manifest};
use crate::filesystem::{Place, PutBack, folder_for, place_of, put_back, set_folder, walk};

/// What became of a session's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Relative to the home.
    pub(crate) files: Vec<PathBuf>,
    /// Those that were there already, with the same content.
    pub(crate) were_there: Vec<PathBuf>,
    /// Those that were there, and had grown since they were archived.
    pub(crate) grown: Vec<PathBuf>,
    pub(crate) bytes: u64,
}

/// What is in the place of an archived file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nothing,
    /// A file with the same content.
    Same,
    /// The transcript, to which more was added.
    Grown,
    Other,
}

/// Puts all files of an entry back that are not there, with the modes and times that they had. The entry stays in the archive.
///
/// # Errors
/// The archive is damaged, or something else has the name of one of the files: none is put back. Or a folder cannot be written:
/// those before are there, and the next attempt goes on from them.
pub(crate) fn restore(archive: &Archive, entry: &Entry) -> Result<Restored> {
    let manifest = &entry.manifest;
    let path = archive.path(&entry.name, CONTENT);
    let looked = || -> Result<_> {
        let home = home_of(&manifest.home)?;
        refuse_folders_in_the_way(manifest)?;
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let source = Source { path: &path, file };
        let standing = look(&source, manifest, home.as_fd())?;
        Ok((home, source, standing))
    };
    let (home, source, standing) = looked().context("nothing was put back")?;
    let restored = put_missing(&source, manifest, home.as_fd(), &standing)?;
    // Where the session went on, the folders have times of their own.
    let folders = manifest.folders.iter().filter(|_| restored.grown.is_empty());
    // From below, as what is put into a folder changes its time.
    for folder in folders.rev() {
        set_folder(home.as_fd(), &folder.path, folder.attributes())
            .with_context(|| format!("cannot set the time of {}", folder.path.display()))?;
    }
    Ok(restored)
}

const IN_THE_WAY: &str = "something else is there by now; move it away and try again";

fn home_of(path: &Path) -> Result<OwnedFd> {
    walk::open_folder_path(path)
        .map_err(io::Error::from)
        .with_context(|| format!("the home {} cannot be opened; make it and try again", path.display()))
}

/// The file that a session is put back from.
struct Source<'s> {
    path: &'s Path,
    file: File,
}

impl Source<'_> {
    /// Says why it cannot be read, and what to do.
    fn unreadable(&self, error: &io::Error) -> anyhow::Error {
        let path = self.path.display();
        match system_error(error) {
            Some(code) => anyhow!("cannot read {path}: {}", io::Error::from_raw_os_error(code)),
            None => anyhow!(
                "{path} is damaged: {error}; put a copy of it from a backup in its place and try again, or look with \
                 `zstd -dc {path} | tar -tv` at what can still be read of it"
            ),
        }
    }

    /// Calls `visit` with each file of the manifest and its content. Whatever it or the reading said: where the archive is
    /// damaged, that is why.
    fn each(
        &self,
        manifest: &Manifest,
        mut visit: impl FnMut(usize, &Archived, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let mut contents = tar::Archive::new(Content::of(&self.file).map_err(unreadable)?);
        let visited = self.each_member(&mut contents, manifest, &mut visit);
        contents.into_inner().finish().map_err(unreadable)?;
        visited
    }

    fn each_member(
        &self,
        contents: &mut tar::Archive<Content<'_>>,
        manifest: &Manifest,
        visit: &mut dyn FnMut(usize, &Archived, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let mut expected = manifest.files.iter().enumerate();
        for (number, member) in contents.entries().map_err(unreadable)?.enumerate() {
            let mut member = member.map_err(unreadable)?;
            if number == 0 && is_manifest(&member).map_err(unreadable)? {
                continue;
            }
            let inside = member.path().map_err(unreadable)?.into_owned();
            let Some((index, file)) = expected.next().filter(|(_, file)| file.path == inside) else {
                bail!("{} holds {}, which its manifest does not name", self.path.display(), inside.display());
            };
            ensure!(
                member.size() == file.size,
                "{}: {} has another size than its manifest says",
                self.path.display(),
                file.path.display()
            );
            visit(index, file, &mut member)?;
        }
        ensure!(expected.next().is_none(), "{} lacks files that its manifest names", self.path.display());
        Ok(())
    }
}

/// Reads the whole archive and looks at all places before anything is put into one: what is in each.
fn look(source: &Source<'_>, manifest: &Manifest, home: BorrowedFd<'_>) -> Result<Vec<Standing>> {
    let mut standing = Vec::new();
    source.each(manifest, |_, file, content| {
        standing.push(standing_of(source, (file, content), (home, &manifest.home.join(&file.path)))?);
        Ok(())
    })?;
    for (file, standing) in manifest.files.iter().zip(&standing) {
        ensure!(*standing != Standing::Other, in_the_way(&manifest.home.join(&file.path)));
    }
    Ok(standing)
}

fn in_the_way(path: &Path) -> String {
    format!("cannot put {} back: {IN_THE_WAY}", path.display())
}

/// Compares what is in the place of `file`, whose whole path is `path`, with its archived content.
fn standing_of(
    source: &Source<'_>,
    (file, content): (&Archived, &mut dyn Read),
    (home, path): (BorrowedFd<'_>, &Path),
) -> Result<Standing> {
    let unseen = || format!("cannot look at {}", path.display());
    let mut there = match place_of(home, &file.path).with_context(unseen)? {
        Place::Free => return Ok(Standing::Nothing),
        Place::Other => return Ok(Standing::Other),
        Place::File(there) => there,
    };
    let (mut first, mut second) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let length = fill(content, &mut first).map_err(|error| source.unreadable(&error))?;
        let length_there = fill(&mut there, &mut second).with_context(unseen)?;
        if length > length_there || first[..length] != second[..length] {
            return Ok(Standing::Other);
        }
        if length < length_there {
            let is_grown = file.size > 0 && file.path.extension().is_some_and(|ending| ending == "jsonl");
            return Ok(if is_grown { Standing::Grown } else { Standing::Other });
        }
        if length == 0 {
            return Ok(Standing::Same);
        }
    }
}

/// Puts the files back in whose place nothing is.
fn put_missing(
    source: &Source<'_>,
    manifest: &Manifest,
    home: BorrowedFd<'_>,
    standing: &[Standing],
) -> Result<Restored> {
    let mut restored = Restored::default();
    source.each(manifest, |index, file, content| {
        match standing[index] {
            Standing::Same => restored.were_there.push(file.path.clone()),
            Standing::Grown => restored.grown.push(file.path.clone()),
            Standing::Nothing | Standing::Other => {
                put_file(home, manifest, (file, content))?;
                restored.files.push(file.path.clone());
                restored.bytes += file.size;
            }
        }
        Ok(())
    })?;
    Ok(restored)
}

fn put_file(home: BorrowedFd<'_>, manifest: &Manifest, (file, content): (&Archived, &mut dyn Read)) -> Result<()> {
    let whole = manifest.home.join(&file.path);
    let place = || format!("cannot put {} back", whole.display());
    let (parent, name) = (file.path.parent().unwrap_or(Path::new("")), file.path.file_name().unwrap_or_default());
    let folder = folder_for(home, parent).with_context(place)?;
    let at = (folder.as_fd(), &*manifest.home.join(parent));
    match put_back(at, name, (content, file.size), file.attributes()).with_context(place)? {
        PutBack::Done => Ok(()),
        PutBack::InTheWay => bail!(in_the_way(&whole)),
    }
}

/// Looks at all folders that files are put into.
fn refuse_folders_in_the_way(manifest: &Manifest) -> Result<()> {
    let mut known = BTreeSet::new();
    for folder in manifest.files.iter().flat_map(|file| file.path.ancestors().skip(1)) {
        // The home itself may be a link.
        if folder.as_os_str().is_empty() || !known.insert(folder) {
            continue;
        }
        let path = manifest.home.join(folder);
        let is_free = match std::fs::symlink_metadata(&path) {
            Ok(there) => there.is_dir(),
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        };
        ensure!(is_free, in_the_way(&path));
    }
    Ok(())
}
