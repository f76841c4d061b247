//! Which terminal is which session, one file for each terminal; and the three files in which the original's scripts keep
//! one identity for all terminals together.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::roster::Session;
use super::terminal::{Anchor, Key, ProcessKey, Terminal};
use super::{Held, Registry, RegistryError};
use crate::filesystem::proc::Proc;
use crate::filesystem::{FileError, make_folder, read_regular, remove_file, write_unflushed};
use crate::policy::heartbeat::FORGET_AFTER;
use crate::policy::session_number::SessionNumber;

/// No such file is larger.
const LARGEST: u64 = 64 * 1024;
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
    /// The process with which it ends, where that is known.
    process: Option<ProcessKey>,
    host: String,
    /// Where process ids are counted: a container counts its own.
    pid_namespace: Option<u64>,
    pub(crate) identified_at: DateTime<Utc>,
    /// The terminal that is the session since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken_over_by: Option<String>,
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
        let proc = Proc::default();
        let is_here = proc.host().is_ok_and(|host| host == self.host)
            && self.pid_namespace.is_some()
            && proc.pid_namespace().ok() == self.pid_namespace;
        if is_here { self.process.as_ref()?.is_alive(&proc) } else { None }
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

    /// The others' identities that are a number.
    pub(crate) fn others(&self, number: SessionNumber, anchor: &Anchor) -> impl Iterator<Item = &Identity> {
        let is_ours = |identity: &Identity| anchor.terminals.iter().any(|terminal| terminal.key == identity.key);
        let others = self.0.iter().filter(move |identity| identity.number() == Some(number) && !is_ours(identity));
        others.filter(|identity| identity.taken_over_by.is_none()).collect::<Vec<_>>().into_iter()
    }

    /// The other terminal that is a number, where one is known that is not known to be gone.
    pub(crate) fn holder(&self, number: SessionNumber, anchor: &Anchor) -> Option<&Identity> {
        let living = self.others(number, anchor).filter(|identity| identity.is_alive() != Some(false));
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

    /// All identities. A file that is none is passed over.
    ///
    /// # Errors
    /// They cannot be looked at: who is who is not known then.
    pub(crate) fn identities(&self) -> Result<Identities, RegistryError> {
        let failed = |error: std::io::Error| RegistryError::Write(error.into());
        let entries = match fs_err::read_dir(self.identities_folder()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Identities::default()),
            Err(error) => return Err(failed(error)),
        };
        let mut identities = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_regular(&path, LARGEST) {
                Ok(text) => match serde_json::from_slice(&text) {
                    Ok(identity) => identities.push(identity),
                    Err(error) => log::debug!("{} is passed over: {error}", path.display()),
                },
                // It was forgotten meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Identities(identities))
    }

    /// The number in the original's `.session_identity`, where it may be this terminal's: what we wrote there is the identity
    /// of a terminal that is remembered, and what was written before this window was opened is another's.
    pub(crate) fn original_identity(&self, anchor: &Anchor) -> Option<SessionNumber> {
        let path = self.identity_file();
        let now = stamp(&path)?;
        let noted = read_regular(&self.noted_identity_file(), LARGEST).ok();
        if noted.and_then(|text| serde_json::from_slice::<Stamp>(&text).ok()) == Some(now) {
            return None;
        }
        // The window's time is known to a second only.
        if anchor.since.is_some_and(|since| now.1 + 1 < since.timestamp()) {
            return None;
        }
        let text = read_regular(&path, LARGEST).ok()?;
        str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Makes the folders that an identity and a heartbeat need, so that nothing is changed where they cannot be.
    pub(crate) fn prepare(&self) -> Result<(), RegistryError> {
        for folder in [self.beats_folder(), self.identities_folder()] {
            make_folder(&folder).map_err(|error| RegistryError::Write(error.into()))?;
        }
        Ok(())
    }
}

/// What tells whether the `.session_identity` is the one that we wrote: its inode and time of last change.
type Stamp = (u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Held<'_> {
    /// Remembers that this terminal is the session, takes that from the terminals that were it before, and tells the
    /// original's scripts. Says whether there is a terminal that it can be remembered by.
    pub(crate) fn remember(
        &self,
        anchor: &Anchor,
        session: &Session<'_>,
        now: DateTime<Utc>,
    ) -> Result<bool, RegistryError> {
        let registry = self.registry();
        registry.prepare()?;
        let known = registry.identities()?;
        for former in known.others(session.number, anchor) {
            match former.is_alive() {
                Some(false) => self.forget_one(former)?,
                _ => self.store(&Identity { taken_over_by: Some(anchor.label().to_owned()), ..former.clone() })?,
            }
        }
        // Where it is remembered by the window already, a CLI in that window needs no memory of its own.
        let by_window = known
            .of(anchor)
            .filter(|identity| identity.number() == Some(session.number) && !anchor.is_own(&identity.key));
        let places = match by_window {
            Some(identity) => anchor.terminals.iter().filter(|terminal| terminal.key == identity.key).collect(),
            None => anchor.terminals.iter().take(anchor.own).collect::<Vec<&Terminal>>(),
        };
        let proc = Proc::default();
        for terminal in &places {
            self.store(&Identity {
                schema: 1,
                number: session.number.get(),
                session_id: session.id().into_owned(),
                registered_at: session.text("registered_at").map(std::borrow::Cow::into_owned),
                terminal: terminal.label.clone(),
                key: terminal.key.clone(),
                process: terminal.process.clone(),
                host: proc.host().unwrap_or_default(),
                pid_namespace: proc.pid_namespace().ok(),
                identified_at: now,
                taken_over_by: None,
            })?;
        }
        self.tell_scripts(session.number)?;
        Ok(!places.is_empty())
    }

    /// Keeps the memory of a CLI's session by the process that runs it now.
    pub(crate) fn follow(&self, anchor: &Anchor) -> Result<(), RegistryError> {
        let known = self.registry().identities()?;
        let Some(identity) = known.of(anchor) else { return Ok(()) };
        let terminal = anchor.terminals.iter().find(|terminal| terminal.key == identity.key);
        match terminal.filter(|terminal| terminal.process != identity.process) {
            Some(terminal) => self.store(&Identity { process: terminal.process.clone(), ..identity.clone() }),
            None => Ok(()),
        }
    }

    fn store(&self, identity: &Identity) -> Result<(), RegistryError> {
        let text = serde_json::to_vec_pretty(identity).map_err(|error| RegistryError::Write(error.into()))?;
        write(&self.registry().identities_folder().join(identity.key.file_name()), &text, 0o600)
    }

    /// Forgets every terminal that is this session, and takes the number out of the original's files.
    pub(crate) fn forget(&self, number: SessionNumber) -> Result<(), RegistryError> {
        let registry = self.registry();
        let known = registry.identities()?;
        known.others(number, &Anchor::default()).try_for_each(|identity| self.forget_one(identity))?;
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
        let known = registry.identities()?;
        let gone: Vec<&Identity> = registry.read(|roster| {
            let has_ended = |number| roster.find(number).is_none_or(Session::is_inactive);
            let is_gone = |identity: &&Identity| {
                identity.number().is_none_or(has_ended)
                    && !identity.is_alive().unwrap_or(now - identity.identified_at < FORGET_AFTER)
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
    fn tell_scripts(&self, number: SessionNumber) -> Result<(), RegistryError> {
        let registry = self.registry();
        for (name, text) in scripts_files(number) {
            write(&registry.base().join(name), text.as_bytes(), READABLE)?;
        }
        let noted = serde_json::to_vec(&stamp(&registry.identity_file())).unwrap_or_default();
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
