//! The configuration: what is in force, and what is wrong with it.

use std::io::{self, Write};

use serde::Serialize;

use super::View;
use super::escape::Escaped;
use super::style::{Style, Tone};
use crate::config::{CheckView, ConfigView, SetView};

/// The settings in force, with or without their origins.
#[derive(Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) view: ConfigView,
    #[serde(skip)]
    pub(crate) origin: bool,
}

impl View for Shown {
    fn text(&self, out: &mut dyn Write, style: Style, verbose: u8) -> io::Result<()> {
        let key_width = self.view.settings.iter().map(|row| row.key.len()).max().unwrap_or_default();
        let value_width = self.view.settings.iter().map(|row| row.value.len()).max().unwrap_or_default();
        for row in &self.view.settings {
            if verbose > 0 {
                writeln!(out, "{}", style.paint(Tone::Quiet, format!("# {}", row.doc)))?;
            }
            let key = format!("{:<key_width$}", row.key);
            if self.origin {
                let value = format!("{:<value_width$}", Escaped(&row.value).to_string());
                let origin = style.paint(Tone::Quiet, Escaped(&row.origin));
                writeln!(out, "{} = {value}  ({origin})", style.paint(Tone::Heading, key))?;
            } else {
                writeln!(out, "{} = {}", style.paint(Tone::Heading, key), Escaped(&row.value))?;
            }
        }
        writeln!(out)?;
        for row in &self.view.providers {
            let name = style.paint(Tone::Heading, format!("{:<9}", row.name));
            write!(out, "provider {name} {}", Escaped(&row.home.0.to_string_lossy()))?;
            if self.origin {
                write!(out, "  ({})", style.paint(Tone::Quiet, Escaped(&row.origin)))?;
            }
            writeln!(out)?;
        }
        for row in &self.view.queues {
            write!(out, "\n{} {}", style.paint(Tone::Heading, "queues of"), Escaped(&row.root.0.to_string_lossy()))?;
            if self.origin {
                write!(out, "  ({})", style.paint(Tone::Quiet, Escaped(&row.origin)))?;
            }
            writeln!(out)?;
            for setting in &row.settings {
                write!(out, "  {} = {}", style.paint(Tone::Heading, setting.key), Escaped(&setting.value))?;
                if self.origin {
                    write!(out, "  ({})", style.paint(Tone::Quiet, Escaped(&setting.origin)))?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

impl View for CheckView {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        for file in &self.files {
            let word = if file.present { "read" } else { "not there" };
            writeln!(
                out,
                "{} {}",
                style.paint(Tone::Quiet, format!("{word:<9}")),
                Escaped(&file.path.0.to_string_lossy())
            )?;
        }
        for problem in &self.problems {
            writeln!(out, "{} {}", style.paint(Tone::Attention, "problem  "), Escaped(&problem.to_string()))?;
        }
        match self.problems.len() {
            0 => writeln!(out, "{}", style.paint(Tone::Good, "the configuration is fine")),
            1 => writeln!(out, "1 problem"),
            count => writeln!(out, "{count} problems"),
        }
    }
}

impl View for SetView {
    fn text(&self, out: &mut dyn Write, style: Style, _: u8) -> io::Result<()> {
        let (tone, word) = if self.changed { (Tone::Change, "set") } else { (Tone::Good, "already set") };
        let file = self.file.0.to_string_lossy();
        writeln!(out, "{} {} in {}", style.paint(tone, word), Escaped(&self.key), Escaped(&file))
    }
}
