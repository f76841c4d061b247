//! Which transcripts a process holds open (Codex up to 0.146 has no other sign of a running session).

use std::ffi::OsStr;
use std::io::ErrorKind;
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

/// Looks at the open files of all processes but this one, once, for any of `transcripts`.
///
/// A name decides whether a file is looked at more closely. The same file is then known by its path, or by device and
/// inode, so that a home behind a symlink or in a container is no obstacle. A transcript that was replaced while its
/// writer runs is still held by its path.
pub(crate) fn open_transcripts<'t>(proc: &Proc, transcripts: impl IntoIterator<Item = &'t Path>) -> OpenTranscripts {
    let mut by_name: FxHashMap<&OsStr, Vec<&Path>> = FxHashMap::default();
    for path in transcripts {
        by_name.entry(path.file_name().unwrap_or_default()).or_default().push(path);
    }
    let mut open = OpenTranscripts::default();
    if by_name.is_empty() {
        return open;
    }
    let pids = match proc.pids() {
        Ok(pids) => pids,
        Err(error) => {
            open.errors.push(format!("open files are not known: {error}"));
            return open;
        }
    };
    for pid in pids {
        if pid == std::process::id() {
            continue;
        }
        let seen = proc.open_files(pid, |file| {
            let Some(candidates) = file.path().file_name().and_then(|name| by_name.get(name)) else { return };
            for path in candidates {
                if is_same(file, path) {
                    open.holders.insert(path.to_path_buf(), pid);
                }
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
        let paths = [&held, &free, &other.join("rollout-a.jsonl"), &behind_link];
        let look = || open_transcripts(&Proc::default(), paths.map(PathBuf::as_path)).holders;
        let expected = [(held.clone(), child.id()), (behind_link.clone(), child.id())].into_iter().collect();
        assert_eq!(look(), expected);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(look().is_empty());
    }

    #[test]
    fn a_transcript_that_was_replaced_is_still_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("rollout-a.jsonl");
        let mut child = holding(&path);
        tempfile::NamedTempFile::new_in(folder.path()).unwrap().persist(&path).unwrap();
        let holders = open_transcripts(&Proc::default(), [path.as_path()]).holders;
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holders.get(&path), Some(&child.id()));
    }

    #[test]
    fn a_proc_that_cannot_be_read_is_an_error() {
        let path = Path::new("/a/b.jsonl");
        assert_eq!(open_transcripts(&Proc::new("/nonexistent"), [path]).errors.len(), 1);
        assert!(open_transcripts(&Proc::new("/nonexistent"), []).errors.is_empty());
    }
}
