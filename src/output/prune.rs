//! What a prune did or would do.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, SerializeStruct as _, Serializer};

use super::View;
use super::age::{Age, pad};
use super::escape::{Escaped, Short};
use super::overview::Headline;
use super::style::{Style, Tone};
use crate::policy::mapping::{Action, State};
use crate::policy::timestamp::Timestamp;
use crate::sweep::apply::Applied;
use crate::sweep::plan::{Item, Plan, Totals};

/// A plan and, unless it was a dry run, what became of it.
pub(crate) struct PruneView<'v> {
    pub(crate) plan: &'v Plan<'v>,
    pub(crate) map: String,
    /// Where a bridge's URL is set.
    pub(crate) bridge: Option<BridgeView>,
    pub(crate) applied: Option<&'v Applied>,
    /// What went wrong with the command that was to follow.
    pub(crate) after: Option<String>,
}

/// What became of asking the bridge.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct BridgeView {
    pub(crate) url: String,
    /// It answered, so its own list counts; else the file does.
    pub(crate) up: bool,
}

impl PruneView<'_> {
    /// How many mappings are in which state, and how many were or would be pruned.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.plan.totals();
        if let Some(applied) = self.applied {
            totals.pruned = applied.pruned;
            let left = applied.changed_meanwhile.iter().filter(|entry| self.plan.was_written_back(**entry)).count();
            totals.written_back -= left;
        }
        totals
    }

    /// The same in one line, among other areas.
    pub(super) fn headline(&self) -> Headline {
        let totals = self.totals();
        let work =
            (totals.pruned > 0).then(|| format!("{} of {} mappings would be pruned", totals.pruned, totals.checked));
        Headline::of(work, !self.problems().is_empty())
    }

    /// What could not be looked at or done.
    pub(crate) fn problems(&self) -> Vec<String> {
        let late = self.applied.iter().flat_map(|applied| &applied.problems);
        self.plan
            .evidence
            .problems()
            .iter()
            .chain(late)
            .cloned()
            .chain(self.unaddressable())
            .chain(self.after.clone())
            .collect()
    }

    fn unaddressable(&self) -> Option<String> {
        let count = self.plan.unaddressable();
        (count > 0).then(|| {
            format!("{count} to be pruned stay: their ids cannot stand in the bridge's URLs; stop it to prune its file")
        })
    }

    /// The same, and what follows from the whole.
    fn notes(&self) -> Vec<String> {
        let late = self.applied.iter().flat_map(|applied| &applied.problems);
        let notes = self.plan.evidence.notes.iter().chain(late).cloned();
        notes.chain(self.after.clone()).chain(self.written_back()).collect()
    }

    /// Once may be chance; what comes back again and again is somebody's habit.
    fn written_back(&self) -> Option<String> {
        let count = self.plan.written_back_again();
        let remedy = match &self.bridge {
            // Now they go for good.
            Some(BridgeView { up: true, .. }) => return None,
            Some(_) => "a bridge that was down then wrote its old map; while it runs it is asked to remove them",
            None => {
                "a bridge writes the map that it has in memory over the file; tell where it listens, so that it is asked \
                 to remove them: session-sweep config set bridge.url http://127.0.0.1:8000"
            }
        };
        (count > 0).then(|| format!("{count} came back again after they were pruned, unused: {remedy}"))
    }

    /// The action as it came out: a mapping that changed meanwhile was left alone.
    fn action(&self, item: &Item<'_>) -> Action {
        let changed = |applied: &Applied| applied.changed_meanwhile.contains(&item.finding.entry);
        if self.applied.is_some_and(changed) { Action::Keep } else { item.verdict.action }
    }

    fn reason(&self, item: &Item<'_>) -> std::borrow::Cow<'_, str> {
        if self.action(item) == item.verdict.action {
            return self.plan.reason(item);
        }
        "the mapping changed or was used meanwhile, or could not be looked at again".into()
    }

    /// One mapping's line, into `line`: a hundred thousand of them are written in one run.
    fn line(&self, line: &mut String, style: Style, verbose: u8, item: &Item<'_>) -> fmt::Result {
        let action = self.action(item);
        let (tone, word) = match (action, self.applied) {
            (Action::Prune, Some(_)) => (Tone::Change, "pruned"),
            (Action::Prune, None) => (Tone::Change, "would prune"),
            (Action::Keep, _) => match item.verdict.state {
                State::Active | State::InUse => (Tone::Good, "keep"),
                State::Idle | State::Missing | State::Unknown => (Tone::Attention, "keep"),
            },
        };
        column(line, 10, |line| Escaped(self.plan.provider(item).unwrap_or("-")).push_to(line));
        column(line, 10, |line| Short(&item.entry.chat, 8).push_to(line));
        column(line, 10, |line| Short(&item.entry.session, 8).push_to(line));
        Age(self.plan.idle_seconds(item)).push_to(line, 6);
        line.push_str("  ");
        match item.last_activity() {
            // As wide as the column.
            Some(time) => time.push_short_to(line),
            None => line.push_str("-                "),
        }
        line.push_str("  ");
        style.push(tone, word, line);
        if !(action == Action::Prune && item.verdict.state == State::Idle) {
            line.push_str(" (");
            line.push_str(item.verdict.state.name());
            line.push(')');
        }
        if verbose > 0 {
            write!(line, "  {}", style.paint(Tone::Quiet, Escaped(&self.reason(item))))?;
        }
        if let Some(source) = self.plan.source_to_show(item) {
            line.push_str("  by ");
            line.push_str(source);
        }
        if let Some(lie) = self.plan.mtime_lie(item) {
            write!(line, "  mtime says {}", Age(Some(lie)))?;
        }
        line.push('\n');
        Ok(())
    }

    /// Why mappings were kept that are neither active nor in use, each reason once.
    fn kept_reasons(&self) -> Vec<(String, usize)> {
        let mut reasons: Vec<(String, usize)> = Vec::new();
        let mut places: FxHashMap<String, usize> = FxHashMap::default();
        for item in self.plan.items_with(|state, _| !is_alive(state)) {
            if self.action(&item) == Action::Prune {
                continue;
            }
            let reason = self.reason(&item).into_owned();
            let place = *places.entry(reason).or_insert_with_key(|reason| {
                reasons.push((reason.clone(), 0));
                reasons.len() - 1
            });
            reasons[place].1 += 1;
        }
        reasons
    }
}

