//! How results reach a person or a script: one view per report, as text or as one JSON document.
//!
//! Data goes to stdout, talk to stderr. A reader that closes the pipe early ends the run successfully. Names that others
//! chose are escaped before they reach a person's terminal or pipe.

pub(crate) mod age;
pub(crate) mod areas;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod bytes;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod escape;
pub(crate) mod journal;
pub(crate) mod metrics;
mod overview;
pub(crate) mod processes;
pub(crate) mod progress;
pub(crate) mod prune;
pub(crate) mod queues;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod sweep;
pub(crate) mod wrapped;

use std::io::{self, BufWriter, IsTerminal as _, Write};

use anstream::ColorChoice;
use serde::Serialize;

use style::Style;

/// Writes plain bytes to stdout. A closed pipe is no failure.
pub(crate) fn write_all(bytes: &[u8]) -> io::Result<()> {
    to_stdout(|out| out.write_all(bytes))
}

fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Where and how to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    pub(crate) style: Style,
}

/// A report that can be shown.
pub(crate) trait View: Serialize {
    /// Writes it for a person.
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()>;
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8, color: ColorChoice) -> Self {
        let choice = match color {
            ColorChoice::Auto => anstream::AutoStream::choice(&io::stdout()),
            other => other,
        };
        Self { json, quiet, verbose, style: Style::new(choice != ColorChoice::Never) }
    }

    /// Shows a document that is JSON whatever was asked for: one line for a program, several for a person.
    pub(crate) fn json(document: &impl Serialize) -> io::Result<()> {
        if io::stdout().is_terminal() {
            let text = escape::json_for_terminal(&serde_json::to_string_pretty(document)?);
            return to_stdout(|out| writeln!(out, "{text}"));
        }
        to_stdout(|out| {
            serde_json::to_writer(&mut *out, document)?;
            out.write_all(b"\n")
        })
    }

    /// Shows a view: JSON when asked for, nothing when quiet, text otherwise.
    pub(crate) fn show(self, view: &impl View) -> io::Result<()> {
        if self.json {
            return Self::json(view);
        }
        to_stdout(|out| if self.quiet { Ok(()) } else { view.text(out, self.style, self.verbose) })
    }
}
