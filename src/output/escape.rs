//! Names that others chose, made safe for a terminal, a pipe and a log.

use std::fmt::{self, Write as _};

/// `text` with control characters, line ends and everything that changes the direction of text shown as `\u{…}`.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

/// The first `1` characters of `0`, escaped.
pub(crate) struct Short<'a>(pub(crate) &'a str, pub(crate) usize);

impl Escaped<'_> {
    /// Adds the escaped text to `line`.
    pub(crate) fn push_to(&self, line: &mut String) {
        if is_plain(self.0) {
            line.push_str(self.0);
        } else {
            self.0.chars().for_each(|character| push(line, character));
        }
    }
}

impl Short<'_> {
    fn cut(&self) -> &str {
        let is_ascii = self.0.as_bytes().get(..self.1).is_some_and(<[u8]>::is_ascii);
        let end = || self.0.char_indices().nth(self.1).map_or(self.0.len(), |(index, _)| index);
        &self.0[..if is_ascii { self.1 } else { end() }]
    }

    /// Adds the escaped text to `line`.
    pub(crate) fn push_to(&self, line: &mut String) {
        Escaped(self.cut()).push_to(line);
    }
}

/// A JSON document with every character that could play tricks on a terminal written as `\uXXXX`, which reads as the same
/// document. Line ends stay: inside strings JSON has none.
pub(crate) fn json_for_terminal(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for character in document.chars() {
        if is_unsafe(character) && character != '\n' {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(self.0) {
            return f.pad(self.0);
        }
        let mut text = String::with_capacity(self.0.len() + 8);
        self.push_to(&mut text);
        f.pad(&text)
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.cut()).fmt(f)
    }
}

fn push(text: &mut String, character: char) {
    if is_unsafe(character) {
        text.extend(character.escape_unicode());
    } else {
        text.push(character);
    }
}

/// Control characters (C0, DEL, C1), bidirectional marks, embeddings, overrides and isolates, line and paragraph
/// separators, invisible characters and tags.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_the_text_gets_through() {
        let evil = "a\u{1b}[31mb\rc\nd\u{202e}e\u{7f}f\u{9b}g\u{2066}h";
        let shown = Escaped(evil).to_string();
        assert_eq!(shown, r"a\u{1b}[31mb\u{d}c\u{a}d\u{202e}e\u{7f}f\u{9b}g\u{2066}h");
        assert_eq!(Escaped("plain 漢字 é").to_string(), "plain 漢字 é");
    }

    #[test]
    fn a_document_on_a_terminal_reads_as_the_same_document() {
        let value = serde_json::json!({"name": "a\u{202e}b\u{7f}\u{e0041}\u{1b}", "list": [1]});
        let text = json_for_terminal(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.contains(['\u{202e}', '\u{7f}', '\u{e0041}', '\u{1b}']) && text.contains("\\u202e"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_short_name_is_cut_at_characters() {
        assert_eq!(Short("0856b851-1111", 8).to_string(), "0856b851");
        assert_eq!(Short("漢字漢字", 2).to_string(), "漢字");
        assert_eq!(format!("[{:<4}]", Short("ab", 8)), "[ab  ]");
    }
}
