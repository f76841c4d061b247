//! Which transcripts a process holds open (Codex up to 0.146 has no other sign of a running session).

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::filesystem::proc::Proc;

/// What one look at the open files of all processes showed.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    /// The files whose names were asked for.
    files: Vec<HeldFile>,
    /// Processes whose files we may not see: those of other users, and those that hide them (Codex, by
    /// `PR_SET_DUMPABLE`).
    pub(crate) hidden: Vec<u32>,
    /// What could not be examined, beside those.
    pub(crate) errors: Vec<String>,
}

/// A file that a process holds open.
#[derive(Debug)]
pub(crate) struct HeldFile {
    /// The process.
    pub(crate) pid: u32,
    /// The path it was opened by, or has been moved to.
    pub(crate) path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl OpenFiles {
    /// Nothing is known, and why.
    pub(crate) fn unknown(why: &str) -> Self {
        Self { errors: vec![format!("open files are not known: {why}")], ..Self::default() }
    }

    /// Looks at all processes but this one, once, for files whose name is `wanted`.
    pub(crate) fn look(proc: &Proc, wanted: &dyn Fn(&[u8]) -> bool) -> Self {
        Self::look_for(proc, &|path| path.file_name().is_some_and(|name| wanted(name.as_bytes())))
    }

    /// The same for files whose path, as their process opened them, is `wanted`.
    pub(crate) fn look_for(proc: &Proc, wanted: &dyn Fn(&Path) -> bool) -> Self {
        let mut open = Self::default();
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
                if wanted(file.path()) {
                    let path = file.path().to_owned();
                    open.files.push(HeldFile { pid, path, identity: file.identity().ok() });
                }
            });
            match seen {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied => open.hidden.push(pid),
                Err(error) => open.errors.push(format!("open files of process {pid} are not known: {error}")),
            }
        }
        open
    }

    /// Every file found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HeldFile> {
        self.files.iter()
    }

    /// A process that holds the file at `path` open.
    pub(crate) fn holder(&self, path: &Path) -> Option<u32> {
        self.files.iter().find(|file| file.is(path)).map(|file| file.pid)
    }
}

impl HeldFile {
    /// Whether this is the file at `path`: by its path, or by device and inode, so that a home behind a symlink or in a
    /// container is no obstacle. A file that was replaced while its writer runs is still held by its path.
    pub(crate) fn is(&self, path: &Path) -> bool {
        let at = || std::fs::metadata(path).ok().map(|at| (at.dev(), at.ino()));
        self.path == path || self.identity.is_some_and(|identity| at() == Some(identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Child, Command, Stdio};

    fn holder(proc: &Proc, path: &Path) -> Option<u32> {
        let own_name = path.file_name().unwrap().as_bytes();
        OpenFiles::look(proc, &|name| name == own_name).holder(path)
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
    fn who_does_not_let_its_files_be_seen_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let [own, hidden] = [4_711, 4_712].map(|pid| folder.path().join(format!("{pid}/fd")));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&hidden).unwrap();
        std::fs::set_permissions(&hidden, PermissionsExt::from_mode(0o0)).unwrap();
        let proc = folder.path().to_owned();
        // Who may see everything becomes somebody who may not, for this thread alone.
        let open = std::thread::spawn(move || {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            OpenFiles::look_for(&Proc::new(proc), &|_| true)
        });
        let OpenFiles { hidden, errors, .. } = open.join().unwrap();
        assert_eq!((hidden, errors), (vec![4_712], Vec::new()));
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
        assert_eq!(OpenFiles::look(&Proc::new("/nonexistent"), &|_| true).errors.len(), 1);
    }
}
