//! What is in the archive, and what was put back.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::{age, count, short, write_problems};
use crate::artifacts::archive::{Archive, Entry, Restored};
use crate::config::Dirs;
use crate::output::View;
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::policy::duration::Limit;
use crate::policy::timestamp::Timestamp;

/// The archive in brief.
pub(crate) struct ArchiveView<'v> {
    folder: &'v std::path::Path,
    entries: usize,
    disk: u64,
}

impl<'v> ArchiveView<'v> {
    pub(crate) fn new(archive: &'v Archive, entries: &[Entry]) -> Self {
        let disk = entries.iter().map(|entry| entry.disk).sum();
        Self { folder: archive.folder(), entries: entries.len(), disk }
    }

    /// A line for people; none where nothing is in it.
    pub(super) fn line(&self, out: &mut dyn Write, style: Style, dirs: &Dirs) -> io::Result<()> {
        if self.entries == 0 {
            return Ok(());
        }
        let heading = style.paint(Tone::Heading, format!("archive  {}", short(dirs, self.folder)));
        writeln!(out, "{heading}  {} in {}", count(self.entries as u64, "session"), Bytes(self.disk))
    }

    pub(super) fn document(&self) -> Value {
        json!({ "folder": self.folder.to_string_lossy(), "sessions": self.entries, "disk_bytes": self.disk })
    }
}

/// What a prune takes out of the archive, where that is not held: it is nowhere else.
pub(super) struct Forgotten<'v> {
    pub(super) entries: &'v [Entry],
    /// How long entries stay.
    pub(super) limit: Limit,
    /// How many went; nothing before the run.
    pub(super) gone: Option<usize>,
    pub(super) now: DateTime<Utc>,
}

impl Forgotten<'_> {
    /// A line of the table of what goes, with a line for each entry where more is wanted.
    pub(super) fn row(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let items = self.entries.len();
        if items == 0 {
            return Ok(());
        }
        let (verb, tone, why) = match self.gone {
            None => ("remove", Tone::Change, "for good".to_owned()),
            Some(gone) if gone == items => ("removed", Tone::Change, "for good".to_owned()),
            Some(gone) => ("stays", Tone::Attention, format!("{gone} of them went for good")),
        };
        let disk = Bytes(self.entries.iter().map(|entry| entry.disk).sum()).to_string();
        let (verb, limit) = (style.paint(tone, verb), self.limit);
        writeln!(out, "archive   {:<16} {items:>6}  {disk:>8}  {verb:<8}  older than {limit}; {why}", "sessions")?;
        for entry in self.entries.iter().filter(|_| verbose > 0) {
            let (last, size) = (age(Some(entry.manifest.archived_at), self.now), Bytes(entry.disk).to_string());
            writeln!(out, "  {last:>6}  {size:>8}  {}", style.paint(Tone::Quiet, Escaped(&entry.name)))?;
        }
        Ok(())
    }

    /// The same in words; none where nothing goes.
    pub(super) fn words(&self) -> Option<String> {
        let goes = if self.gone.is_some() { "went" } else { "would go" };
        let number = self.gone.unwrap_or(self.entries.len());
        (!self.entries.is_empty())
            .then(|| format!("{} of the archive {goes} for good", count(number as u64, "session")))
    }
}

/// Every entry of the archive.
pub(crate) struct ListView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) archive: ArchiveView<'v>,
    pub(crate) entries: &'v [Entry],
    pub(crate) problems: &'v [String],
}

/// Where the transcript of an entry was.
fn transcript(entry: &Entry) -> std::path::PathBuf {
    let manifest = &entry.manifest;
    manifest.files.first().map_or_else(|| manifest.home.clone(), |file| manifest.home.join(&file.path))
}

