//! Putting an archived session back where it was.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::write::{decoder, is_manifest};
use super::{Archive, CONTENT, Entry};
use crate::filesystem::{PutBack, folder_for, put_back, set_folder, walk};

/// What became of a session's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Relative to the home.
    pub(crate) files: Vec<PathBuf>,
    /// Those that were there already, as they had been.
    pub(crate) were_there: Vec<PathBuf>,
    pub(crate) bytes: u64,
}

/// Puts all files of an entry back, with the modes and times that they had. The entry stays in the archive.
///
/// # Errors
/// Another file has the name of one of them: none is put back. Or the archive is damaged, or a folder cannot be written: those
/// before are there, and the next attempt goes on from them.
pub(crate) fn restore(archive: &Archive, entry: &Entry) -> Result<Restored> {
    let manifest = &entry.manifest;
    let home = home_of(&manifest.home)?;
    refuse_what_is_in_the_way(entry)?;
    let path = archive.path(&entry.name, CONTENT);
    let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let damaged = || format!("{} is damaged", path.display());
    let mut contents = tar::Archive::new(decoder(&file).with_context(damaged)?);
    let mut expected = manifest.files.iter();
    let mut restored = Restored::default();
    for (number, content) in contents.entries().with_context(damaged)?.enumerate() {
        let mut content = content.with_context(damaged)?;
        if number == 0 && is_manifest(&content).with_context(damaged)? {
            continue;
        }
        let path_inside = content.path().with_context(damaged)?.into_owned();
        let Some(file) = expected.next().filter(|file| file.path == path_inside) else {
            bail!("{} holds {}, which its manifest does not name", path.display(), path_inside.display());
        };
        let (parent, name) = (file.path.parent().unwrap_or(Path::new("")), file.path.file_name().unwrap_or_default());
        let place = || format!("cannot put {} back", manifest.home.join(&file.path).display());
        let folder = folder_for(home.as_fd(), parent).with_context(place)?;
        let size = content.size();
        ensure!(
            size == file.size,
            "{}: {} has another size than its manifest says",
            path.display(),
            file.path.display()
        );
        let at = (folder.as_fd(), &*manifest.home.join(parent));
        match put_back(at, name, (&mut content, size), file.attributes()).with_context(place)? {
            PutBack::Done => restored.files.push(file.path.clone()),
            PutBack::WasThere => restored.were_there.push(file.path.clone()),
            PutBack::InTheWay => bail!("{}: {}", place(), IN_THE_WAY),
        }
        restored.bytes += size;
    }
    ensure!(expected.next().is_none(), "{} lacks files that its manifest names", path.display());
    // From below, as what is put into a folder changes its time.
    for folder in manifest.folders.iter().rev() {
        set_folder(home.as_fd(), &folder.path, folder.attributes())
            .with_context(|| format!("cannot set the time of {}", folder.path.display()))?;
    }
    Ok(restored)
}

const IN_THE_WAY: &str = "something else is there by now; move it away and try again";

fn home_of(path: &Path) -> Result<std::os::fd::OwnedFd> {
    walk::open_folder_path(path)
        .map_err(io::Error::from)
        .with_context(|| format!("the home {} cannot be opened; make it and try again", path.display()))
}

/// Looks at all places before anything is put into one.
fn refuse_what_is_in_the_way(entry: &Entry) -> Result<()> {
    let manifest = &entry.manifest;
    let mut known = std::collections::BTreeSet::new();
    for file in &manifest.files {
        for folder in file.path.ancestors().skip(1).filter(|folder| known.insert(*folder)) {
            let path = manifest.home.join(folder);
            let is_free = match std::fs::symlink_metadata(&path) {
                // The home itself may be a link.
                Ok(_) if folder.as_os_str().is_empty() => true,
                Ok(there) => there.is_dir(),
                Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            };
            ensure!(is_free, "cannot put {} back: {IN_THE_WAY}", path.display());
        }
        let path = manifest.home.join(&file.path);
        match std::fs::symlink_metadata(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
            Ok(there) => {
                use std::os::unix::fs::MetadataExt as _;
                let modified = there.mtime().saturating_mul(1_000_000_000).saturating_add(there.mtime_nsec());
                let is_same = there.is_file() && there.len() == file.size && modified == file.attributes().modified;
                ensure!(is_same, "cannot put {} back: {IN_THE_WAY}", path.display());
            }
        }
    }
    Ok(())
}
