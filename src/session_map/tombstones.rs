//! What was removed from the map, and what it takes to go on with it.
//!
//! One JSON object a line in `<map>.tombstones.jsonl` beside the map (`session_map.tombstones.jsonl`). A line is written
//! and durable before its mapping leaves the map; of several lines for one chat the last counts; a torn last line is
//! passed over.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::filesystem::{PendingAppend, Snapshot, SnapshotError, append, write_own};
use crate::policy::timestamp::Timestamp;

/// How long a tombstone stays after its transcript is gone.
pub(crate) const TRANSCRIPT_GONE_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// No tombstone file grows beyond this before it is read to be tidied.
const MAX_BYTES: u64 = 1 << 30;
/// Tidied when it has grown to this many times what the last tidying left…
const TIDY_FACTOR: u64 = 4;
/// …and is at least this large.
const TIDY_FROM: u64 = 1 << 20;

/// A removed mapping, as written.
#[derive(Debug, Serialize)]
pub(crate) struct Tombstone<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) chat: &'a str,
    pub(crate) session: &'a str,
    pub(crate) provider: Option<&'a str>,
    pub(crate) transcript: Option<Cow<'a, str>>,
    pub(crate) cwd: Option<&'a str>,
    pub(crate) last_activity: Option<Timestamp>,
    pub(crate) pruned_at: Timestamp,
    pub(crate) reason: &'a str,
    /// The mapping's value as it stood in the map, where that was more than the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<&'a RawValue>,
}

/// A removed mapping, as read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Grave {
    pub(crate) model: Option<String>,
    pub(crate) chat: String,
    pub(crate) session: String,
    pub(crate) provider: Option<String>,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) last_activity: Option<DateTime<Utc>>,
    pub(crate) pruned_at: DateTime<Utc>,
    pub(crate) reason: Option<String>,
    pub(crate) value: Option<Box<RawValue>>,
    /// Since when tidying has found the transcript gone.
    pub(crate) gone_since: Option<DateTime<Utc>>,
}

/// The tombstone file of one map.
#[derive(Debug, Clone)]
pub(crate) struct Tombstones {
    path: PathBuf,
}

