//! All areas at a glance: a line each, before their tables.

use std::io::{self, Write};

use super::escape::Escaped;
use super::style::{Style, Tone};

/// What an area comes to.
pub(super) struct Headline {
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Headline {
    /// What would be done, if anything; otherwise that there is nothing to do, or that not all could be looked at.
    pub(super) fn of(work: Option<String>, has_problems: bool) -> Self {
        match (work, has_problems) {
            (Some(text), false) => Self { tone: Tone::Change, text },
            (Some(text), true) => Self { tone: Tone::Attention, text: format!("{text}; not all could be looked at") },
            (None, true) => Self { tone: Tone::Attention, text: "not all could be looked at".to_owned() },
            (None, false) => Self { tone: Tone::Good, text: "nothing to do".to_owned() },
        }
    }
}

/// One area's name, what it comes to, and why that is not known; neither where it is not looked at.
pub(super) type Area<'a> = (&'static str, Option<Headline>, Option<&'a str>);

/// Writes a line for each area that is looked at, and which ones are not.
pub(super) fn write(out: &mut dyn Write, style: Style, areas: &[Area<'_>]) -> io::Result<()> {
    let mut others = Vec::new();
    for (area, headline, error) in areas {
        let name = style.paint(Tone::Heading, area);
        match (headline, error) {
            (_, Some(error)) => {
                writeln!(
                    out,
                    "{name:<12} {}",
                    style.paint(Tone::Attention, format!("not looked at: {}", Escaped(error)))
                )?;
            }
            (Some(Headline { tone, text }), None) => writeln!(out, "{name:<12} {}", style.paint(*tone, text))?,
            (None, None) => others.push(*area),
        }
    }
    if !others.is_empty() {
        writeln!(out, "{}", style.paint(Tone::Quiet, format!("not enabled: {}", others.join(", "))))?;
    }
    writeln!(out)
}
