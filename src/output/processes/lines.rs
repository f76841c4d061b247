//! What CLIs left behind, in lines for people.

use std::io::{self, Write};

use super::command_line::shown;
use super::with_tilde;
use crate::config::Dirs;
use crate::output::age::Age;
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::policy::orphan::Verdict;
use crate::policy::session_record::Fate;
use crate::sweep::processes::plan::{Item, Plan, RecordItem};

pub(super) const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Orphaned => Tone::Change,
        Verdict::Unknown => Tone::Attention,
        Verdict::Owned => Tone::Good,
        Verdict::Gone => Tone::Quiet,
    }
}

pub(super) const fn tone_of_fate(fate: Fate) -> Tone {
    match fate {
        Fate::LeftOver | Fate::Expired => Tone::Change,
        Fate::Unknown => Tone::Attention,
        Fate::Kept => Tone::Quiet,
    }
}

/// One process in three or more lines: what it is, its command line, and why its verdict is what it is.
fn write_item(out: &mut dyn Write, style: Style, item: &Item, dirs: &Dirs, verb: &str) -> io::Result<()> {
    let process = &item.process;
    let verdict = item.judgement.verdict;
    writeln!(
        out,
        "{} {:>7}  {}, {} old, {}",
        style.paint(tone(verdict), format!("{verb:<9}")),
        process.pid,
        Escaped(&kind(item)),
        Age(process.age.map(|age| age.as_secs())),
        Bytes(process.memory)
    )?;
    let line = shown(&process.arguments, &process.name, dirs, false);
    writeln!(out, "  {}", style.paint(Tone::Quiet, line))?;
    for reason in &item.judgement.reasons {
        writeln!(out, "  {}", Escaped(&with_tilde(&reason.text, dirs)))?;
    }
    if verdict == Verdict::Orphaned && !item.below.is_empty() {
        let names: Vec<String> =
            item.below.iter().rev().map(|below| format!("{} ({})", below.name, below.pid)).collect();
        writeln!(out, "  with it ends what it started: {}", Escaped(&names.join(", ")))?;
    }
    Ok(())
}

/// What a process is, in words: `claude`, `helper of codex`.
pub(super) fn kind(item: &Item) -> String {
    match (&item.provider, item.is_cli) {
        (Some(provider), true) => provider.clone(),
        (Some(provider), false) => format!("helper of {provider}"),
        (None, _) => "process of a session".to_owned(),
    }
}

fn write_record(out: &mut dyn Write, style: Style, item: &RecordItem) -> io::Result<()> {
    let fate = style.paint(tone_of_fate(item.fate), format!("{:<9}", item.fate.name()));
    writeln!(out, "{fate} record of session {}", Escaped(item.record.session_id.as_str()))?;
    writeln!(out, "  {}{}", Escaped(&item.reason), after_orphans(item))
}

/// What is said behind the reason why a record stays.
pub(super) const fn after_orphans(item: &RecordItem) -> &'static str {
    if item.goes_with_orphans { "; it goes when that has ended" } else { "" }
}

/// What a plan does, and what cannot be told; the rest with `-v`. `verb` is said of what was left behind.
pub(super) fn write_plan(
    out: &mut dyn Write,
    style: Style,
    verbose: u8,
    (plan, dirs): (&Plan, &Dirs),
    verb: &str,
) -> io::Result<()> {
    for item in plan.processes.iter().filter(|item| verbose > 0 || item.judgement.verdict < Verdict::Owned) {
        let verdict = item.judgement.verdict;
        let verb = if verdict == Verdict::Orphaned { verb } else { verdict.name() };
        write_item(out, style, item, dirs, verb)?;
    }
    for item in plan.records.iter().filter(|item| verbose > 0 || item.goes() || item.fate != Fate::Kept) {
        write_record(out, style, item)?;
    }
    write_zombies(out, style, plan)?;
    write_problems(out, style, &plan.problems)?;
    write_counts(out, plan)
}

/// Processes that have ended and that nobody reaps.
pub(super) fn write_zombies(out: &mut dyn Write, style: Style, plan: &Plan) -> io::Result<()> {
    for zombies in &plan.zombies {
        let text = format!(
            "{} {} ended and not reaped: their parent {} ({}) does not notice",
            zombies.pids.len(),
            zombies.name,
            zombies.parent_name,
            zombies.parent
        );
        writeln!(
            out,
            "{} {}",
            style.paint(tone(Verdict::Gone), format!("{:<9}", Verdict::Gone.name())),
            Escaped(&text)
        )?;
    }
    Ok(())
}

pub(super) fn write_problems<'p>(
    out: &mut dyn Write,
    style: Style,
    problems: impl IntoIterator<Item = &'p String>,
) -> io::Result<()> {
    problems
        .into_iter()
        .try_for_each(|problem| writeln!(out, "{} {}", style.paint(Tone::Attention, "note:"), Escaped(problem)))
}

/// `1 orphan`, `2 orphans`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The orphans that are to be ended, and the records that are to be removed, counted in words; nothing where there are none.
pub(super) fn to_do(plan: &Plan) -> [Option<String>; 2] {
    let (orphans, records) = (plan.count(Verdict::Orphaned), plan.going_records().count());
    [(orphans, "orphan", "orphans"), (records, "record", "records")]
        .map(|(number, one, many)| (number > 0).then(|| count(number, one, many)))
}

/// The same in one, as `2 orphans and 1 record`.
pub(crate) fn left_over(plan: &Plan) -> Option<String> {
    let both: Vec<String> = to_do(plan).into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" and "))
}

/// How many of each kind there are.
pub(super) fn write_counts(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let count = |verdict| plan.count(verdict);
    write!(
        out,
        "processes: {} orphaned, {} owned, {} unknown",
        count(Verdict::Orphaned),
        count(Verdict::Owned),
        count(Verdict::Unknown)
    )?;
    let of = |fate| plan.count_records(fate);
    writeln!(
        out,
        "; records: {} left over, {} expired, {} kept, {} unknown",
        of(Fate::LeftOver),
        of(Fate::Expired),
        of(Fate::Kept),
        of(Fate::Unknown)
    )
}
