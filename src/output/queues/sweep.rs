//! What a sweep did or would do.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::Value;

use super::InstallationView;
use super::document::{Extent, installation};
use super::lines::{count, write_all, write_not_woken, write_notes, write_strays};
use super::parts::Told;
use super::problems::problems_of;
use super::step::write_step;
use super::tally::Tally;
use crate::output::View;
use crate::output::escape::Escaped;
use crate::output::overview::Headline;
use crate::output::style::{Style, Tone};
use crate::output::wrapped::write_wrapped;
use crate::policy::timestamp::Timestamp;

/// What a sweep did or would do.
pub(crate) struct SweepView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) dry_run: bool,
    pub(crate) installations: Vec<InstallationView<'v>>,
}

impl SweepView<'_> {
    /// The same in one line, among other areas.
    pub(in crate::output) fn headline(&self) -> Headline {
        let mut has_problems = false;
        let mut work = Vec::new();
        for view in &self.installations {
            let Ok(plan) = view.plan else {
                has_problems = true;
                continue;
            };
            has_problems |= !problems_of(plan, view.applied).is_empty();
            let told = Told { now: self.now, plan, applied: view.applied };
            let is_left = plan.hands_off.is_some();
            let tally = if is_left { Tally::of_host(told) } else { Tally::of(told) };
            let left = if is_left { "left to the host: " } else { "" };
            work.extend(tally.in_words(true).map(|words| format!("{left}{words}")));
        }
        Headline::of((!work.is_empty()).then(|| work.join("; ")), has_problems)
    }

    /// The same in few lines, among other areas.
    pub(crate) fn brief(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Heading, "queues"))?;
        self.text(out, style, verbose)
    }

    /// Installation by installation, as JSON.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.installations.iter().map(|view| installation(view, Extent::Noteworthy)).collect()
    }

    fn write(&self, out: &mut dyn Write, style: Style, verbose: u8, told: Told<'_>) -> io::Result<()> {
        if let Some(why) = &told.plan.hands_off {
            let done = if self.dry_run { "nothing would be done: " } else { "nothing was done: " };
            write!(out, "{}", style.paint(Tone::Change, done))?;
            write_wrapped(out, why, done.len(), 2)?;
        }
        write_strays(out, style, told)?;
        for session in told.sessions() {
            let steps = session.steps();
            if steps.is_empty() && verbose == 0 {
                continue;
            }
            let id = Escaped(&session.item.id);
            let rest = if session.is_noteworthy() { "" } else { ": nothing to do" };
            writeln!(out, "{id}  {}{rest}", style.paint(Tone::Quiet, Escaped(&session.item.group)))?;
            steps.into_iter().try_for_each(|step| write_step(out, style, told, session, step))?;
        }
        write_notes(out, style, told)?;
        write_not_woken(out, told)?;
        self.write_end(out, style, told)
    }

    /// What it comes to.
    fn write_end(&self, out: &mut dyn Write, style: Style, told: Told<'_>) -> io::Result<()> {
        let is_left = told.plan.hands_off.is_some();
        let tally = if is_left { Tally::of_host(told) } else { Tally::of(told) };
        let (run, would) = match (is_left, self.dry_run) {
            (true, _) => ("left to the host: ", true),
            (false, true) => ("Dry run: ", true),
            (false, false) => ("", false),
        };
        let left = if is_left { 0 } else { tally.left };
        let words = tally.in_words(would);
        let is_well = left == 0 && problems_of(told.plan, told.applied).is_empty();
        let (tone, words) = match words {
            Some(words) => (Tone::Change, words),
            None if is_well => (Tone::Good, "nothing to do".to_owned()),
            None if self.dry_run => (Tone::Attention, "nothing to do where it could be looked at".to_owned()),
            None => (Tone::Attention, "nothing was done".to_owned()),
        };
        let mut rest = Vec::from_iter((left > 0).then(|| format!("{left} left as they are")));
        let looked = told.plan.sessions.len();
        let unchanged = told.plan.unchanged;
        rest.push(match unchanged {
            0 => format!("{} looked at", count(looked, "session")),
            _ => format!("{}, {unchanged} of them unchanged", count(looked + unchanged, "session")),
        });
        let rest = rest.join("; ");
        let width = run.len() + words.chars().count() + 2 + rest.len();
        if width <= crate::output::wrapped::WIDTH {
            return writeln!(out, "{run}{}; {rest}", style.paint(tone, words));
        }
        // A colour that goes over lines would be that of the blanks between them, too.
        write_wrapped(out, &format!("{run}{words}; {rest}"), 0, 2)
    }
}

impl View for SweepView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        write_all(out, style, &self.installations, |out, told| self.write(out, style, verbose, told))
    }
}

impl Serialize for SweepView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Queues", 5)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "queues sweep")?;
        document.serialize_field("dry_run", &self.dry_run)?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("installations", &self.documents())?;
        document.end()
    }
}
