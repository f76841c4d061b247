//! Text in lines that fit a terminal.

use std::io::{self, Write};

use super::escape::Escaped;

/// How many characters a line may have.
pub(crate) const WIDTH: usize = 80;

/// Writes the rest of a line on which `at` characters stand already, escaped, and ends it. What does not fit goes on below,
/// behind `indent` blanks. A word that is longer stays whole, so that it can be copied.
pub(crate) fn write_wrapped(out: &mut dyn Write, text: &str, at: usize, indent: usize) -> io::Result<()> {
    write_words(out, text.split(' '), at, indent)
}

/// The same of words that stay whole whatever is in them.
pub(crate) fn write_words<'w>(
    out: &mut dyn Write,
    words: impl IntoIterator<Item = &'w str>,
    mut at: usize,
    indent: usize,
) -> io::Result<()> {
    let mut is_first = true;
    for word in words {
        let word = Escaped(word).to_string();
        let width = word.chars().count();
        if !is_first && at + 1 + width > WIDTH {
            write!(out, "\n{:indent$}", "")?;
            at = indent;
        } else if !is_first {
            write!(out, " ")?;
            at += 1;
        }
        write!(out, "{word}")?;
        at += width;
        is_first = false;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_before_the_terminal_does_and_a_long_word_stays_whole() {
        let mut out = Vec::new();
        let long = "x".repeat(90);
        let text = format!("{} {long} b\nc", "word ".repeat(20).trim_end());
        write_wrapped(&mut out, &text, 70, 4).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "word word");
        assert_eq!(lines[1], format!("    {}", "word ".repeat(15).trim_end()));
        assert_eq!(lines[3], format!("    {long}"));
        assert_eq!(lines[4], r"    b\u{a}c");
        assert_eq!(lines.len(), 5);
    }
}
