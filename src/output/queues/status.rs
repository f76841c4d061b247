//! How queues stand, session by session.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::InstallationView;
use super::document::{Extent, installation};
use super::lines::{count, write_all, write_not_woken, write_notes, write_strays};
use super::parts::{Session, Told, word_of};
use super::step::write_step;
use crate::output::View;
use crate::output::age::Age;
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::output::wrapped::write_wrapped;
use crate::policy::duration::format_age;
use crate::policy::timestamp::Timestamp;
use crate::sweep::queues::plan::{Liveness, Queue};

/// As long as a host's session ids are; a longer one moves its row.
const ID: usize = 25;

/// How queues stand.
pub(crate) struct StatusView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) installations: Vec<InstallationView<'v>>,
}

fn write(out: &mut dyn Write, style: Style, verbose: u8, told: Told<'_>) -> io::Result<()> {
    if let Some(why) = &told.plan.hands_off {
        let done = "a sweep does nothing here: ";
        write!(out, "{}", style.paint(Tone::Change, done))?;
        write_wrapped(out, why, done.len(), 2)?;
    }
    write_strays(out, style, told)?;
    let shown: Vec<Session<'_>> = told.sessions().filter(|session| verbose > 0 || !session.is_idle()).collect();
    if !shown.is_empty() {
        let heading = format!(
            "{:<ID$}  {:<9}  {:>5}  {:>3} {:>7} {:>5} {:>6}  NEXT RUN",
            "SESSION", "CONTAINER", "BEAT", "DUE", "CLAIMED", "STUCK", "FAILED"
        );
        writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
    }
    for session in &shown {
        write_row(out, style, told, *session)?;
        write_more(out, verbose, *session)?;
        session.steps().into_iter().try_for_each(|step| write_step(out, style, told, *session, step))?;
    }
    write_notes(out, style, told)?;
    write_not_woken(out, told)?;
    write_counts(out, style, told, told.plan.sessions.len() - shown.len())
}

/// One session.
fn write_row(out: &mut dyn Write, style: Style, told: Told<'_>, session: Session<'_>) -> io::Result<()> {
    let item = session.item;
    let container = match &item.liveness {
        Liveness::Known(containers) if containers.len() > 1 => format!("{} run", containers.len()),
        liveness => word_of(liveness).to_owned(),
    };
    let tone = match item.liveness.is_alive() {
        _ if item.judgement.stops() => Tone::Attention,
        None => Tone::Attention,
        Some(true) => Tone::Good,
        Some(false) => Tone::Quiet,
    };
    let queue = item.queue.as_ref();
    let number = |of: fn(&Queue) -> usize| queue.map_or("-".to_owned(), |queue| of(queue).to_string());
    let next = queue.and_then(|queue| queue.next_recurrence);
    let next = next.map_or("-".to_owned(), |next| match told.until(next) {
        Some(time) => format!("in {}", format_age(time)),
        None => "due".to_owned(),
    });
    let stuck = queue.is_some_and(|queue| queue.stuck > 0);
    writeln!(
        out,
        "{:<ID$}  {}  {:>5}  {:>3} {:>7} {} {:>6}  {next}",
        Escaped(&item.id),
        style.paint(tone, format!("{container:<9}")),
        Age(item.heartbeat.map(|beat| told.seconds_since(beat))),
        number(|queue| queue.due),
        number(|queue| queue.claimed),
        style.paint(if stuck { Tone::Attention } else { Tone::Quiet }, format!("{:>5}", number(|queue| queue.stuck))),
        number(|queue| queue.failed),
    )
}

/// What a row has no room for.
fn write_more(out: &mut dyn Write, verbose: u8, session: Session<'_>) -> io::Result<()> {
    let item = session.item;
    if verbose == 0 {
        return Ok(());
    }
    let mut facts = vec![format!("agent group {}", item.group)];
    if let Liveness::Known(containers) = &item.liveness {
        facts.extend(containers.iter().map(|container| format!("container {}", super::lines::name_of(container))));
    }
    if let Some(queue) = &item.queue {
        facts.push(format!("{} pending", queue.pending));
        facts.extend((queue.parked > 0).then(|| format!("{} parked", count(queue.parked, "expression"))));
        facts.extend(queue.next_due.map(|time| format!("next due {}", short(time))));
        facts.extend(queue.next_recurrence.map(|time| format!("next run {}", short(time))));
    }
    write!(out, "  ")?;
    write_wrapped(out, &facts.join(", "), 2, 2)
}

fn short(time: DateTime<Utc>) -> String {
    let mut text = String::new();
    Timestamp(time).push_short_to(&mut text);
    text
}

fn write_counts(out: &mut dyn Write, style: Style, told: Told<'_>, idle: usize) -> io::Result<()> {
    let queues = || told.plan.sessions.iter().filter_map(|session| session.queue.as_ref());
    let sum = |of: fn(&Queue) -> usize| queues().map(of).sum::<usize>();
    let stuck = sum(|queue| queue.stuck);
    writeln!(
        out,
        "{}; messages: {} due, {} claimed, {}, {} failed",
        count(told.plan.sessions.len(), "session"),
        sum(|queue| queue.due),
        sum(|queue| queue.claimed),
        style.paint(if stuck > 0 { Tone::Attention } else { Tone::Good }, format!("{stuck} stuck")),
        sum(|queue| queue.failed)
    )?;
    match idle {
        0 => Ok(()),
        _ => writeln!(out, "{} idle; -v shows them too", count(idle, "session")),
    }
}

impl Session<'_> {
    /// Whether nothing runs, waits or has failed in it.
    fn is_idle(self) -> bool {
        let is_empty = self
            .item
            .queue
            .as_ref()
            .is_none_or(|queue| queue.pending + queue.claimed + queue.stuck + queue.failed + queue.parked == 0);
        is_empty && self.item.liveness.is_alive() != Some(true) && !self.is_noteworthy()
    }
}

impl View for StatusView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        write_all(out, style, &self.installations, |out, told| write(out, style, verbose, told))
    }
}

impl Serialize for StatusView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let installations = self.installations.iter().map(|view| installation(view, Extent::All));
        let mut document = serializer.serialize_struct("Queues", 4)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "queues status")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("installations", &installations.collect::<Vec<_>>())?;
        document.end()
    }
}
