//! What a prune did or would do.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::archive::Forgotten;
use super::{age, count, short, write_problems};
use crate::config::Dirs;
use crate::interrupt;
use crate::output::View;
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;
use crate::output::overview::Headline;
use crate::output::style::{Style, Tone};
use crate::policy::artifact::{Cause, Claim, Reason, Verdict};
use crate::policy::duration::Limit;
use crate::policy::timestamp::Timestamp;
use crate::sweep::artifacts::apply::{Applied, Outcome, Why};
use crate::sweep::artifacts::plan::{Excess, Held, HomePlan, Item, Plan, label, words_of};

/// What a prune did or would do.
pub(crate) struct PruneView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dirs: &'v Dirs,
    pub(crate) plan: &'v Plan<'v>,
    /// Nothing in a dry run.
    pub(crate) applied: Option<&'v Applied>,
    /// How long the archive's entries stay.
    pub(crate) archive_retention: Limit,
}

/// What the lines of one kind begin with: provider, kind and what is done.
type Heading<'g> = (String, &'g str, &'g str);
/// The lines of one kind, by their reasons.
type Lines<'g> = (Tone, BTreeMap<String, Group<'g>>);

/// Items that one line tells of.
#[derive(Default)]
struct Group<'g> {
    items: Vec<(&'g HomePlan<'g>, &'g Item)>,
    disk: u64,
}

