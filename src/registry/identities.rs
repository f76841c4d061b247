//! Which terminal is which session, one file for each terminal; and the three files in which the original's scripts keep
//! one identity for all terminals together.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::roster::Session;
use super::terminal::{Anchor, Key, Terminal};
use super::{Held, Registry, RegistryError};
use crate::filesystem::{FileError, make_folder, read_regular, remove_file, write_unflushed};
use crate::policy::session_number::SessionNumber;

/// No such file is larger.
const LARGEST: u64 = 64 * 1024;
/// A CLI's session may be taken up again; one that was not for so long is forgotten.
const UNSEEN: TimeDelta = TimeDelta::days(30);
/// For files that other programs of this user read.
const READABLE: u32 = 0o644;
const IDENTITY_FILE: &str = ".session_identity";
const ENVIRONMENT_FILE: &str = ".session_env";
const CURRENT_FILE: &str = ".current_session";
/// What the original's scripts read.
pub(super) const SCRIPTS_FILES: [&str; 3] = [ENVIRONMENT_FILE, CURRENT_FILE, IDENTITY_FILE];
/// What we know of the [`IDENTITY_FILE`] that we wrote.
pub(super) const NOTED_FILE: &str = "identity-file.json";

/// A terminal's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    schema: u32,
    number: u32,
    /// As the registry had it then.
    pub(crate) session_id: String,
    /// As the registry had it then: another registration of the number is another session.
    registered_at: Option<String>,
    /// For people.
    pub(crate) terminal: String,
    key: Key,
    host: String,
    pub(crate) identified_at: DateTime<Utc>,
}

/// Every identity that is remembered.
#[derive(Debug, Default)]
pub(crate) struct Identities(Vec<Identity>);

impl Identity {
    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<SessionNumber> {
        self.number.to_string().parse().ok()
    }

    /// Whether its terminal still lasts, where that can be told.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        self.key.is_alive(&self.host, &crate::filesystem::proc::Proc::default())
    }

    /// Whether the number was registered for somebody else since.
    pub(crate) fn is_replaced(&self, session: &Session<'_>) -> bool {
        session.id() != self.session_id || session.text("registered_at").as_deref() != self.registered_at.as_deref()
    }
}

impl Identities {
    /// The one of the nearest terminal that has one.
    pub(crate) fn of(&self, anchor: &Anchor) -> Option<&Identity> {
        anchor.terminals.iter().find_map(|terminal| self.0.iter().find(|identity| identity.key == terminal.key))
    }

    /// The others' claims to a number, the last one first.
    pub(crate) fn claims<'i>(&'i self, number: SessionNumber, anchor: &'i Anchor) -> Vec<&'i Identity> {
        let is_ours = |identity: &Identity| anchor.terminals.iter().any(|terminal| terminal.key == identity.key);
        let mut claims: Vec<&Identity> =
            self.0.iter().filter(|identity| identity.number() == Some(number) && !is_ours(identity)).collect();
        claims.sort_by_key(|identity| std::cmp::Reverse(identity.identified_at));
        claims
    }
}

impl Identities {
    /// The terminal that has a number, where one is known that is not known to be gone.
    pub(crate) fn holder(&self, number: SessionNumber) -> Option<&Identity> {
        let claims = self.0.iter().filter(|identity| identity.number() == Some(number));
        let living = claims.filter(|identity| identity.is_alive() != Some(false));
        living.max_by_key(|identity| identity.identified_at)
    }
}

impl Registry {
    pub(super) fn identities_folder(&self) -> PathBuf {
        self.own_folder().join("identities")
    }

    fn identity_file(&self) -> PathBuf {
        self.base().join(IDENTITY_FILE)
    }

    fn noted_identity_file(&self) -> PathBuf {
        self.own_folder().join(NOTED_FILE)
    }

    /// The names of the identities that somebody began to write, as they may have been given up: `.NAME.json.…`.
    pub(super) fn unfinished_identities(&self) -> Vec<String> {
        let Ok(entries) = fs_err::read_dir(self.identities_folder()) else { return Vec::new() };
        let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        let target = |name: String| Some(format!("{}.json", name.strip_prefix('.')?.split_once(".json.")?.0));
        names.filter_map(target).collect()
    }

    /// All identities. What is none is passed over: it only says less.
    pub(crate) fn identities(&self) -> Identities {
        let Ok(entries) = fs_err::read_dir(self.identities_folder()) else { return Identities::default() };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let is_identity = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let read = |path: PathBuf| {
            let read = read_regular(&path, LARGEST).map_err(anyhow::Error::from);
            let read = read.and_then(|text| Ok(serde_json::from_slice::<Identity>(&text)?));
            read.map_err(|error| log::debug!("{} is passed over: {error:#}", path.display())).ok()
        };
        Identities(paths.filter(is_identity).filter_map(read).collect())
    }