impl View for ListView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        if self.entries.is_empty() {
            writeln!(out, "nothing is in the archive {}", short(self.dirs, self.archive.folder))?;
        } else {
            let heading = format!("{:<36}  {:<8}  {:>8}  {:>8}  NOTE", "SESSION", "PROVIDER", "SIZE", "ARCHIVED");
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        for entry in self.entries {
            let manifest = &entry.manifest;
            let note = manifest.restored_at.map_or_else(String::new, |_| "put back".to_owned());
            let line = format!(
                "{:<36}  {:<8}  {:>8}  {:>8}  {note}",
                Escaped(&manifest.session),
                Escaped(&manifest.provider),
                Bytes(manifest.bytes()).to_string(),
                age(Some(manifest.archived_at), self.now),
            );
            writeln!(out, "{}", line.trim_end())?;
            if verbose > 0 {
                let (name, path) = (Escaped(&entry.name), short(self.dirs, &transcript(entry)));
                writeln!(out, "  {}\n  {}", style.paint(Tone::Quiet, name), style.paint(Tone::Quiet, path))?;
            }
        }
        self.archive.line(out, style, self.dirs)?;
        write_problems(out, style, self.problems)
    }
}

fn document(entry: &Entry) -> Value {
    let manifest = &entry.manifest;
    json!({
        "entry": entry.name,
        "session": manifest.session,
        "provider": manifest.provider,
        "home": manifest.home.to_string_lossy(),
        "archived_at": Timestamp(manifest.archived_at),
        "restored_at": manifest.restored_at.map(Timestamp),
        "bytes": manifest.bytes(),
        "disk_bytes": entry.disk,
        "files": manifest.files.iter().map(|file| file.path.to_string_lossy()).collect::<Vec<_>>(),
    })
}

impl Serialize for ListView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut view = serializer.serialize_struct("List", 6)?;
        view.serialize_field("schema", &1)?;
        view.serialize_field("command", "artifacts restore")?;
        view.serialize_field("now", &Timestamp(self.now))?;
        view.serialize_field("archive", &self.archive.document())?;
        view.serialize_field("entries", &self.entries.iter().map(document).collect::<Vec<_>>())?;
        view.serialize_field("problems", self.problems)?;
        view.end()
    }
}

/// A session that was put back.
pub(crate) struct RestoredView<'v> {
    pub(crate) dirs: &'v Dirs,
    pub(crate) entry: &'v Entry,
    pub(crate) restored: &'v Restored,
}

/// What was put back, and what was there.
fn put_back_words(restored: &Restored) -> String {
    let (files, there, grown) = (restored.files.len(), restored.were_there.len(), restored.grown.len());
    let thing = if grown > 0 { "missing file" } else { "file" };
    let words = match (files, there) {
        (0, _) => count((there + grown) as u64, "file"),
        (_, 0) => format!("{}, {}", count(files as u64, thing), Bytes(restored.bytes)),
        _ => format!("{}, {}; {there} there before", count(files as u64, thing), Bytes(restored.bytes)),
    };
    match grown {
        0 => words,
        1 => format!("{words}; the transcript has grown since"),
        _ => format!("{words}; {grown} transcripts have grown since"),
    }
}

impl View for RestoredView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let (manifest, restored) = (&self.entry.manifest, self.restored);
        let is_done = !restored.files.is_empty();
        let (word, tone) = if is_done { ("put back", Tone::Change) } else { ("was there", Tone::Good) };
        let id = Escaped(&manifest.session);
        writeln!(out, "{} session {id}: {}", style.paint(tone, word), put_back_words(restored))?;
        writeln!(out, "{}", short(self.dirs, &transcript(self.entry)))?;
        let listed = manifest.files.iter().skip(1).filter(|_| verbose > 0);
        for file in listed {
            writeln!(out, "{}", short(self.dirs, &manifest.home.join(&file.path)))?;
        }
        Ok(())
    }
}

impl Serialize for RestoredView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = |paths: &[std::path::PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
        };
        let mut view = serializer.serialize_struct("Restored", 7)?;
        view.serialize_field("schema", &1)?;
        view.serialize_field("command", "artifacts restore")?;
        view.serialize_field("entry", &document(self.entry))?;
        view.serialize_field("restored", &texts(&self.restored.files))?;
        view.serialize_field("were_there", &texts(&self.restored.were_there))?;
        view.serialize_field("grown", &texts(&self.restored.grown))?;
        view.serialize_field("bytes", &self.restored.bytes)?;
        view.end()
    }
}