impl Tombstones {
    /// The file that belongs to `map`: its name without `.json`, with `.tombstones.jsonl`.
    pub(crate) fn beside(map: &Path) -> Self {
        Self { path: map.with_extension("tombstones.jsonl") }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds lines; they are durable only after [`PendingAppend::sync`].
    pub(crate) fn append<'a>(&self, tombstones: impl Iterator<Item = Tombstone<'a>>) -> Result<PendingAppend> {
        append(&self.path, |file| {
            for tombstone in tombstones {
                serde_json::to_writer(&mut *file, &tombstone)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })
        .with_context(|| format!("cannot record removed mappings in {}; nothing was pruned", self.path.display()))
    }

    /// The newest tombstone of a chat. `model` as in the map; a chat filed without a model matches every model.
    pub(crate) fn find(&self, model: &str, chat: &str) -> Result<Option<Grave>> {
        let Some(text) = self.read()? else { return Ok(None) };
        let needle = serde_json::to_string(chat)?;
        let finder = memchr::memmem::FinderRev::new(needle.as_bytes());
        let mut end = text.len();
        // Backwards, because the last line of a chat counts and a bridge asks for recent ones.
        while let Some(at) = finder.rfind(&text[..end]) {
            let line = line_around(&text, at);
            end = line.start;
            let grave = serde_json::from_slice::<Grave>(&text[line]).ok();
            let same = |grave: &Grave| grave.chat == chat && grave.model.as_deref().is_none_or(|own| own == model);
            if let Some(grave) = grave.filter(same) {
                return Ok(Some(grave));
            }
        }
        Ok(None)
    }

    /// All tombstones, the newest of each chat, in the order of the file; lines that cannot be read are left out.
    pub(crate) fn all(&self) -> Result<Vec<Grave>> {
        let Some(text) = self.read()? else { return Ok(Vec::new()) };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(newest_of_each(lines.filter_map(|line| serde_json::from_slice(line).ok())))
    }

    /// Takes the tombstones of these chats out. Only under the map's lock.
    pub(crate) fn clear(&self, is_cleared: impl Fn(&Grave) -> bool) -> Result<()> {
        let Some(text) = self.read()? else { return Ok(()) };
        let cleared = |line: &&[u8]| serde_json::from_slice::<Grave>(line).is_ok_and(|grave| is_cleared(&grave));
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        if lines().any(|line| cleared(&line)) {
            let kept: Vec<&[u8]> = lines().filter(|line| !cleared(line)).collect();
            write_own(&self.path, &kept, 0o600)?;
        }
        Ok(())
    }

    /// Whether the file has grown so much that superseded and expired lines are worth removing. `left` is what the
    /// last tidying left, in bytes.
    pub(crate) fn is_overgrown(&self, left: u64) -> bool {
        let bytes = fs_err::metadata(&self.path).map_or(0, |metadata| metadata.len());
        bytes >= TIDY_FROM && bytes / TIDY_FACTOR >= left
    }

    /// Removes superseded lines and those whose time is over: older than `keep`, or without a transcript for 30 days.
    /// Only under the map's lock. Yields the size that is left.
    pub(crate) fn tidy(&self, keep: Option<Duration>, now: DateTime<Utc>) -> Result<u64> {
        let mut kept = Vec::new();
        for mut grave in self.all()? {
            let age = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
            grave.gone_since = if grave.transcript_is_gone() { grave.gone_since.or(Some(now)) } else { None };
            let expired = keep.is_some_and(|keep| age(grave.pruned_at) > keep);
            let pointless = grave.gone_since.is_some_and(|since| age(since) > TRANSCRIPT_GONE_FOR);
            if !expired && !pointless {
                kept.push(grave.to_line()?);
            }
        }
        let parts: Vec<&[u8]> = kept.iter().map(String::as_bytes).collect();
        write_own(&self.path, &parts, 0o600)?;
        Ok(parts.iter().map(|part| part.len() as u64).sum())
    }

    fn read(&self) -> Result<Option<Arc<Vec<u8>>>> {
        match Snapshot::open(&self.path, MAX_BYTES) {
            Ok(snapshot) => Ok(Some(snapshot.shared_bytes())),
            Err(SnapshotError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Grave {
    /// Whether it is certain that the transcript is gone: a path with bytes that are no text is not written down exactly.
    pub(crate) fn transcript_is_gone(&self) -> bool {
        let inexact = |path: &Path| path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER);
        self.transcript.as_ref().is_some_and(|path| !inexact(path) && matches!(path.try_exists(), Ok(false)))
    }

    fn to_line(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            tombstone: Tombstone<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            gone_since: Option<Timestamp>,
        }
        let tombstone = Tombstone {
            model: self.model.as_deref(),
            chat: &self.chat,
            session: &self.session,
            provider: self.provider.as_deref(),
            transcript: self.transcript.as_deref().map(Path::to_string_lossy),
            cwd: self.cwd.as_deref().and_then(Path::to_str),
            last_activity: self.last_activity.map(Timestamp),
            pruned_at: Timestamp(self.pruned_at),
            reason: self.reason.as_deref().unwrap_or_default(),
            value: self.value.as_deref(),
        };
        let mut line = serde_json::to_string(&Line { tombstone, gone_since: self.gone_since.map(Timestamp) })?;
        line.push('\n');
        Ok(line)
    }
}

/// The last of each chat, where it stands last.
fn newest_of_each(graves: impl Iterator<Item = Grave>) -> Vec<Grave> {
    let mut slots: Vec<Option<Grave>> = Vec::new();
    let mut last: FxHashMap<(Option<String>, String), usize> = FxHashMap::default();
    for grave in graves {
        if let Some(earlier) = last.insert((grave.model.clone(), grave.chat.clone()), slots.len()) {
            slots[earlier] = None;
        }
        slots.push(Some(grave));
    }
    slots.into_iter().flatten().collect()
}

/// The line that holds position `at`, without its newline.
fn line_around(text: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
    let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |newline| at + newline);
    start..end
}
