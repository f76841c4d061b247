//! Reads small files that may turn out to be something else: one that is no file, or never ends, is an error.

use std::io::{self, Read as _};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;

/// All of a regular file of at most `most` bytes. The errors name the path.
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let refused = |why: &str| Err(io::Error::other(format!("{} {why}", path.display())));
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refused("is no regular file");
    }
    // One more than it has, which shows its end.
    let mut bytes = Vec::with_capacity(metadata.len().min(most) as usize + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { refused("is too large") } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_that_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "four").unwrap();
        assert_eq!(read_regular(&path, 4).unwrap(), b"four");
        assert!(read_regular(&path, 3).unwrap_err().to_string().contains("file is too large"));
        assert!(read_regular(folder.path(), 4).is_err());
        assert!(read_regular(Path::new("/dev/zero"), 4).unwrap_err().to_string().contains("no regular file"));
        let missing = read_regular(&folder.path().join("nothing"), 4).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