impl PruneView<'_> {
    /// What could not be looked at or done.
    pub(crate) fn problems_of(plan: &Plan<'_>, applied: Option<&Applied>) -> Vec<String> {
        let mut problems = plan.problems.clone();
        if let Some(Held { what, removed, of }) = plan.held {
            problems.push(format!(
                "{removed} of {of} {what} would go, which is more than half: nothing was removed; where that is meant, run \
                 `session-sweep artifacts prune --yes-most`"
            ));
        }
        if let Some(Held { what, removed, of }) = plan.archive_held {
            problems.push(format!(
                "{removed} of {of} {what} would go for good, which is more than half: none of these was removed; where that is \
                 meant, run `session-sweep artifacts prune --yes-most`"
            ));
        }
        let Some(applied) = applied else { return problems };
        problems.extend(applied.problems.iter().cloned());
        problems.extend(plan.removed().zip(&applied.outcomes).filter_map(|((home, item), outcome)| {
            let path = home.path(item);
            let why = match outcome {
                Outcome::Removed | Outcome::NotTried(Why::Held) => return None,
                Outcome::Changed => "changed meanwhile, and stays",
                Outcome::Opened => "its session came into use meanwhile, and stays",
                Outcome::NotTried(Why::DiskFull) => "stays: the disk of the archive is full",
                Outcome::NotTried(Why::Asked) => {
                    return Some(format!("{}: stays: {}", path.display(), interrupt::LEFT));
                }
                Outcome::Failed(why) => why,
            };
            Some(format!("{}: {why}", path.display()))
        }));
        problems
    }

    /// What is asked about.
    pub(crate) fn question(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        self.groups(out, style, verbose)
    }

    /// The same in one line, among other areas.
    pub(in crate::output) fn headline(&self) -> Headline {
        if let Some(Held { what, removed, of }) = self.plan.held {
            let text = format!("held: {removed} of {of} {what} would go (--yes-most)");
            return Headline { tone: Tone::Attention, text };
        }
        let disk: u64 = self.plan.removed().map(|(_, item)| item.unit.sums.disk).sum();
        let total = self.plan.removed().count();
        let items = (total > 0).then(|| format!("{} ({}) would be removed", count(total as u64, "item"), Bytes(disk)));
        let work: Vec<String> = items.into_iter().chain(self.forgotten().words()).collect();
        let work = (!work.is_empty()).then(|| work.join(", "));
        Headline::of(work, !Self::problems_of(self.plan, self.applied).is_empty())
    }

    /// The same in few lines, among other areas.
    pub(crate) fn brief(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Heading, "artifacts"))?;
        self.text(out, style, verbose)
    }

    fn verb(&self, item: &Item, outcome: Option<&Outcome>) -> (&'static str, Tone) {
        match (&item.verdict, outcome, item.is_archived()) {
            (Verdict::Keep(_), ..) => ("keep", Tone::Quiet),
            _ if self.plan.held.is_some() => ("held", Tone::Attention),
            (_, Some(Outcome::Removed), true) => ("archived", Tone::Change),
            (_, Some(Outcome::Removed), false) => ("removed", Tone::Change),
            (_, Some(_), _) => ("stays", Tone::Attention),
            (_, None, true) => ("archive", Tone::Change),
            (_, None, false) => ("remove", Tone::Change),
        }
    }

    fn groups(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let mut groups: BTreeMap<Heading<'_>, Lines<'_>> = BTreeMap::new();
        let outcomes = |index: usize| self.applied.and_then(|applied| applied.outcomes.get(index));
        let removed = self.plan.removed().enumerate().map(|(index, (home, item))| (home, item, outcomes(index)));
        for (home, item, outcome) in removed.chain(self.plan.kept().map(|(home, item)| (home, item, None))) {
            let (verb, tone) = self.verb(item, outcome);
            let kind = kind_of(home, item);
            let key = (home.home.provider.clone(), kind, verb);
            let (_, whys) = groups.entry(key).or_insert_with(|| (tone, BTreeMap::new()));
            let group = whys.entry(why(&item.verdict)).or_default();
            group.disk += item.unit.sums.disk;
            group.items.push((home, item));
        }
        let forgotten = self.forgotten();
        if !groups.is_empty() || !forgotten.entries.is_empty() {
            let heading =
                format!("{:<9} {:<16} {:>6}  {:>8}  {:<8}  WHY", "PROVIDER", "KIND", "ITEMS", "SIZE", "ACTION");
            writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
        }
        for ((provider, kind, verb), (tone, whys)) in &groups {
            for (why, group) in whys {
                let verb = style.paint(*tone, verb);
                let (items, disk) = (group.items.len(), Bytes(group.disk).to_string());
                let provider = Escaped(provider);
                writeln!(out, "{provider:<9} {kind:<16} {items:>6}  {disk:>8}  {verb:<8}  {}", Escaped(why))?;
                for (home, item) in group.items.iter().filter(|_| verbose > 0) {
                    let path = short(self.dirs, &home.path(item));
                    let last = age(item.last_activity, self.now);
                    let size = Bytes(item.unit.sums.disk).to_string();
                    writeln!(out, "  {last:>6}  {size:>8}  {}", style.paint(Tone::Quiet, path))?;
                }
            }
        }
        forgotten.row(out, style, verbose)
    }

    /// What goes from the archive.
    fn forgotten(&self) -> Forgotten<'_> {
        // What is held is told among the problems.
        let entries = self.plan.forgets();
        let gone = self.applied.map(|applied| applied.forgotten);
        Forgotten { entries, limit: self.archive_retention, gone, now: self.now }
    }

    /// Which size budgets are not met, since what may go is not enough.
    fn budgets(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        for (home, Excess { kind, left, most }) in self.plan.excesses() {
            let name = home.kind(*kind).map_or("", |kind| kind.name);
            let (provider, folder) = (Escaped(&home.home.provider), short(self.dirs, label(&home.home)));
            let (left, most) = (Bytes(*left), Bytes(*most));
            let note = style.paint(Tone::Attention, "over budget:");
            let why = "the rest is kept, or was changed within the hour";
            writeln!(out, "{note} {provider} {name} in {folder}: {left} stay where {most} are allowed; {why}")?;
        }
        Ok(())
    }

    fn summary(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let planned: u64 = self.plan.removed().map(|(_, item)| item.unit.sums.disk).sum();
        let total = self.plan.removed().count();
        let archived = self.plan.removed().filter(|(_, item)| item.is_archived()).count();
        let is_future = |(_, item): &(&HomePlan<'_>, &Item)| item.verdict == Verdict::Keep(Reason::Future);
        let (future, kept): (Vec<_>, Vec<_>) = self.plan.kept().partition(is_future);
        let (text, tone) = match (self.applied, self.plan.held) {
            (_, Some(_)) => ("nothing is removed: held".to_owned(), Tone::Attention),
            (None, None) if total == 0 => ("nothing to remove".to_owned(), Tone::Good),
            (None, None) => {
                let first = if archived > 0 { format!(", {archived} of them archived first") } else { String::new() };
                (format!("{} ({}) would be removed{first}", count(total as u64, "item"), Bytes(planned)), Tone::Change)
            }
            (Some(applied), None) if applied.outcomes.is_empty() => ("nothing to remove".to_owned(), Tone::Good),
            (Some(applied), None) => {
                let archive = match applied.archived {
                    0 => String::new(),
                    disk => format!(", the archive takes {} more", Bytes(disk)),
                };
                let removed = count(applied.removed() as u64, "item");
                (format!("{removed} removed, {} freed{archive}", Bytes(applied.freed)), Tone::Change)
            }
        };
        let kept = if kept.is_empty() { String::new() } else { format!("; {} past their limits kept", kept.len()) };
        let future = if future.is_empty() { String::new() } else { format!("; {} from the future kept", future.len()) };
        let forgotten = self.forgotten().words();
        let (text, tone) = match &forgotten {
            Some(words) if total == 0 => (words.clone(), Tone::Change),
            Some(words) => (format!("{text}; {words}"), tone),
            None => (text, tone),
        };
        writeln!(out, "{}{kept}{future}", style.paint(tone, text))
    }
}