    /// The number in the original's `.session_identity`. What we wrote there for a terminal is that terminal's alone, and
    /// what we wrote for a process without one counts for such.
    pub(crate) fn original_identity(&self, anchor: &Anchor) -> Option<SessionNumber> {
        let path = self.identity_file();
        let noted = read_regular(&self.noted_identity_file(), LARGEST).ok();
        let noted = noted.and_then(|text| serde_json::from_slice::<NotedFile>(&text).ok());
        let ours = noted.filter(|noted| stamp(&path) == Some(noted.stamp));
        if ours.is_some_and(|ours| !ours.is_shared || !anchor.terminals.is_empty()) {
            return None;
        }
        let text = read_regular(&path, LARGEST).ok()?;
        str::from_utf8(&text).ok()?.trim().parse().ok()
    }
}

/// The `.session_identity` that we wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct NotedFile {
    /// Inode and time of last change.
    stamp: (u64, i64, i64),
    /// Nothing else remembers it: its process had no terminal.
    is_shared: bool,
}

fn stamp(path: &Path) -> Option<(u64, i64, i64)> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Held<'_> {
    /// Remembers that this terminal is the session, forgets the number's terminals that are gone, and tells the original's
    /// scripts. Says whether there is a terminal that it can be remembered by.
    pub(crate) fn remember(
        &self,
        anchor: &Anchor,
        session: &Session<'_>,
        now: DateTime<Utc>,
    ) -> Result<bool, RegistryError> {
        let registry = self.registry();
        let failed = |error: std::io::Error| RegistryError::Write(error.into());
        make_folder(&registry.identities_folder()).map_err(failed)?;
        for former in registry.identities().claims(session.number, anchor) {
            if former.is_alive() == Some(false) {
                self.forget_one(former)?;
            }
        }
        let known = registry.identities();
        let place = match known.of(anchor).map(|identity| &identity.key) {
            // Where it is remembered already, though a nearer terminal has come since.
            Some(key) => anchor.terminals.iter().find(|terminal| terminal.key == *key),
            None => anchor.terminals.first(),
        };
        if let Some(Terminal { key, label }) = place {
            let identity = Identity {
                schema: 1,
                number: session.number.get(),
                session_id: session.id().into_owned(),
                registered_at: session.text("registered_at").map(std::borrow::Cow::into_owned),
                terminal: label.clone(),
                key: key.clone(),
                host: crate::filesystem::proc::Proc::default().host().unwrap_or_default(),
                identified_at: now,
            };
            let text = serde_json::to_vec_pretty(&identity).map_err(|error| RegistryError::Write(error.into()))?;
            write(&registry.identities_folder().join(key.file_name()), &text, 0o600)?;
        }
        self.tell_scripts(session.number, place.is_none())?;
        Ok(place.is_some())
    }

    /// Forgets every terminal that is this session, and takes the number out of the original's files.
    pub(crate) fn forget(&self, number: SessionNumber) -> Result<(), RegistryError> {
        let registry = self.registry();
        let known = registry.identities();
        known.claims(number, &Anchor::default()).into_iter().try_for_each(|identity| self.forget_one(identity))?;
        for (name, text) in scripts_files(number) {
            let path = registry.base().join(name);
            if read_regular(&path, LARGEST).is_ok_and(|own| own.trim_ascii() == text.trim_ascii().as_bytes()) {
                remove_file(&path).map_err(|error| RegistryError::Write(error.into()))?;
            }
        }
        Ok(())
    }

    /// Forgets the terminals that are gone, or that nobody has seen for long, of sessions that have ended.
    pub(super) fn forget_gone(&self, now: DateTime<Utc>) -> Result<(), RegistryError> {
        let registry = self.registry();
        let known = registry.identities();
        let gone: Vec<&Identity> = registry.read(|roster| {
            let has_ended = |number| roster.find(number).is_none_or(Session::is_inactive);
            let is_gone = |identity: &&Identity| {
                identity.number().is_none_or(has_ended)
                    && !identity.is_alive().unwrap_or(now - identity.identified_at < UNSEEN)
            };
            known.0.iter().filter(is_gone).collect()
        })?;
        gone.into_iter().try_for_each(|identity| self.forget_one(identity))
    }

    fn forget_one(&self, identity: &Identity) -> Result<(), RegistryError> {
        let path = self.registry().identities_folder().join(identity.key.file_name());
        remove_file(&path).map(|_| ()).map_err(|error| RegistryError::Write(error.into()))
    }

    /// Keeps the files of the original's scripts up to date.
    fn tell_scripts(&self, number: SessionNumber, is_shared: bool) -> Result<(), RegistryError> {
        let registry = self.registry();
        for (name, text) in scripts_files(number) {
            write(&registry.base().join(name), text.as_bytes(), READABLE)?;
        }
        let Some(stamp) = stamp(&registry.identity_file()) else { return Ok(()) };
        let noted = serde_json::to_vec(&NotedFile { stamp, is_shared }).unwrap_or_default();
        write(&registry.noted_identity_file(), &noted, 0o600)
    }
}

/// What the files say that the original's scripts read.
fn scripts_files(number: SessionNumber) -> [(&'static str, String); 3] {
    [
        (ENVIRONMENT_FILE, format!("export FPAI_SESSION_NUMBER={number}\n")),
        (CURRENT_FILE, format!("{}\n", number.default_id())),
        (IDENTITY_FILE, format!("{number}\n")),
    ]
}

fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), RegistryError> {
    write_unflushed(path, text, mode).map_err(|error: FileError| RegistryError::Write(error.into()))
}
