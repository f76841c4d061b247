//! Which transcripts a process holds open (Codex up to 0.146 has no other sign of a running session).

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::filesystem::proc::{OpenFile, Proc};

/// What one look at all processes showed.
#[derive(Debug, Default)]
pub(crate) struct OpenTranscripts {
    /// Each transcript that is open, with a process that holds it.
    pub(crate) holders: FxHashMap<PathBuf, u32>,
    /// Processes of other users, whose files we may not see.
    pub(crate) denied: usize,
    /// What else could not be examined.
    pub(crate) errors: Vec<String>,
}

/// Looks at the open files of all processes but this one, once. `candidate` tells which transcript a file of that name
/// may be.
///
/// The same file is then known by its path, or by device and inode, so that a home behind a symlink or in a container
/// is no obstacle. A transcript that was replaced while its writer runs is still held by its path.
pub(crate) fn open_transcripts(proc: &Proc, candidate: &dyn Fn(&[u8]) -> Option<PathBuf>) -> OpenTranscripts {
    let mut open = OpenTranscripts::default();
    let pids = match proc.pids() {
        Ok(pids) => pids,
        Err(error) => {
            open.errors.push(format!("open files are not known: {error}"));
            return open;
        }
    };
    let own = std::process::id();
    for pid in pids.into_iter().filter(|pid| *pid != own) {
        let seen = proc.open_files(pid, |file| {
            let name = file.path().file_name().map(OsStr::as_bytes).unwrap_or_default();
            if let Some(path) = candidate(name).filter(|path| is_same(file, path)) {
                open.holders.insert(path, pid);
            }
        });
        match seen {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => open.denied += 1,
            Err(error) => open.errors.push(format!("open files of process {pid} are not known: {error}")),
        }
    }
    open
}

fn is_same(file: &OpenFile<'_>, path: &Path) -> bool {
    file.path() == path
        || file.identity().is_ok_and(|open| std::fs::metadata(path).is_ok_and(|at| (at.dev(), at.ino()) == open))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::process::{Child, Command, Stdio};

    fn holder(proc: &Proc, path: &Path) -> Option<u32> {
        let own_name = path.file_name().unwrap().as_bytes();
        open_transcripts(proc, &|name| (name == own_name).then(|| path.to_owned())).holders.get(path).copied()
    }

    fn holding(path: &Path) -> Child {
        let file = File::options().append(true).create(true).open(path).unwrap();
        Command::new("sleep").arg("600").stdout(file).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_transcript_is_held_until_its_process_ends() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (held, free) = (folder.join("rollout-a.jsonl"), folder.join("rollout-b.jsonl"));
        let mut child = holding(&held);
        File::create(&free).unwrap();
        let other = folder.join("other");
        std::fs::create_dir(&other).unwrap();
        File::create(other.join("rollout-a.jsonl")).unwrap();
        let link = folder.join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let behind_link = link.join("rollout-a.jsonl");
        let look = |path: &Path| holder(&Proc::default(), path);
        assert_eq!([&held, &behind_link].map(|path| look(path)), [Some(child.id()); 2]);
        assert_eq!([&free, &other.join("rollout-a.jsonl")].map(|path| look(path)), [None; 2]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(look(&held), None);
    }

    #[test]
    fn a_transcript_that_was_replaced_is_still_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("rollout-a.jsonl");
        let mut child = holding(&path);
        tempfile::NamedTempFile::new_in(folder.path()).unwrap().persist(&path).unwrap();
        let found = holder(&Proc::default(), &path);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some(child.id()));
    }

    #[test]
    fn a_proc_that_cannot_be_read_is_an_error() {
        assert_eq!(open_transcripts(&Proc::new("/nonexistent"), &|_| None).errors.len(), 1);
    }
}
