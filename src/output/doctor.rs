//! What is wrong, check by check.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::{Value, json};

use super::View;
use super::escape::Escaped;
use super::style::{Style, Tone};
use super::wrapped::write_wrapped;
use crate::doctor::{Check, Finding, Status};
use crate::policy::timestamp::Timestamp;

/// The columns before the message.
const INDENT: usize = 24;

/// The answers of all checks.
pub(crate) struct DoctorView<'v> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) user: &'v str,
    pub(crate) findings: &'v [(&'static Check, Finding)],
}

impl DoctorView<'_> {
    fn number_of(&self, status: Status) -> usize {
        self.findings.iter().filter(|(_, finding)| finding.status == status).count()
    }
}

impl View for DoctorView<'_> {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Heading, format!("{:<13}  {:<7}  FINDING", "CHECK", "STATUS")))?;
        for (check, finding) in self.findings {
            let status = style.paint(tone(finding.status), format!("{:<7}", finding.status.name()));
            write!(out, "{:<13}  {status}  ", check.id)?;
            lines(out, &finding.message, "")?;
            if let Some(remedy) = finding.remedy.as_deref().filter(|remedy| !remedy.is_empty()) {
                write!(out, "{:INDENT$}", "")?;
                lines(out, remedy, "-> ")?;
            }
            if verbose > 0 {
                writeln!(out, "{:INDENT$}{}", "", style.paint(Tone::Quiet, format!("({})", check.looks_at)))?;
            }
        }
        let number = |status| self.number_of(status);
        writeln!(
            out,
            "{} checks for {}: {} ok, {}, {}, {} unknown",
            self.findings.len(),
            Escaped(self.user),
            number(Status::Ok),
            plural(number(Status::Warning)),
            style.paint(
                if number(Status::Wrong) > 0 { Tone::Attention } else { Tone::Good },
                format!("{} wrong", number(Status::Wrong))
            ),
            number(Status::Unknown),
        )
    }
}

fn plural(warnings: usize) -> String {
    format!("{warnings} warning{}", if warnings == 1 { "" } else { "s" })
}

/// Writes a text beside the first columns.
fn lines(out: &mut dyn Write, text: &str, mark: &str) -> io::Result<()> {
    write!(out, "{mark}")?;
    let at = INDENT + mark.len();
    write_wrapped(out, text, at, at)
}

const fn tone(status: Status) -> Tone {
    match status {
        Status::Ok => Tone::Good,
        Status::Warning => Tone::Change,
        Status::Wrong => Tone::Attention,
        Status::Unknown => Tone::Quiet,
    }
}

impl Serialize for DoctorView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let checks = self.findings.iter().map(|(check, finding)| {
            json!({
                "id": check.id,
                "looks_at": check.looks_at,
                "status": finding.status.name(),
                "message": finding.message,
                "remedy": finding.remedy,
            })
        });
        let summary = json!({
            "ok": self.number_of(Status::Ok),
            "warning": self.number_of(Status::Warning),
            "wrong": self.number_of(Status::Wrong),
            "unknown": self.number_of(Status::Unknown),
        });
        let mut document = serializer.serialize_struct("Doctor", 6)?;
        document.serialize_field("schema", &1)?;
        document.serialize_field("command", "doctor")?;
        document.serialize_field("now", &Timestamp(self.now))?;
        document.serialize_field("user", &self.user)?;
        document.serialize_field("checks", &checks.collect::<Vec<Value>>())?;
        document.serialize_field("summary", &summary)?;
        document.end()
    }
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::output::wrapped::WIDTH;

    #[test]
    fn a_message_is_broken_between_words_and_a_long_word_is_not() {
        let mut out = Vec::new();
        let path = format!("/{}", "x".repeat(90));
        lines(&mut out, &format!("one two three four five six seven eight nine ten eleven {path} twelve"), "-> ")
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert_eq!(long.len(), 1);
        assert_eq!(long[0].trim_start(), path);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((words.len(), words[0], words[13]), (14, "->", "twelve"), "{text}");
    }
}
