//! Reading a database without creating a file: SQLite itself would create `-shm` (and `-wal`) for a reader of a database in
//! WAL mode, hence the three ways of opening below.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};

/// A database that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
    /// Where no lock holds a writer off: which database it is, and how it was.
    unlocked: Option<(PathBuf, Version)>,
}

impl Reader {
    /// Opens the database at `path`, whose writer may keep us waiting for `patience`; nothing where there is none.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Option<Self>> {
        let access = match Access::to(path) {
            Ok(access) => access,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if access == Access::SharedMemory && !beside(path, "-shm").exists() {
            bail!(
                "its -wal has no -shm beside it, as after a restart, or in a copy: reading it would make one; open it once with \
                 the program that writes it"
            );
        }
        let unlocked = (access == Access::Unlocked).then(|| Ok::<_, io::Error>((path.to_owned(), Version::of(path)?)));
        let unlocked = unlocked.transpose()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(path, access), flags)?;
        connection.busy_timeout(patience)?;
        Ok(Some(Self { connection, unlocked }))
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The database was written to meanwhile: what was read may be torn.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.connection);
        if let Some((path, before)) = self.unlocked
            && Version::of(&path)? != before
        {
            bail!("it was written to while it was read; try again");
        }
        Ok(())
    }
}

/// Whether a database's header says WAL: in its bytes 18 and 19 (<https://www.sqlite.org/fileformat.html>).
pub(super) fn is_in_wal_mode(file: &File) -> io::Result<bool> {
    let mut header = [0; 20];
    let length = file.read_at(&mut header, 0)?;
    Ok(length == header.len() && (header[18] == 2 || header[19] == 2))
}

/// Opens a file whatever it is, without waiting for a writer of a FIFO.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// How a database can be read without creating a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// WAL mode and everything is in the main file: SQLite takes no lock and looks for no other file.
    Unlocked,
    /// WAL mode with content in `-wal`: the `-shm` that its writer made is used, and never made by us.
    SharedMemory,
    /// Rollback journal: a reader's lock on the main file is enough.
    Locked,
}

impl Access {
    fn to(path: &Path) -> io::Result<Self> {
        if !is_in_wal_mode(&open(path)?)? {
            return Ok(Self::Locked);
        }
        match std::fs::metadata(beside(path, "-wal")) {
            Ok(wal) if wal.len() > 0 => Ok(Self::SharedMemory),
            Ok(_) => Ok(Self::Unlocked),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::Unlocked),
            Err(error) => Err(error),
        }
    }
}

/// A file that SQLite keeps beside a database: `-wal`, `-journal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The path as SQLite's URI; every byte that could mean something in one is escaped.
fn uri(path: &Path, access: Access) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str(match access {
        Access::Unlocked => "?mode=ro&immutable=1",
        Access::SharedMemory => "?mode=ro&readonly_shm=1",
        Access::Locked => "?mode=ro",
    });
    uri
}

/// Tells whether a database was written to.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    main: (u64, SystemTime),
    wal_length: u64,
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
        let main = fs_err::metadata(path)?;
        let wal_length = std::fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len());
        Ok(Self { main: (main.len(), main.modified()?), wal_length })
    }
}
