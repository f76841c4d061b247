//! How a JSON text is written: its indentation, its spaces, whether it is all ASCII.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::edited::JSON_SPACE;

/// The style of a text, for what is put into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'t> {
    text: &'t str,
}

impl<'t> Layout<'t> {
    pub(crate) const fn of(text: &'t str) -> Self {
        Self { text }
    }

    /// The change that puts `members` at the end of the object or list at `range`, with the white space that its neighbours have.
    pub(crate) fn insertion(self, range: Range<usize>, members: &[String]) -> (Range<usize>, String) {
        let inner = &self.text[range.start + 1..range.end - 1];
        let trimmed = inner.trim_end_matches(JSON_SPACE);
        if trimmed.is_empty() {
            let text = match self.indent_of(range.start) {
                Some(outer) => {
                    let lead = format!("\n{outer}{}", self.unit());
                    format!("{lead}{}\n{outer}", members.join(&format!(",{lead}")))
                }
                None => members.join(if self.spaced() { ", " } else { "," }),
            };
            return (range.start + 1..range.end - 1, text);
        }
        let at = range.start + 1 + trimmed.len();
        let leading = &inner[..inner.len() - inner.trim_start_matches(JSON_SPACE).len()];
        let space = if leading.is_empty() && self.spaced() { " " } else { leading };
        let mut text = String::new();
        for member in members {
            text.push(',');
            text.push_str(space);
            text.push_str(member);
        }
        (at..at, text)
    }

    /// The white space at the start of the line of `position`, when the text is written over several lines.
    pub(crate) fn indent_of(self, position: usize) -> Option<&'t str> {
        self.text.trim_end().contains('\n').then(|| {
            let line = &self.text[self.text[..position].rfind('\n').map_or(0, |newline| newline + 1)..];
            &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
        })
    }

    /// One step of indentation: what stands before the first indented line.
    pub(crate) fn unit(self) -> &'t str {
        let line = self.text.split('\n').nth(1).unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        if indent.is_empty() { "  " } else { indent }
    }

    /// Whether the text has a space after its colons and commas, as Python writes and JavaScript does not.
    pub(crate) fn spaced(self) -> bool {
        self.text.find("\":").is_none_or(|colon| self.text[colon + 2..].starts_with([' ', '\n']))
    }

    /// A member: key and value.
    pub(crate) fn member(self, key: &str, value: &Value) -> String {
        format!("{}{}", self.key(key), self.value(value))
    }

    /// A value, its texts as [`Self::quoted`] writes them.
    pub(crate) fn value(self, value: &Value) -> String {
        match value {
            Value::String(text) => self.quoted(text),
            other => other.to_string(),
        }
    }

    /// A key with its colon.
    pub(crate) fn key(self, key: &str) -> String {
        let colon = if self.spaced() { ": " } else { ":" };
        format!("{}{colon}", self.quoted(key))
    }

    /// `text` as a JSON string, in ASCII when the rest of the text is.
    pub(crate) fn quoted(self, text: &str) -> String {
        let quoted = Value::from(text).to_string();
        if quoted.is_ascii() || !self.text.is_ascii() {
            return quoted;
        }
        let mut escaped = String::with_capacity(quoted.len() * 2);
        for unit in quoted.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => escaped.push(byte as char),
                // Writing to a string does not fail.
                _ => drop(write!(escaped, "\\u{unit:04x}")),
            }
        }
        escaped
    }
}
