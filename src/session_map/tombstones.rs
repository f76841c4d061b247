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
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::add::TopPlace;
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
    pub(crate) value: Option<OldValue<'a>>,
    /// Where the mapping stood, when that was not below a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<TopPlace>,
    /// How often it had come back, unused, after it was pruned.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) written_back: u32,
    /// The bridge was asked to remove it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) through_bridge: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What tells whether a mapping that is in the map again was used since it was pruned.
#[derive(Debug, Deserialize)]
pub(crate) struct Former<'t> {
    #[serde(borrow)]
    pub(crate) model: Option<Cow<'t, str>>,
    #[serde(borrow)]
    pub(crate) chat: Cow<'t, str>,
    #[serde(borrow)]
    pub(crate) session: Cow<'t, str>,
    /// In whole seconds.
    #[serde(default)]
    pub(crate) last_activity: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) written_back: u32,
    /// The bridge was asked to remove it: then it did not come back by being written from memory.
    #[serde(default)]
    pub(crate) through_bridge: bool,
    /// When it was put back on purpose.
    #[serde(default)]
    pub(crate) restored_at: Option<DateTime<Utc>>,
}

/// A mapping's value as it stood in the map: as JSON where it fits on a line, else as text, so that a tombstone is always
/// one line and the value comes back byte for byte.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum OldValue<'a> {
    /// Written as it is.
    Json(&'a RawValue),
    /// Written as a string.
    Text(&'a str),
}

impl<'a> OldValue<'a> {
    /// A value that is an object; nothing for others, which the session's id says already.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        if !text.starts_with('{') {
            return None;
        }
        let json = || serde_json::from_str::<&RawValue>(text).ok().map(Self::Json);
        if text.contains(['\n', '\r']) { Some(Self::Text(text)) } else { json() }
    }

    /// Reads either form back.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else { return Ok(None) };
        if !raw.get().starts_with('"') {
            return Ok(Some(raw.get().to_owned()));
        }
        serde_json::from_str(raw.get()).map(Some).map_err(serde::de::Error::custom)
    }
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
    pub(crate) pruned_at: DateTime<Utc>,
    #[serde(default, deserialize_with = "OldValue::read")]
    pub(crate) value: Option<String>,
    pub(crate) place: Option<TopPlace>,
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
        .with_context(|| format!("cannot record removed mappings in {}, so none is removed", self.path.display()))
    }

    /// The newest tombstone of a chat. `is_of` tells which tombstones belong to the chat; one under exactly this model
    /// wins.
    pub(crate) fn find(&self, model: &str, chat: &str, is_of: &dyn Fn(&Grave) -> bool) -> Result<Option<Grave>> {
        let Some(text) = self.read()? else { return Ok(None) };
        let needle = serde_json::to_string(chat)?;
        let finder = memchr::memmem::FinderRev::new(needle.as_bytes());
        let mut end = text.len();
        let mut other = None;
        // Backwards, because the last line of a chat counts and a bridge asks for recent ones.
        while let Some(at) = finder.rfind(&text[..end]) {
            let line = line_around(&text, at);
            end = line.start;
            let Ok(grave) = serde_json::from_slice::<Grave>(&text[line]) else { continue };
            if grave.chat == chat && grave.model.as_deref() == Some(model) {
                return Ok(Some(grave));
            }
            if other.is_none() && is_of(&grave) {
                other = Some(grave);
            }
        }
        Ok(other)
    }

    /// All tombstones, the newest of each chat, in the order of the file; lines that cannot be read are left out.
    pub(crate) fn all(&self) -> Result<Vec<Grave>> {
        let Some(text) = self.read()? else { return Ok(Vec::new()) };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(newest_of_each(lines.filter_map(|line| serde_json::from_slice(line).ok())))
    }

    /// Calls `visit` for each tombstone in the order of the file; lines that cannot be read are left out.
    pub(crate) fn visit(&self, mut visit: impl FnMut(Former<'_>)) -> Result<()> {
        let Some(text) = self.read()? else { return Ok(()) };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(former) = serde_json::from_slice(line) {
                visit(former);
            }
        }
        Ok(())
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

    /// Notes that these mappings were put back on purpose: each in its newest line. Only under the map's lock.
    pub(crate) fn note_restored(&self, is_restored: impl Fn(&Grave) -> bool, now: DateTime<Utc>) -> Result<()> {
        let Some(text) = self.read()? else { return Ok(()) };
        let mut lines: Vec<Cow<'_, [u8]>> = text.split_inclusive(|byte| *byte == b'\n').map(Cow::Borrowed).collect();
        let mut newest: FxHashMap<Key, usize> = FxHashMap::default();
        for (index, line) in lines.iter().enumerate() {
            if let Some(grave) = serde_json::from_slice::<Grave>(line).ok().filter(&is_restored) {
                newest.insert(grave.key(), index);
            }
        }
        let note = format!(",\"restored_at\":\"{}\"}}\n", Timestamp(now));
        for index in newest.into_values() {
            if let Some(open) = lines[index].trim_ascii_end().strip_suffix(b"}") {
                lines[index] = Cow::Owned([open, note.as_bytes()].concat());
            }
        }
        let parts: Vec<&[u8]> = lines.iter().map(AsRef::as_ref).collect();
        Ok(write_own(&self.path, &parts, 0o600)?)
    }

    /// Whether the file has grown so much that superseded and expired lines are worth removing. `left` is what the
    /// last tidying left, in bytes.
    pub(crate) fn is_overgrown(&self, left: u64) -> bool {
        let bytes = self.bytes();
        bytes >= TIDY_FROM && bytes / TIDY_FACTOR >= left
    }

    /// The file's size; nothing when there is none.
    pub(crate) fn bytes(&self) -> u64 {
        fs_err::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    /// Removes superseded lines and those whose time is over: older than `keep`, or without a transcript for 30 days.
    /// Every other line stays as it is, also one that cannot be read; only when its transcript went is noted at its end.
    /// Only under the map's lock. Yields the size that is left.
    pub(crate) fn tidy(&self, keep: Option<Duration>, now: DateTime<Utc>) -> Result<u64> {
        let Some(text) = self.read()? else { return Ok(0) };
        let mut kept: Vec<Option<Cow<'_, [u8]>>> = Vec::new();
        let mut last: FxHashMap<Key, usize> = FxHashMap::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(grave) = serde_json::from_slice::<Grave>(line) else {
                kept.push(Some(Cow::Borrowed(line)));
                continue;
            };
            let line = grave.outlives(keep, now).then(|| grave.with_absence_noted(line, now));
            if let Some(earlier) = last.insert(grave.key(), kept.len()) {
                kept[earlier] = None;
            }
            kept.push(line);
        }
        let lines = kept.iter().flatten().flat_map(|line| [line.as_ref(), b"\n"]);
        let parts: Vec<&[u8]> = lines.collect();
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

/// What two tombstones of one mapping have in common: model and chat, and the session where that is the map's key (there
/// several sessions may carry one chat's name).
type Key = (Option<String>, String, Option<String>);

impl Grave {
    fn key(&self) -> Key {
        let session = (self.place == Some(TopPlace::Inverted)).then(|| self.session.clone());
        (self.model.clone(), self.chat.clone(), session)
    }

    /// Whether it is certain that the transcript is gone: a path with bytes that are no text is not written down exactly.
    pub(crate) fn transcript_is_gone(&self) -> bool {
        let inexact = |path: &Path| path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER);
        self.transcript.as_ref().is_some_and(|path| !inexact(path) && matches!(path.try_exists(), Ok(false)))
    }

    /// Whether its time is not over yet.
    fn outlives(&self, keep: Option<Duration>, now: DateTime<Utc>) -> bool {
        let age = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
        let expired = keep.is_some_and(|keep| age(self.pruned_at) > keep);
        let pointless = self.gone_since.is_some_and(|since| age(since) > TRANSCRIPT_GONE_FOR);
        !expired && (!pointless || !self.transcript_is_gone())
    }

    /// Its line with `gone_since` added at the end, or taken away, as the transcript is or is not there.
    fn with_absence_noted<'l>(&self, line: &'l [u8], now: DateTime<Utc>) -> Cow<'l, [u8]> {
        match (self.gone_since, self.transcript_is_gone(), line.strip_suffix(b"}")) {
            (None, true, Some(open)) => {
                let note = format!(",\"gone_since\":\"{}\"}}", Timestamp(now));
                Cow::Owned([open, note.as_bytes()].concat())
            }
            (Some(_), false, Some(open)) => match memchr::memmem::rfind(open, b",\"gone_since\":\"") {
                Some(note) => Cow::Owned([&open[..note], b"}"].concat()),
                None => Cow::Borrowed(line),
            },
            _ => Cow::Borrowed(line),
        }
    }
}

/// The last of each chat, where it stands last.
fn newest_of_each(graves: impl Iterator<Item = Grave>) -> Vec<Grave> {
    let mut slots: Vec<Option<Grave>> = Vec::new();
    let mut last: FxHashMap<Key, usize> = FxHashMap::default();
    for grave in graves {
        if let Some(earlier) = last.insert(grave.key(), slots.len()) {
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
