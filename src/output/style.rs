//! Colours, few and readable on dark and light ground; none where the output is no terminal.

use std::fmt;

use anstyle::AnsiColor;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    coloured: bool,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A heading.
    Heading,
    /// Less important.
    Quiet,
    /// All is well.
    Good,
    /// Something will change or has changed.
    Change,
    /// Something needs attention.
    Attention,
}

impl Style {
    pub(crate) const fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    /// Adds `text` in the tone's colour to `line`.
    pub(crate) fn push(self, tone: Tone, text: &str, line: &mut String) {
        use fmt::Write as _;
        if !self.coloured {
            return line.push_str(text);
        }
        // Writing to a string does not fail.
        let _ = write!(line, "{}", self.paint(tone, text));
    }

    /// `text` in the tone's colour.
    pub(crate) fn paint<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        let style = match tone {
            _ if !self.coloured => anstyle::Style::new(),
            Tone::Heading => anstyle::Style::new().bold(),
            Tone::Quiet => anstyle::Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Change => AnsiColor::Yellow.on_default(),
            Tone::Attention => AnsiColor::Red.on_default(),
        };
        Painted { style, text }
    }
}

/// A text with its colour; width and alignment apply to the text alone.
pub(crate) struct Painted<T> {
    style: anstyle::Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.style.is_plain() {
            return self.text.fmt(f);
        }
        write!(f, "{}", self.style.render())?;
        self.text.fmt(f)?;
        write!(f, "{}", self.style.render_reset())
    }
}
