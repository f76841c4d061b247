//! Removing files that this program made.

#![allow(clippy::disallowed_methods, reason = "this is where removing happens")]

use std::io;
use std::path::Path;

use super::error::FileError;

/// Removes a file of ours; says whether there was one.
pub(crate) fn remove_file(path: &Path) -> Result<bool, FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io(path, "remove")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::remove_file;

    #[test]
    fn removing_says_whether_there_was_a_file_and_refuses_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::File::create(&path).unwrap();
        assert!(remove_file(&path).unwrap());
        assert!(!remove_file(&path).unwrap());
        assert!(remove_file(folder.path()).is_err());
    }
}
