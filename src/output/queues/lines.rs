//! What the views of queues have in common, in lines for people.

use std::io::{self, Write};
use std::path::Path;

use super::InstallationView;
use super::parts::{Session, Told};
use super::step::{INDENT, write_stop, write_verb};
use crate::output::escape::Escaped;
use crate::output::style::{Style, Tone};
use crate::output::wrapped::{WIDTH, write_wrapped};
use crate::queues::runtime::Container;
use crate::sweep::queues::plan::{ContainerItem, ContainerVerdict, Plan};

/// Installations one after the other, an empty line between; one that could not be looked at is its folder and why.
pub(super) fn write_all(
    out: &mut dyn Write,
    style: Style,
    installations: &[InstallationView<'_>],
    mut write: impl FnMut(&mut dyn Write, Told<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for (at, view) in installations.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        match view.plan {
            Ok(plan) => {
                write_heading(out, style, plan)?;
                write(out, Told { plan, applied: view.applied, now: view.now })?;
            }
            Err(error) => {
                writeln!(out, "{}", style.paint(Tone::Heading, Escaped(&text_of(view.folder))))?;
                write_note(out, style, &format!("{error:#}"))?;
            }
        }
    }
    Ok(())
}

/// Which installation it is and what it is looked at by.
fn write_heading(out: &mut dyn Write, style: Style, plan: &Plan) -> io::Result<()> {
    let root = Escaped(&text_of(&plan.root)).to_string();
    let containers = match &plan.runtime {
        Ok(names) => format!("containers by {}", names.join(", ")),
        Err(_) => "containers unknown".to_owned(),
    };
    let facts = format!(
        "schema {}, host {}, {containers}, zone {}",
        plan.generation.name(),
        plan.host.name(),
        plan.zone.tz.name()
    );
    write!(out, "{}", style.paint(Tone::Heading, &root))?;
    let at = root.chars().count() + 2;
    if at + facts.chars().count() > WIDTH {
        writeln!(out)?;
    }
    write!(out, "  ")?;
    write_wrapped(out, &facts, 2, 2)?;
    match &plan.runtime {
        Ok(_) => Ok(()),
        Err(why) => write_note(out, style, &format!("{why}: nothing is stopped or tried again")),
    }
}

/// A line that somebody should read.
pub(super) fn write_note(out: &mut dyn Write, style: Style, text: &str) -> io::Result<()> {
    const NOTE: &str = "note: ";
    write!(out, "{}", style.paint(Tone::Attention, NOTE))?;
    write_wrapped(out, text, NOTE.len(), NOTE.len())
}

/// Orphans, with what becomes of them, and containers that cannot be told whose they are.
pub(super) fn write_strays(out: &mut dyn Write, style: Style, told: Told<'_>) -> io::Result<()> {
    for (item, end) in told.orphans() {
        write_stop(out, style, (name_of(&item.container), &item.reason), end)?;
    }
    let is_noted = |item: &ContainerItem| told.plan.problems.iter().any(|problem| item.is_meant_by(problem));
    let unknown = told.plan.containers.iter().filter(|item| item.verdict == ContainerVerdict::Unknown);
    for item in unknown.filter(|item| !is_noted(item)) {
        write_verb(out, style, Tone::Attention, "unknown")?;
        let text = format!("container {}: {}; left alone", name_of(&item.container), item.reason);
        write_wrapped(out, &text, INDENT, INDENT)?;
    }
    Ok(())
}

/// What could not be looked at, and what was seen and is left alone. What became of a step stands at the step.
pub(super) fn write_notes(out: &mut dyn Write, style: Style, told: Told<'_>) -> io::Result<()> {
    for text in told.plan.problems.iter().chain(&told.plan.notes) {
        write_note(out, style, text)?;
    }
    for session in told.sessions() {
        let texts = session.problem().into_iter().chain(session.notes().iter().map(String::as_str));
        texts.map(|text| of_session(session, text)).try_for_each(|text| write_note(out, style, &text))?;
    }
    Ok(())
}

/// Says once that nobody wakes sessions.
pub(super) fn write_not_woken(out: &mut dyn Write, told: Told<'_>) -> io::Result<()> {
    let text = match told.not_woken() {
        0 => return Ok(()),
        1 => "1 session has messages due and no [queues.wake] command: left to the host".to_owned(),
        number => format!("{number} sessions have messages due and no [queues.wake] command: left to the host"),
    };
    write_wrapped(out, &text, 0, 0)
}

impl ContainerItem {
    /// Whether a problem is said of this container.
    fn is_meant_by(&self, problem: &str) -> bool {
        let named = |name: &str| problem.strip_prefix("container ").and_then(|rest| rest.strip_prefix(name));
        named(&self.container.name).is_some_and(|rest| rest.starts_with(':'))
    }
}

/// What is said of a session, behind its name.
pub(super) fn of_session(session: Session<'_>, text: &str) -> String {
    format!("session {}: {text}", session.item.id)
}

/// What a container is called; its id where it has no name.
pub(super) fn name_of(container: &Container) -> &str {
    if container.name.is_empty() { &container.id } else { &container.name }
}

/// A path for people and programs.
pub(super) fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `1 session`, `2 sessions`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
