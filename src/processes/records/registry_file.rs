//! registry.jsonl: each session's metadata as it was when the session was registered.
//!
//! In spite of its name the original writes each over several lines. It only grows and is only read here.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::id::RecordId;

/// The last entry of each session that was asked for, and how much was not understood.
#[derive(Debug, Default)]
pub(super) struct Entries<'t> {
    pub(super) entries: FxHashMap<RecordId, &'t str>,
    /// How many pieces are no JSON, and the line where the first one begins.
    pub(super) broken: Option<(usize, usize)>,
}

#[derive(Deserialize)]
struct Identified {
    session_id: String,
}

impl<'t> Entries<'t> {
    /// Reads the entries of the `wanted` sessions. An entry begins with a line that begins with a brace: one that is broken
    /// takes none of the others with it.
    pub(super) fn read(bytes: &'t [u8], wanted: &FxHashSet<RecordId>) -> Self {
        let mut found = Self::default();
        let mut from = 0;
        while from < bytes.len() {
            let to = next_start(bytes, from + 1).unwrap_or(bytes.len());
            found.read_piece(&bytes[from..to], wanted, || lines(&bytes[..from]) + 1);
            from = to;
        }
        found
    }

    fn read_piece(&mut self, piece: &'t [u8], wanted: &FxHashSet<RecordId>, line: impl Fn() -> usize) {
        for value in Deserializer::from_slice(piece).into_iter::<&'t RawValue>() {
            let Ok(value) = value else {
                let (count, first) = self.broken.unwrap_or_else(|| (0, line()));
                self.broken = Some((count + 1, first));
                return;
            };
            // What is no object of a session is none of ours to judge.
            let Ok(Identified { session_id }) = serde_json::from_str(value.get()) else { continue };
            if let Some(id) = RecordId::new(&session_id).ok().filter(|id| wanted.contains(id)) {
                self.entries.insert(id, value.get());
            }
        }
    }
}

/// Where the next line that begins with a brace begins.
fn next_start(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(bytes.get(from - 1..)?, b"\n{").map(|at| from + at)
}

fn lines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = (Vec<(String, String)>, Option<(usize, usize)>);

    fn read(text: &str, wanted: &[&str]) -> Found {
        let wanted = wanted.iter().map(|id| RecordId::new(id).unwrap()).collect();
        let entries = Entries::read(text.as_bytes(), &wanted);
        let mut found: Vec<_> = entries.entries.iter().map(|(id, text)| (id.to_string(), (*text).to_owned())).collect();
        found.sort();
        (found, entries.broken)
    }

    fn entry(id: &str, pid: u32) -> String {
        format!("{{\n  \"session_id\": \"{id}\",\n  \"pid\": {pid}\n}}")
    }

    #[test]
    fn entries_over_several_lines_and_one_per_line_are_read_and_the_last_one_counts() {
        let text = format!(
            "{}\n{}\n{{\"session_id\": \"b\", \"pid\": 3}}{{\"session_id\":\"c\"}}\n",
            entry("a", 1),
            entry("a", 2)
        );
        let (found, broken) = read(&text, &["a", "b", "c", "d"]);
        let wanted = [
            ("a", entry("a", 2)),
            ("b", "{\"session_id\": \"b\", \"pid\": 3}".to_owned()),
            ("c", "{\"session_id\":\"c\"}".to_owned()),
        ];
        assert_eq!(found, wanted.map(|(id, text)| (id.to_owned(), text)));
        assert_eq!(broken, None);
        assert_eq!(read(&text, &["b"]).0.len(), 1);
    }

    #[test]
    fn what_is_broken_takes_nothing_else_with_it() {
        let quote = entry("q", 1).replace("\"pid\"", "\"cwd\": \"/a\"b\",\n  \"pid\"");
        let text = format!(
            "garbage\n{}\n{quote}\n{}\n7 null [1, {{}}]\n{{\"session_id\": 5}}\n{{\n  \"sess",
            entry("a", 1),
            entry("b", 1)
        );
        let (found, broken) = read(&text, &["a", "b", "q"]);
        assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(broken, Some((3, 1)));
        assert_eq!(read("", &["a"]), (Vec::new(), None));
        assert_eq!(read(&format!("{}\n\u{0}\n", entry("a", 1)), &["a"]).1, Some((1, 1)));
        let torn = format!("{}\n{{\n  \"sess", entry("a", 1));
        assert_eq!(read(&torn, &["a"]).1, Some((1, 5)));
    }
}
