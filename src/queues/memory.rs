//! What a tick knows of the one before: which sessions had nothing to do, which were woken, and which expressions were told
//! of. One file per installation in the state folder, terse because it is read at every tick; without it everything is
//! looked at again, and told again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::clocks::Clocks;
use super::session::Stamps;
use crate::filesystem::{make_folder, read_regular, write_unflushed};

/// Form of the file; one of another form is not read.
const SCHEMA: u32 = 2;
/// More than ten thousand sessions take a few megabytes.
const LARGEST: u64 = 256 << 20;
/// How often journals are looked for beside databases that did not change: it takes as long as looking at those, and what a
/// killed writer left there changes nothing of what is to be done.
const JOURNALS_EVERY: TimeDelta = TimeDelta::minutes(10);

/// What is remembered of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    schema: u32,
    /// Which installation it is of.
    root: PathBuf,
    /// What the machine's clocks differed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clocks: Option<Clocks>,
    /// When a tick last found that they had leapt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leapt: Option<DateTime<Utc>>,
    /// When journals were looked for.
    journals: Option<DateTime<Utc>>,
    sessions: FxHashMap<String, Remembered>,
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
#[serde(from = "(u64, Option<DateTime<Utc>>)", into = "(u64, Option<DateTime<Utc>>)")]
pub(crate) struct Quiet {
    /// As long as its databases have stamps of this digest.
    stamps: u64,
    /// And until then, where a message will be due.
    until: Option<DateTime<Utc>>,
}

impl From<Quiet> for (u64, Option<DateTime<Utc>>) {
    fn from(quiet: Quiet) -> Self {
        (quiet.stamps, quiet.until)
    }
}

impl From<(u64, Option<DateTime<Utc>>)> for Quiet {
    fn from((stamps, until): (u64, Option<DateTime<Utc>>)) -> Self {
        Self { stamps, until }
    }
}

impl Quiet {
    /// Quiet as long as these are its databases' stamps, and until then.
    pub(crate) fn new(stamps: Stamps, until: Option<DateTime<Utc>>) -> Self {
        Self { stamps: stamps.digest(), until }
    }

    /// Whether there is still nothing to do.
    pub(crate) fn holds(&self, stamps: Option<Stamps>, now: DateTime<Utc>) -> bool {
        stamps.map(Stamps::digest) == Some(self.stamps) && self.until.is_none_or(|until| until > now)
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

    /// By how much the machine's clocks have leapt since the last tick, as far as that is remembered; `clocks` are from now on.
    pub(crate) fn leap(&mut self, clocks: Clocks, now: DateTime<Utc>) -> Option<Duration> {
        let leapt = self.clocks.and_then(|before| clocks.leapt_since(before));
        if self.clocks.is_none() || leapt.is_some() {
            self.clocks = Some(clocks);
        }
        if leapt.is_some() {
            self.leapt = Some(now);
        }
        leapt
    }

    /// When a tick last found that the machine's clocks had leapt.
    pub(crate) const fn leapt(&self) -> Option<DateTime<Utc>> {
        self.leapt
    }

    /// Whether it is time to look for journals; if so, that is remembered as done.
    pub(crate) fn is_time_for_journals(&mut self, now: DateTime<Utc>) -> bool {
        // A clock that was set back does not keep it from being time.
        let is_time = self.journals.is_none_or(|last| (now - last).abs() >= JOURNALS_EVERY);
        // Without a sweep before, everything is looked at anyway.
        is_time && self.journals.replace(now).is_some()
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
    fn it_is_time_for_journals_every_ten_minutes_and_when_the_clock_was_set_back() {
        let mut memory = of("");
        let mut is_time =
            |minutes: i64| memory.is_time_for_journals(DateTime::from_timestamp(minutes * 60, 0).unwrap());
        let at = [100, 100, 109, 110, 119, 121, 130, 131, 100];
        assert_eq!(at.map(&mut is_time), [false, false, false, true, false, true, false, true, true]);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("inbound.db"), "").unwrap();
        let stamps = SessionFolder::new(folder.path().to_owned()).stamps().unwrap();
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let mut memory = of("");
        memory.is_time_for_journals(now);
        memory.set("quiet", Remembered { quiet: Some(Quiet::new(stamps, None)), ..Remembered::default() });
        memory.set("until", Remembered { quiet: Some(Quiet::new(stamps, Some(now))), ..Remembered::default() });
        let parked = BTreeMap::from([("m1".to_owned(), "x".to_owned())]);
        memory.set("woken", Remembered { woken: Some(now), parked, quiet: None });
        let path = folder.path().join("memory.json");
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path, Path::new("/srv/agents")), memory);
    }

    #[test]
    fn a_session_is_quiet_as_long_as_its_databases_are_the_same_and_nothing_is_due() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("inbound.db"), "").unwrap();
        let session = SessionFolder::new(folder.path().to_owned());
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let later = DateTime::from_timestamp(1_001, 0).unwrap();
        let stamps = session.stamps();
        let quiet = |until| Quiet::new(stamps.unwrap(), until);
        assert!(quiet(None).holds(stamps, now) && quiet(Some(later)).holds(stamps, now));
        assert!(!quiet(Some(now)).holds(stamps, now), "due");
        fs_err::write(folder.path().join("inbound.db"), "more").unwrap();
        assert!(!quiet(None).holds(session.stamps(), now), "changed");
        assert!(!quiet(None).holds(None, now), "gone");
    }
}