fn kind_of(home: &HomePlan<'_>, item: &Item) -> &'static str {
    match item.verdict {
        Verdict::Remove(Cause::Duplicate) => "migrated",
        _ => home.kind(item.unit.kind).map_or("transcripts", |kind| kind.name),
    }
}

fn why(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Remove(cause) => words_of(*cause),
        Verdict::Keep(Reason::Claimed(claim)) => words_of_claim(claim),
        Verdict::Keep(Reason::Future) => "its time lies in the future".to_owned(),
        Verdict::Keep(Reason::Unknown(why) | Reason::Unread(why) | Reason::Fixed(why)) => why.clone(),
        Verdict::Keep(Reason::Young) => "not past its limit".to_owned(),
    }
}

fn words_of_claim(claim: &Claim) -> String {
    match claim {
        Claim::Live { pid } => format!("process {pid} has it open"),
        Claim::Named { pid } => format!("process {pid} names it"),
        Claim::MayBeLive(why) => format!("it may be open: {why}"),
        Claim::Running { pid } => format!("process {pid} runs and does not say which session it has open"),
        Claim::Mapped => "a bridge's map leads to it".to_owned(),
        Claim::Restorable => "its pruned mapping can still be put back".to_owned(),
        Claim::Continued { group } => format!("agent group {group} goes on with it"),
        Claim::PartOf { session } => format!("it is a part of session {session}, which stays"),
        Claim::Newest { of } => format!("one of the newest {of} of its project"),
        Claim::Own => "session-sweep keeps its own state there".to_owned(),
        Claim::PutBack { at } => format!("put back from the archive {}", at.format("%Y-%m-%d")),
    }
}

impl View for PruneView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        self.groups(out, style, verbose)?;
        self.summary(out, style)?;
        self.budgets(out, style)?;
        write_problems(out, style, &Self::problems_of(self.plan, self.applied))
    }
}

fn document(home: &HomePlan<'_>, item: &Item, outcome: Option<&Outcome>) -> Value {
    let action = match (&item.verdict, item.is_archived()) {
        (Verdict::Keep(_), _) => "keep",
        (Verdict::Remove(_), true) => "archive",
        (Verdict::Remove(_), false) => "remove",
    };
    let outcome = outcome.map(|outcome| match outcome {
        Outcome::Removed => "removed",
        Outcome::Changed => "changed",
        Outcome::Opened => "opened",
        Outcome::Failed(_) => "failed",
        Outcome::NotTried(_) => "not tried",
    });
    json!({
        "provider": home.home.provider,
        "kind": kind_of(home, item),
        "path": home.path(item).to_string_lossy(),
        "session": item.unit.session,
        "files": item.unit.sums.files,
        "bytes": item.unit.sums.bytes,
        "disk_bytes": item.unit.sums.disk,
        "last_activity": item.last_activity.map(Timestamp),
        "action": action,
        "reason": why(&item.verdict),
        "copy": item.twin.as_ref().map(|twin| twin.path.to_string_lossy()),
        "outcome": outcome,
    })
}

impl Serialize for PruneView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outcome = |index: usize| self.applied.and_then(|applied| applied.outcomes.get(index));
        let removed = self.plan.removed().enumerate().map(|(index, (home, item))| document(home, item, outcome(index)));
        let kept = self.plan.kept().map(|(home, item)| document(home, item, None));
        let mut view = serializer.serialize_struct("Prune", 10)?;
        view.serialize_field("schema", &1)?;
        view.serialize_field("command", "artifacts prune")?;
        view.serialize_field("dry_run", &self.applied.is_none())?;
        view.serialize_field("now", &Timestamp(self.now))?;
        view.serialize_field(
            "held",
            &self
                .plan
                .held
                .or(self.plan.archive_held)
                .map(|held| json!({ "what": held.what, "removed": held.removed, "of": held.of })),
        )?;
        view.serialize_field("items", &removed.chain(kept).collect::<Vec<_>>())?;
        let applied = self.applied.map(|applied| {
            json!({
                "removed": applied.removed(),
                "left": applied.left(),
                "freed_bytes": applied.freed,
                "archived_bytes": applied.archived,
                "forgotten": applied.forgotten,
            })
        });
        view.serialize_field("applied", &applied)?;
        view.serialize_field("forgotten", &self.plan.forgotten.iter().map(|entry| &entry.name).collect::<Vec<_>>())?;
        let over_budget = self.plan.excesses().map(|(home, excess)| {
            json!({
                "provider": home.home.provider,
                "home": home.home.folder.to_string_lossy(),
                "kind": home.kind(excess.kind).map(|kind| kind.name),
                "left_disk_bytes": excess.left,
                "max_size_bytes": excess.most,
            })
        });
        view.serialize_field("over_budget", &over_budget.collect::<Vec<_>>())?;
        view.serialize_field("problems", &Self::problems_of(self.plan, self.applied))?;
        view.end()
    }
}
