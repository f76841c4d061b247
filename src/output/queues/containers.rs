//! The containers of installations and whose they are.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::InstallationView;
use super::document::containers;
use super::lines::{count, name_of, write_all, write_note};
use super::parts::Told;
use crate::output::View;
use crate::output::age::Age;
use crate::output::escape::{Escaped, Short};
use crate::output::style::{Style, Tone};
use crate::output::wrapped::write_wrapped;
use crate::policy::timestamp::Timestamp;
use crate::sweep::queues::plan::ContainerVerdict;

/// So much of an id is enough for every runtime's own commands.
const ID: usize = 12;

/// The containers of installations.
pub(crate) struct ContainersView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) installations: Vec<InstallationView<'v>>,
}

fn write(out: &mut dyn Write, style: Style, told: Told<'_>) -> io::Result<()> {
    let items = &told.plan.containers;
    if !items.is_empty() {
        let heading = format!("{:<ID$}  {:<10}  {:>5}  {:<9}  SESSION", "CONTAINER", "STATE", "AGE", "VERDICT");
        writeln!(out, "{}", style.paint(Tone::Heading, heading))?;
    }
    for item in items {
        let container = &item.container;
        writeln!(
            out,
            "{:<ID$}  {:<10}  {:>5}  {}  {}",
            Short(&container.id, ID),
            Escaped(container.state.word()),
            Age(container.started.map(|started| told.seconds_since(started))),
            style.paint(tone(item.verdict), format!("{:<9}", item.verdict.name())),
            Escaped(item.session.as_deref().unwrap_or("-")),
        )?;
        write!(out, "  ")?;
        write_wrapped(out, &format!("{}, by {}: {}", name_of(container), container.runtime, item.reason), 2, 2)?;
    }
    told.plan.problems.iter().try_for_each(|problem| write_note(out, style, problem))?;
    match told.plan.runtime {
        Err(_) => Ok(()),
        Ok(_) if items.is_empty() => writeln!(out, "no container of this installation"),
        Ok(_) => {
            let of = |verdict| items.iter().filter(|item| item.verdict == verdict).count();
            writeln!(
                out,
                "{}: {} of sessions, {} auxiliary, {}, {} unknown",
                count(items.len(), "container"),
                of(ContainerVerdict::Session),
                of(ContainerVerdict::Auxiliary),
                count(of(ContainerVerdict::Orphan), "orphan"),
                of(ContainerVerdict::Unknown)
            )
        }
    }
}

const fn tone(verdict: ContainerVerdict) -> Tone {
    match verdict {
        ContainerVerdict::Orphan => Tone::Change,
        ContainerVerdict::Unknown => Tone::Attention,
        ContainerVerdict::Session => Tone::Good,
        ContainerVerdict::Auxiliary => Tone::Quiet,
    }
}

impl View for ContainersView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        write_all(out, style, &self.installations, |out, told| write(out, style, told))
    }
}

impl Serialize for ContainersView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Queues", 4)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "queues containers")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("installations", &self.installations.iter().map(containers).collect::<Vec<_>>())?;
        document.end()
    }
}
