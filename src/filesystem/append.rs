//! Lines added durably to a file of ours, all of them or none.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::FileError;
use super::remove::remove_file;
use super::sidecar::Sidecar;

/// Lines that are written but not yet durable. Dropped without [`Self::sync`] they are taken back.
///
/// One run at a time appends to a file: hold the lock until this is synced.
#[derive(Debug)]
#[must_use = "the lines are taken back unless they are synced"]
pub(crate) struct PendingAppend {
    path: PathBuf,
    file: File,
    folder: OwnedFd,
    created: bool,
    former: u64,
    now: u64,
    kept: bool,
}

/// Adds what `write` writes at the end of the file at `path`, which is created when it does not exist. A last line that
/// a crash left without an end is ended first.
pub(crate) fn append(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<PendingAppend, FileError> {
    let Sidecar { file, folder, created } = Sidecar::open(path, OFlags::APPEND)?;
    let failed = || FileError::io(path, "append to");
    let former = file.metadata().map_err(failed())?.len();
    // From here on dropping it, on errors too, shortens the file to its former length.
    let mut pending = PendingAppend { path: path.to_owned(), file, folder, created, former, now: former, kept: false };
    let mut counted = Counted { file: &pending.file, written: 0 };
    let result = (|| {
        let mut writer = BufWriter::with_capacity(256 * 1024, &mut counted);
        if former > 0 && last_byte(&pending.file, former)? != b'\n' {
            writer.write_all(b"\n")?;
        }
        write(&mut writer)?;
        writer.flush()
    })();
    let written = counted.written;
    pending.now = former + written;
    result.map_err(failed())?;
    Ok(pending)
}

impl PendingAppend {
    /// Makes the lines durable, and the file's name if it is new. On errors they are taken back.
    pub(crate) fn sync(&mut self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::io(&self.path, "flush"))?;
        if self.created {
            rustix::fs::fsync(&self.folder).map_err(FileError::io(&self.path, "flush the folder of"))?;
        }
        self.kept = true;
        Ok(())
    }

    /// Takes the lines back although they are durable already.
    pub(crate) fn undo(mut self) {
        self.kept = false;
    }
}

impl Drop for PendingAppend {
    #[expect(clippy::disallowed_methods, reason = "only what this run has added is cut off again")]
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Somebody else's lines behind ours would be cut in the wrong place.
        let untouched = self.file.metadata().is_ok_and(|meta| meta.len() == self.now);
        let result = match (untouched, self.created) {
            (false, _) => Err(io::Error::other("somebody else changed it")),
            (true, true) => remove_file(&self.path).map(|_| ()).map_err(io::Error::other),
            (true, false) => self.file.set_len(self.former),
        };
        if let Err(error) = result {
            log::warn!("{} keeps lines of a change that was not made: {error}", self.path.display());
        }
    }
}

pub(super) fn last_byte(file: &File, len: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, len - 1)?;
    Ok(byte[0])
}

/// Counts what reached the file, so that a write that failed half-way is taken back exactly.
struct Counted<'a> {
    file: &'a File,
    written: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = (&mut self.file).write(buffer)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::path::Path;

    use super::append;

    fn add(path: &Path, text: &str) {
        append(path, |out| out.write_all(text.as_bytes())).unwrap().sync().unwrap();
    }

    fn text(path: &Path) -> String {
        fs_err::read_to_string(path).unwrap()
    }

    fn world() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        (folder, path)
    }

    #[test]
    fn lines_follow_lines_and_a_torn_one_is_ended_first() {
        let (_folder, path) = world();
        add(&path, "one\n");
        add(&path, "two\n");
        assert_eq!(text(&path), "one\ntwo\n");
        add(&path, "torn");
        add(&path, "three\n");
        assert_eq!(text(&path), "one\ntwo\ntorn\nthree\n");
    }

    #[test]
    fn a_failed_write_is_taken_back() {
        let (_folder, path) = world();
        add(&path, "one\n");
        let half = |out: &mut dyn Write| {
            out.write_all(&vec![b'x'; 1_000_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let message = append(&path, half).unwrap_err().to_string();
        assert!(message.contains("log.jsonl") && message.contains("make room"), "{message}");
        assert_eq!(text(&path), "one\n");
    }

    #[test]
    fn what_is_not_synced_or_is_undone_goes_and_a_new_file_with_it() {
        let (_folder, path) = world();
        drop(append(&path, |out| out.write_all(b"lost\n")).unwrap());
        assert!(!path.exists());
        add(&path, "one\n");
        let mut pending = append(&path, |out| out.write_all(b"two\n")).unwrap();
        pending.sync().unwrap();
        pending.undo();
        assert_eq!(text(&path), "one\n");
    }

    #[test]
    fn lines_that_somebody_else_added_are_not_cut() {
        let (_folder, path) = world();
        add(&path, "one\n");
        let pending = append(&path, |out| out.write_all(b"two\n")).unwrap();
        fs_err::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"three\n").unwrap();
        drop(pending);
        assert_eq!(text(&path), "one\ntwo\nthree\n");
    }
}
