//! A changed text as pieces of the old one, and where a member can be cut out.

use std::ops::Range;

/// A changed text as pieces of the old one and new text between them.
#[derive(Debug)]
pub(crate) struct Edited {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Kept(Range<usize>),
    New(String),
}

impl Edited {
    /// The new text as slices, to be written one after the other. `text` is the text that was edited.
    pub(crate) fn slices<'a>(&'a self, text: &'a [u8]) -> Vec<&'a [u8]> {
        let slice = |part: &'a Part| match part {
            Part::Kept(range) => &text[range.clone()],
            Part::New(new) => new.as_bytes(),
        };
        self.parts.iter().map(slice).collect()
    }

    /// The new text in one piece.
    pub(crate) fn to_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.slices(text.as_bytes()).concat()).into_owned()
    }

    /// A text of `length` bytes with `changes` (sorted, not overlapping) put in place of their ranges.
    pub(crate) fn splice(length: usize, changes: impl IntoIterator<Item = (Range<usize>, String)>) -> Self {
        let mut parts = Vec::new();
        let mut kept_from = 0;
        for (range, replacement) in changes {
            parts.push(Part::Kept(kept_from..range.start));
            if !replacement.is_empty() {
                parts.push(Part::New(replacement));
            }
            kept_from = range.end;
        }
        parts.push(Part::Kept(kept_from..length));
        Self { parts }
    }
}

/// White space as JSON knows it.
pub(crate) const JSON_SPACE: [char; 4] = [' ', '\n', '\r', '\t'];

/// Neighbouring members that go together.
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) next: Option<usize>,
}

impl Run {
    /// What to cut so that commas and white space stay right: up to the next member, else from the previous one's end,
    /// else all that is between the brackets.
    pub(crate) fn cut(&self, text: &str) -> Range<usize> {
        if let Some(next) = self.next {
            return self.start..next;
        }
        let before = text[..self.start].trim_end_matches(JSON_SPACE);
        match before.strip_suffix(',') {
            Some(before) => before.trim_end_matches(JSON_SPACE).len()..self.end,
            None => before.len()..self.end + leading_space(&text[self.end..]),
        }
    }
}

/// Where the next member after `end` starts; `None` before the closing bracket.
pub(crate) fn next_sibling(text: &str, end: usize) -> Option<usize> {
    let comma = end + leading_space(&text[end..]);
    text[comma..].starts_with(',').then(|| comma + 1 + leading_space(&text[comma + 1..]))
}

/// How many bytes of white space a text begins with.
pub(crate) fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start_matches(JSON_SPACE).len()
}
