//! Lines added to a log of ours that any number of runs write, and that does not grow for ever.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, statat};
use rustix::io::Errno;

use super::append::last_byte;
use super::error::FileError;
use super::names::rename_over;
use super::sidecar::{Sidecar, give_to_owner_of};
use super::snapshot::{FileId, folder_of};

/// Makes a folder of ours, and what is missing above it, for its owner alone.
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_below(path).map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot make the folder {}: {error}", path.display()))
    })
}

/// Each folder belongs to whom the one above it belongs to, also when root makes it.
fn make_below(path: &Path) -> std::io::Result<()> {
    let above = folder_of(path);
    if !above.is_dir() && above != path {
        make_below(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    let holder = rustix::fs::stat(above)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::open(path, flags, Mode::empty())?;
    give_to_owner_of(&holder, &made)?;
    Ok(())
}

/// Adds `line` to the log at `path`. A log that is larger than `largest` bytes by then is put aside under the name `aside`,
/// in place of what was put aside before. Not flushed: a lost line of a log is not worth a disk's time.
pub(crate) fn log_line(path: &Path, line: &str, largest: u64, aside: &OsStr) -> Result<(), FileError> {
    let log = Sidecar::open(path, OFlags::APPEND)?;
    let length = log.file.metadata().map_err(FileError::io(path, "examine"))?.len();
    // What a crash left without an end would take this line with it. Seen while another run is writing it may be none:
    // an empty line does no harm.
    let torn = length > 0 && last_byte(&log.file, length).is_ok_and(|last| last != b'\n');
    let start = if torn { "\n" } else { "" };
    // In one call, so that lines of runs at the same time follow each other.
    (&log.file).write_all(format!("{start}{line}\n").as_bytes()).map_err(FileError::io(path, "append to"))?;
    if length + line.len() as u64 + 1 > largest {
        put_aside(&log, path, aside).map_err(FileError::io(path, "put aside"))?;
    }
    Ok(())
}

/// Gives the log another name, unless another run does that now or has done it. A run that has it open goes on writing
/// into the file that was put aside, so none of its lines is lost.
fn put_aside(log: &Sidecar, path: &Path, aside: &OsStr) -> rustix::io::Result<()> {
    let name: OsString = path.file_name().unwrap_or_default().to_owned();
    if flock(&log.file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let present = match statat(&log.folder, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
        // Another run has just put it aside, and nobody has begun a new one.
        Err(Errno::NOENT) => return Ok(()),
        present => present?,
    };
    if FileId::from(&present) != FileId::from(&fstat(&log.file)?) {
        return Ok(());
    }
    rename_over(log.folder.as_fd(), &name, aside)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use std::os::unix::fs::MetadataExt as _;

    use super::{log_line, make_folder};

    #[test]
    fn folders_belong_to_whom_the_one_above_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), Some(1235)).unwrap();
        }
        make_folder(&path).unwrap();
        make_folder(&path).unwrap();
        let holder = fs_err::metadata(folder.path()).unwrap();
        for made in [folder.path().join("a"), folder.path().join("a/b"), path] {
            let made = fs_err::metadata(made).unwrap();
            assert_eq!((made.uid(), made.mode() & 0o777), (holder.uid(), 0o700));
        }
        fs_err::write(folder.path().join("file"), "").unwrap();
        assert!(make_folder(&folder.path().join("file/below")).is_err());
    }

    #[test]
    fn a_log_that_has_grown_is_put_aside_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        let add = |line: &str| log_line(&path, line, 20, OsStr::new("runs.old.jsonl")).unwrap();
        let old = || fs_err::read_to_string(folder.path().join("runs.old.jsonl")).unwrap();
        add("the first line");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "the first line\n");
        add("the second line");
        assert!(!path.exists());
        assert_eq!(old(), "the first line\nthe second line\n");
        (0..4).for_each(|number| add(&format!("line number {number}")));
        assert_eq!(old(), "line number 2\nline number 3\n");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_line_is_lost_or_torn_when_many_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..500 {
                        let line = format!("{writer} {number}");
                        // Put aside once: what was put aside before would be replaced.
                        log_line(path, &line, 8_000, OsStr::new("old")).unwrap();
                    }
                });
            }
        });
        let mut lines: Vec<String> = Vec::new();
        for file in ["old", "runs.jsonl"] {
            let text = fs_err::read_to_string(folder.path().join(file)).unwrap();
            lines.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        }
        lines.sort();
        let mut wanted: Vec<String> =
            (0..4).flat_map(|writer| (0..500).map(move |number| format!("{writer} {number}"))).collect();
        wanted.sort();
        assert_eq!(lines, wanted);
    }
}
