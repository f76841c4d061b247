//! The folder of an installation and what is where in it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha1::{Digest as _, Sha1};

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// Its folder, links resolved.
    pub(crate) root: PathBuf,
    /// What its containers are labelled with: eight hexadecimal digits.
    pub(crate) slug: String,
    /// Where its sessions are, links resolved: an operator may have moved `data` elsewhere.
    pub(crate) sessions: PathBuf,
}

impl Installation {
    /// The installation in this folder.
    ///
    /// # Errors
    /// There is none, or it cannot be looked at.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let root = fs::canonicalize(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
        let data = root.join("data");
        if !data.join("v2.db").exists() {
            bail!("{}", what_it_is(&root));
        }
        let sessions = data.join("v2-sessions");
        // Without a session there is no such folder yet.
        let sessions = fs::canonicalize(&sessions).unwrap_or(sessions);
        Ok(Self { slug: slug_of(&root), root, sessions })
    }

    /// The number of the user whose it is, where that is another one than this run's.
    pub(crate) fn other_owner(&self) -> Option<u32> {
        let owner = fs::metadata(self.central()).ok()?.uid();
        (owner != rustix::process::geteuid().as_raw()).then_some(owner)
    }

    /// The central database.
    pub(crate) fn central(&self) -> PathBuf {
        self.root.join("data/v2.db")
    }

    /// A session's folder.
    ///
    /// # Errors
    /// A name that is none of one folder: why.
    pub(crate) fn session(&self, group: &str, session: &str) -> Result<PathBuf, String> {
        for (what, name) in [("agent group", group), ("session", session)] {
            if !is_folder_name(name) {
                return Err(format!("its {what} id {name:?} is no name of a folder: left alone"));
            }
        }
        let mut path = PathBuf::with_capacity(self.sessions.as_os_str().len() + group.len() + session.len() + 2);
        path.extend([self.sessions.as_path(), Path::new(group), Path::new(session)]);
        Ok(path)
    }
}

/// What the host labels its containers with: the first eight hexadecimal digits of SHA-1 of its folder, links resolved.
fn slug_of(root: &Path) -> String {
    let digest = Sha1::digest(root.as_os_str().as_bytes());
    digest.iter().take(4).fold(String::new(), |mut slug, byte| {
        // Writing to a string does not fail.
        let _ = write!(slug, "{byte:02x}");
        slug
    })
}

/// A folder that old hosts kept among the sessions of a group.
const NO_SESSION: &str = "agent-runner-src";

/// Whether a name that others chose may be a group's or session's folder. Names with a dot in front are not sessions, and one
/// with a dash would be an option for the command that wakes it.
pub(super) fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && name != NO_SESSION
        && name.len() <= 255
        && !name.starts_with(['.', '-'])
        && memchr::memchr2(b'/', 0, name.as_bytes()).is_none()
}

/// Why there is nothing to sweep in a folder.
fn what_it_is(root: &Path) -> String {
    let root_shown = root.display();
    if root.join("store/messages.db").exists() {
        return format!("{root_shown} is an installation of nanoclaw v1, which has no queues (no data/v2.db)");
    }
    format!(
        "{root_shown} has no data/v2.db: it is no nanoclaw v2 installation, or one that keeps its central data in another \
         database, which cannot be swept"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_no_folders() {
        let installation =
            Installation { root: "/r".into(), slug: String::new(), sessions: "/r/data/v2-sessions".into() };
        let path = installation.session("ag-1", "sess-1").unwrap();
        assert_eq!(path, Path::new("/r/data/v2-sessions/ag-1/sess-1"));
        assert!(installation.session("my group", "sess 1").is_ok());
        for (group, session) in [
            ("..", "s"),
            ("g", ".."),
            ("g", "a/b"),
            ("/etc", "s"),
            ("g", ""),
            ("g", ".claude-shared"),
            ("g", "-rf"),
            ("g", "agent-runner-src"),
            ("g", "a\0b"),
        ] {
            assert!(installation.session(group, session).is_err(), "{group:?} {session:?}");
        }
        assert!(installation.session("g", &"x".repeat(256)).is_err());
    }

    #[test]
    fn the_slug_is_of_the_folders_path() {
        // printf /srv/nanoclaw | sha1sum
        assert_eq!(slug_of(Path::new("/srv/nanoclaw")), "34bf2073");
    }

    #[test]
    fn a_folder_without_the_central_database_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let why = |folder: &Path| format!("{:#}", Installation::at(folder).unwrap_err());
        assert!(why(folder.path()).contains("no data/v2.db"));
        fs_err::create_dir(folder.path().join("store")).unwrap();
        fs_err::write(folder.path().join("store/messages.db"), "").unwrap();
        assert!(why(folder.path()).contains("nanoclaw v1"));
        assert!(why(&folder.path().join("none")).contains("cannot look at"));
    }
}
