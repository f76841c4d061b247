//! All areas at a glance: a line each, before their tables.

use std::io::{self, Write};

use super::style::{Style, Tone};
use super::wrapped::write_wrapped;

/// How many characters an area's name has.
const NAME: usize = 12;

/// What an area comes to.
pub(super) struct Headline {
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Headline {
    /// What would be done, if anything; otherwise that there is nothing to do. Where something is said of it below, as that it
    /// could not be looked at, that it is.
    pub(super) fn of(work: Option<String>, has_notes: bool) -> Self {
        const NOTES: &str = "see the notes below";
        match (work, has_notes) {
            (Some(text), false) => Self { tone: Tone::Change, text },
            (Some(text), true) => Self { tone: Tone::Attention, text: format!("{text}; {NOTES}") },
            (None, true) => Self { tone: Tone::Attention, text: NOTES.to_owned() },
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
        match (headline, error) {
            (_, Some(error)) => write_area(out, style, area, (Tone::Attention, &format!("not looked at: {error}")))?,
            (Some(Headline { tone, text }), None) => write_area(out, style, area, (*tone, text))?,
            (None, None) => others.push(*area),
        }
    }
    if !others.is_empty() {
        writeln!(out, "{}", style.paint(Tone::Quiet, format!("not enabled: {}", others.join(", "))))?;
    }
    writeln!(out)
}

/// Writes an area's name and a text behind it in lines that fit, each in its colour: the blanks before it are in none.
fn write_area(out: &mut dyn Write, style: Style, area: &str, (tone, text): (Tone, &str)) -> io::Result<()> {
    write!(out, "{:<NAME$} ", style.paint(Tone::Heading, area))?;
    let mut lines = Vec::new();
    write_wrapped(&mut lines, text, NAME + 1, NAME + 1)?;
    for (at, line) in String::from_utf8_lossy(&lines).lines().enumerate() {
        let indent = if at > 0 { NAME + 1 } else { 0 };
        writeln!(out, "{:indent$}{}", "", style.paint(tone, line.trim_start()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_only_their_text_is_coloured() {
        let why = "/srv/bridge/session_map.json: not valid JSON: EOF while parsing an object; nothing was \x1btouched";
        let going = Headline::of(Some("2 of 3 mappings would be pruned".to_owned()), true);
        let areas = [("map", Some(going), None), ("artifacts", None, Some(why)), ("queues", None, None)];
        let mut out = Vec::new();
        write(&mut out, Style::new(true), &areas).unwrap();
        let text = String::from_utf8(out).unwrap();
        let bare: String = anstream::adapter::strip_str(&text).to_string();
        insta::assert_snapshot!(bare, @r"
        map          2 of 3 mappings would be pruned; see the notes below
        artifacts    not looked at: /srv/bridge/session_map.json: not valid JSON: EOF
                     while parsing an object; nothing was \u{1b}touched
        not enabled: queues
        ");
        assert!(text.contains("\n             \u{1b}"), "{text:?}");
    }
}
