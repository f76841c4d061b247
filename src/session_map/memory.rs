//! Since when each mapping has been found without a transcript, remembered between runs in the state folder.
//!
//! Losing this file only means that a missing mapping is kept a day longer.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::filesystem::{make_folder, remove_leftovers, write_own};

/// What one map's runs remember. Written as one JSON document.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    schema: u32,
    /// The map it belongs to.
    map: PathBuf,
    #[serde(flatten)]
    pub(crate) tidied: Tidied,
    missing: Vec<Absent>,
}

/// The last tidying of the tombstones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tidied {
    /// Size of their file afterwards.
    #[serde(default, rename = "tidied_bytes")]
    pub(crate) bytes: u64,
    /// When that was; `None` where nothing is remembered of one.
    #[serde(default, rename = "tidied_at")]
    pub(crate) at: Option<DateTime<Utc>>,
}

/// A mapping without a transcript. Written as one list each, since there may be very many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Row", from = "Row")]
pub(crate) struct Absent {
    pub(crate) model: Option<String>,
    pub(crate) chat: String,
    pub(crate) session: String,
    /// The provider's home in which it was looked for: elsewhere it may be there.
    pub(crate) home: PathBuf,
    /// Whole seconds.
    pub(crate) since: DateTime<Utc>,
}

/// Model, chat, session, home, seconds since 1970.
type Row = (Option<String>, String, String, PathBuf, i64);

impl From<Absent> for Row {
    fn from(absent: Absent) -> Self {
        (absent.model, absent.chat, absent.session, absent.home, absent.since.timestamp())
    }
}

impl From<Row> for Absent {
    fn from((model, chat, session, home, since): Row) -> Self {
        let since = DateTime::from_timestamp(since, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Self { model, chat, session, home, since }
    }
}

/// Looks up what earlier runs remember.
pub(crate) struct Remembered<'m>(FxHashMap<(Option<&'m str>, &'m str), &'m Absent>);

impl Memory {
    /// What earlier runs remember of `map`; nothing when there is no memory or it cannot be understood.
    pub(crate) fn load(state: &Path, map: &Path) -> Self {
        let fresh = Self { schema: 1, map: map.to_owned(), ..Self::default() };
        let Ok(text) = fs_err::read(file(state, map)) else { return fresh };
        match serde_json::from_slice::<Self>(&text) {
            Ok(memory) if memory.map == map => memory,
            Ok(_) => fresh,
            Err(error) => {
                log::debug!("{}: {error}; starting afresh", file(state, map).display());
                fresh
            }
        }
    }

    /// For looking up.
    pub(crate) fn remembered(&self) -> Remembered<'_> {
        Remembered(
            self.missing.iter().map(|absent| ((absent.model.as_deref(), absent.chat.as_str()), absent)).collect(),
        )
    }

    /// Every mapping that earlier runs found without a transcript.
    pub(crate) fn missing(&self) -> &[Absent] {
        &self.missing
    }

    /// What the next run has to know instead; `None` when that is the same.
    pub(crate) fn next(&self, missing: Vec<Absent>, tidied: Tidied) -> Option<Self> {
        let same = self.missing == missing && self.tidied == tidied;
        (!same).then(|| Self { schema: self.schema, map: self.map.clone(), tidied, missing })
    }

    /// Writes it.
    pub(crate) fn store(&self, state: &Path) -> Result<()> {
        let path = file(state, &self.map);
        let folder = path.parent().unwrap_or(state);
        make_folder(folder)?;
        // What a run left that was killed here.
        if let Err(error) = remove_leftovers(folder, &[path.file_name().unwrap_or_default()]) {
            log::debug!("left-over temporary files stay: {error}");
        }
        let text = serde_json::to_vec(self)?;
        write_own(&path, &[&text], 0o600)
            .with_context(|| format!("cannot remember missing transcripts in {}", path.display()))
    }
}

impl Remembered<'_> {
    /// Since when this mapping has been missing from this home.
    pub(crate) fn since(&self, model: Option<&str>, chat: &str, session: &str, home: &Path) -> Option<DateTime<Utc>> {
        let absent = self.0.get(&(model, chat))?;
        (absent.session == session && absent.home == home).then_some(absent.since)
    }
}

/// One file per map, named by a hash of its path (FNV-1a, 64 bits); the path inside tells collisions apart.
fn file(state: &Path, map: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = map.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    state.join("maps").join(format!("{hash:016x}.json"))
}