impl View for PruneView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let shown = |state, _| verbose > 0 || !is_alive(state);
        if self.plan.items_with(shown).next().is_some() {
            let heading = format!(
                "{:<9} {:<8}  {:<8}  {:>6}  {:<17}  ACTION",
                "PROVIDER", "CHAT", "SESSION", "IDLE", "LAST ACTIVITY"
            );
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        let mut line = String::with_capacity(128);
        for item in self.plan.items_with(shown) {
            line.clear();
            self.line(&mut line, style, verbose, &item).map_err(io::Error::other)?;
            out.write_all(line.as_bytes())?;
        }
        for (reason, count) in self.kept_reasons() {
            writeln!(out, "{count} kept: {}", Escaped(&reason))?;
        }
        match self.plan.document.not_understood {
            0 => {}
            1 => writeln!(out, "1 member of the map is no mapping that we know; it stays")?,
            count => writeln!(out, "{count} members of the map are no mapping that we know; they stay")?,
        }
        for note in self.notes() {
            writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(&note))?;
        }
        match &self.bridge {
            Some(BridgeView { url, up: true }) => writeln!(out, "the bridge at {} was asked", Escaped(url))?,
            Some(BridgeView { url, up: false }) => {
                writeln!(
                    out,
                    "nobody accepts a connection at {}: the bridge is down, and its file counts",
                    Escaped(url)
                )?;
            }
            None => {}
        }
        let totals = self.totals();
        let pruned = if self.applied.is_some() { "pruned" } else { "would be pruned" };
        write!(
            out,
            "{} checked: {} active, {} idle, {} in use, {} missing, {} unknown; {}",
            totals.checked,
            totals.active,
            totals.idle,
            totals.in_use,
            totals.missing,
            totals.unknown,
            style.paint(
                if totals.pruned > 0 { Tone::Change } else { Tone::Good },
                format!("{} {pruned}", totals.pruned)
            ),
        )?;
        match totals.written_back {
            0 => writeln!(out),
            count => writeln!(out, " ({count} written back)"),
        }
    }
}

/// Active or in use: nothing to tell unless asked.
const fn is_alive(state: State) -> bool {
    matches!(state, State::Active | State::InUse)
}

/// Adds a text and fills it up to `width` characters.
fn column(line: &mut String, width: usize, push: impl FnOnce(&mut String)) {
    let start = line.len();
    push(line);
    // A longer text still ends before the next one begins.
    let written = line[start..].chars().count();
    pad(line, line.len(), width.saturating_sub(written).max(2));
}

impl Serialize for PruneView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Prune", 11)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "prune")?;
        document.serialize_field("dry_run", &self.applied.is_none())?;
        document.serialize_field("now", &Timestamp(self.plan.now))?;
        document.serialize_field("threshold_seconds", &self.plan.thresholds.idle.map(|idle| idle.as_secs()))?;
        document.serialize_field("map", &self.map)?;
        document.serialize_field("bridge", &self.bridge)?;
        document.serialize_field("entries", &Entries(self))?;
        document.serialize_field("summary", &self.totals())?;
        document.serialize_field("not_understood", &self.plan.document.not_understood)?;
        document.serialize_field("notes", &self.notes().into_iter().chain(self.unaddressable()).collect::<Vec<_>>())?;
        document.end()
    }
}

struct Entries<'e>(&'e PruneView<'e>);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let items = self.0.plan.items();
        let mut entries = serializer.serialize_seq(Some(items.len()))?;
        for item in items {
            entries.serialize_element(&Entry(self.0, item))?;
        }
        entries.end()
    }
}

struct Entry<'e>(&'e PruneView<'e>, Item<'e>);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, item) = self;
        let mut entry = serializer.serialize_map(None)?;
        entry.serialize_entry("model", &item.entry.model)?;
        entry.serialize_entry("chat", &item.entry.chat)?;
        entry.serialize_entry("session", &item.entry.session)?;
        entry.serialize_entry("provider", &view.plan.provider(item))?;
        entry.serialize_entry("state", item.verdict.state.name())?;
        entry.serialize_entry("action", view.action(item).name())?;
        entry.serialize_entry("reason", &view.reason(item))?;
        entry.serialize_entry("last_activity", &item.last_activity())?;
        entry.serialize_entry("source", &item.verdict.last_activity.map(|activity| activity.source.name()))?;
        entry.serialize_entry("idle_seconds", &view.plan.idle_seconds(item))?;
        let written_back = view.plan.times_written_back(item);
        if written_back > 0 {
            entry.serialize_entry("written_back", &written_back)?;
        }
        entry.serialize_entry("transcript", &view.plan.transcript(item))?;
        if let Some(modified) = view.plan.evidence.file_time(item.finding) {
            entry.serialize_entry("mtime", &Timestamp(modified))?;
        }
        entry.end()
    }
}
