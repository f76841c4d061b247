//! Changing a file that others write too: read it, decide, replace it, and decide again when it changed meanwhile.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{FileError, ReplaceError};
use super::own::{Created, create};
use super::replace::{HOLD, Prepared, Replaced};
use super::snapshot::{Snapshot, SnapshotError};

/// A file that others keep changing for this long is left alone.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a text that makes no sense may be somebody's half-written one.
const TORN_FOR: Duration = Duration::from_millis(250);

/// What is to become of a file.
#[derive(Debug)]
pub(crate) enum Decision<E> {
    /// It stays as it is.
    Keep,
    /// It gets this text.
    Write(Vec<u8>),
    /// Its text makes no sense. That is final when nobody goes on writing it.
    Senseless(E),
}

/// Why a file was not changed. It is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error("{0}; nothing was touched")]
    Unreadable(SnapshotError),
    #[error(transparent)]
    Replace(#[from] ReplaceError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} kept changing for {PATIENCE:?}; nothing was written, try again", .0.display())]
    Restless(PathBuf),
}

impl From<SnapshotError> for UpdateError {
    fn from(error: SnapshotError) -> Self {
        Self::Unreadable(error)
    }
}

/// Changes the file at `path` (at most `largest` bytes) to what `decide` makes of its present text, nothing where there is
/// no file; says whether it was written. `decide` is asked again as long as somebody else changes the file in between. A
/// new file gets `mode`. Hold the lock: runs of this program do this one after the other.
pub(crate) fn update<E: From<UpdateError>>(
    path: &Path,
    largest: u64,
    mode: u32,
    mut decide: impl FnMut(Option<&[u8]>) -> Result<Decision<E>, E>,
) -> Result<bool, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let snapshot = match Snapshot::open(path, largest) {
            Ok(snapshot) => Some(snapshot),
            Err(SnapshotError::Missing { .. }) => None,
            Err(error) => return Err(UpdateError::from(error).into()),
        };
        let text = match decide(snapshot.as_ref().map(Snapshot::bytes))? {
            Decision::Keep => return Ok(false),
            Decision::Write(text) => text,
            Decision::Senseless(error) => match &snapshot {
                Some(snapshot) if Instant::now() < deadline && changes_after(snapshot) => continue,
                _ => return Err(error),
            },
        };
        let done = match &snapshot {
            Some(snapshot) => replace(snapshot, &text)?,
            None => make(path, &text, mode)?,
        };
        match done {
            true => return Ok(true),
            false if Instant::now() > deadline => return Err(UpdateError::Restless(path.to_owned()).into()),
            false => log::debug!("{} changed meanwhile; deciding again", path.display()),
        }
    }
}

fn replace(snapshot: &Snapshot, text: &[u8]) -> Result<bool, UpdateError> {
    let mut prepared = Prepared::write(snapshot, &[text])?;
    prepared.sync()?;
    Ok(matches!(prepared.commit(snapshot, HOLD)?, Replaced::Done(_)))
}

/// Makes a file that does not exist yet; false when there is one by now.
fn make(path: &Path, text: &[u8], mode: u32) -> Result<bool, UpdateError> {
    let created = create(path, &[text], mode)?;
    let leads_nowhere = || fs_err::read_link(path).is_ok() && matches!(path.try_exists(), Ok(false));
    if created == Created::AlreadyThere && leads_nowhere() {
        let why = "it is a link that leads nowhere";
        return Err(FileError::Refused { path: path.to_owned(), why }.into());
    }
    Ok(created == Created::Done)
}

/// Whether a file changes after it was read as `snapshot`: a text that makes no sense may be half of one.
pub(crate) fn changes_after(snapshot: &Snapshot) -> bool {
    let deadline = Instant::now() + TORN_FOR;
    while Instant::now() < deadline {
        if !snapshot.looks_unchanged() {
            return true;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Decision, UpdateError, update};

    fn change(
        path: &Path,
        mut decide: impl FnMut(Option<&[u8]>) -> Decision<UpdateError>,
    ) -> Result<bool, UpdateError> {
        update(path, 1_000, 0o600, |text| Ok(decide(text)))
    }

    #[test]
    fn a_file_is_made_changed_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let add = |text: Option<&[u8]>| Decision::Write([text.unwrap_or_default(), b"x"].concat());
        assert!(change(&path, add).unwrap());
        assert!(change(&path, add).unwrap());
        assert!(!change(&path, |_| Decision::Keep).unwrap());
        assert_eq!(fs_err::read(&path).unwrap(), b"xx");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_somebody_changes_meanwhile_is_decided_on_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "one").unwrap();
        let mut first = true;
        let decide = |text: Option<&[u8]>| {
            if std::mem::take(&mut first) {
                fs_err::write(&path, "two").unwrap();
            }
            Decision::Write([text.unwrap(), b" and more"].concat())
        };
        assert!(change(&path, decide).unwrap());
        assert_eq!(fs_err::read(&path).unwrap(), b"two and more");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::os::unix::fs::symlink("nowhere", &path).unwrap();
        let refused = change(&path, |_| Decision::Write(b"x".to_vec())).unwrap_err().to_string();
        assert!(refused.contains("leads nowhere"), "{refused}");
        assert_eq!(fs_err::read_link(&path).unwrap(), Path::new("nowhere"));
    }

    #[test]
    fn half_a_text_is_read_again_while_somebody_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "ha").unwrap();
        let mut first = true;
        let decide = |text: Option<&[u8]>| {
            if text == Some(b"half") {
                return Decision::Write(b"whole".to_vec());
            }
            if std::mem::take(&mut first) {
                fs_err::write(&path, "half").unwrap();
            }
            Decision::Senseless(UpdateError::Restless("senseless".into()))
        };
        assert!(change(&path, decide).unwrap());
        let never = change(&path, |_| Decision::Senseless(UpdateError::Restless("senseless".into())));
        assert!(matches!(never, Err(UpdateError::Restless(why)) if why == Path::new("senseless")));
        assert_eq!(fs_err::read(&path).unwrap(), b"whole");
    }
}
