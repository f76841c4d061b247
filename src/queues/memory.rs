//! What a tick knows of the one before: which sessions had nothing to do, which were woken, and which expressions were told
//! of. One file per installation in the state folder, terse because it is read at every tick; without it everything is
//! looked at again, and told again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::clocks::Clocks;
use super::session::Stamps;
use crate::filesystem::{make_folder, read_regular, write_unflushed};

/// Form of the file; one of another form is not read.
const SCHEMA: u32 = 1;
/// More than ten thousand sessions take a few megabytes.
const LARGEST: u64 = 256 << 20;

/// What is remembered of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    schema: u32,
    /// Which installation it is of.
    root: PathBuf,
    /// What the machine's clocks differed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clocks: Option<Clocks>,
    sessions: BTreeMap<String, Remembered>,
}

/// What is remembered of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// Where nothing was to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quiet: Option<Quiet>,
    /// When it was woken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) woken: Option<DateTime<Utc>>,
    /// Expressions that cannot be followed, by message, which were told of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parked: BTreeMap<String, String>,
}

/// A session in which nothing was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Stamps, Option<DateTime<Utc>>)", into = "(Stamps, Option<DateTime<Utc>>)")]
pub(crate) struct Quiet {
    /// As long as its databases have these stamps.
    pub(crate) stamps: Stamps,
    /// And until then, where a message will be due.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl From<Quiet> for (Stamps, Option<DateTime<Utc>>) {
    fn from(quiet: Quiet) -> Self {
        (quiet.stamps, quiet.until)
    }
}

impl From<(Stamps, Option<DateTime<Utc>>)> for Quiet {
    fn from((stamps, until): (Stamps, Option<DateTime<Utc>>)) -> Self {
        Self { stamps, until }
    }
}

impl Quiet {
    /// Whether there is still nothing to do.
    pub(crate) fn holds(&self, stamps: Option<Stamps>, now: DateTime<Utc>) -> bool {
        stamps == Some(self.stamps) && self.until.is_none_or(|until| until > now)
    }
}

impl Remembered {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Memory {
    /// Where it is kept.
    pub(crate) fn path(state: &Path, slug: &str) -> PathBuf {
        state.join("queues").join(format!("{slug}.json"))
    }

    /// What is remembered of the installation at `root`; nothing where it cannot be read.
    pub(crate) fn read(path: &Path, root: &Path) -> Self {
        let read = read_regular(path, LARGEST).ok();
        let memory = read.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let own = memory.filter(|memory| memory.schema == SCHEMA && memory.root == root);
        own.unwrap_or_else(|| Self { schema: SCHEMA, root: root.to_owned(), ..Self::default() })
    }

    /// By how much the machine's clocks have leapt since the last tick, as far as that is remembered; `now` is from now on.
    pub(crate) fn leapt(&mut self, now: Clocks) -> Option<Duration> {
        let leapt = self.clocks.and_then(|before| now.leapt_since(before));
        if self.clocks.is_none() || leapt.is_some() {
            self.clocks = Some(now);
        }
        leapt
    }

    pub(crate) fn get(&self, session: &str) -> Option<&Remembered> {
        self.sessions.get(session)
    }

    /// Remembers this of a session in the place of what was.
    pub(crate) fn set(&mut self, session: &str, remembered: Remembered) {
        if remembered.is_empty() {
            self.sessions.remove(session);
        } else {
            self.sessions.insert(session.to_owned(), remembered);
        }
    }

    /// Forgets sessions that are not there any more.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.sessions.retain(|session, _| is_there(session));
    }

    /// Writes it. Not flushed: a power cut costs one tick that looks at everything.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let text = serde_json::to_vec(self)?;
        write_unflushed(path, &text, 0o600).with_context(|| "what this tick saw is not remembered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::session::SessionFolder;

    fn of(text: &str) -> Memory {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0a1b2c3d.json");
        fs_err::write(&path, text).unwrap();
        Memory::read(&path, Path::new("/srv/agents"))
    }

    #[test]
    fn only_what_is_of_this_installation_and_in_this_form_is_remembered() {
        let text = |schema: u32, root: &str| {
            format!(
                "{{\"schema\":{schema},\"root\":\"{root}\",\"sessions\":{{\"s\":{{\"parked\":{{\"m1\":\"x\"}}}}}}}}"
            )
        };
        assert!(of(&text(SCHEMA, "/srv/agents")).get("s").is_some());
        assert!(of(&text(SCHEMA, "/srv/others")).get("s").is_none(), "another installation's");
        assert!(of(&text(SCHEMA + 1, "/srv/agents")).get("s").is_none(), "another form");
        assert!(of("[").get("s").is_none());
    }

    #[test]
    fn a_session_is_quiet_as_long_as_its_databases_are_the_same_and_nothing_is_due() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("inbound.db"), "").unwrap();
        let session = SessionFolder::new(folder.path().to_owned());
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let later = DateTime::from_timestamp(1_001, 0).unwrap();
        let stamps = session.stamps();
        let quiet = |until| Quiet { stamps: stamps.unwrap(), until };
        assert!(quiet(None).holds(stamps, now) && quiet(Some(later)).holds(stamps, now));
        assert!(!quiet(Some(now)).holds(stamps, now), "due");
        fs_err::write(folder.path().join("inbound.db"), "more").unwrap();
        assert!(!quiet(None).holds(session.stamps(), now), "changed");
        assert!(!quiet(None).holds(None, now), "gone");
    }
}
