//! Editing changes what it should and no other byte, for maps of every form, spacing and alphabet.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::Value;

use super::add::{NewForm, NewMapping};
use super::shapes::Document;

const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_176_000, 0).expect("a valid time");

/// A map as text, with the chats that it holds in order.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    chats: Vec<String>,
}

/// White space between any two tokens.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(" ".to_owned()), "[ \n\r\t]{0,6}"]
}

/// A JSON string, with escapes that need not be there.
fn quoted(text: &str, escape: u8) -> String {
    match escape % 3 {
        0 => Value::from(text).to_string(),
        1 => {
            let mut units = String::new();
            for unit in text.encode_utf16() {
                let _ = write!(units, "\\u{unit:04x}");
            }
            format!("\"{units}\"")
        }
        _ => Value::from(text).to_string().replace('/', "\\/"),
    }
}

fn session(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// A mapping's value: the id, or an object with more in it.
fn value(number: usize, kind: u8, pad: &str) -> String {
    let session = session(number);
    match kind % 3 {
        0 => format!("\"{session}\""),
        1 => format!("{{{pad}\"cwd\":{pad}\"/w}},{{\",{pad}\"session_id\"{pad}:\"{session}\"{pad}}}"),
        _ => format!("{{\"sessionId\":\"{session}\",{pad}\"n\": [1,{pad}{{}}], \"lastUsedAt\":1771003600000}}"),
    }
}

prop_compose! {
    /// An object of chats: keys of any characters, no two alike, with any spacing.
    fn level()(
        keys in prop::collection::btree_set(any::<String>(), 0..6),
        kinds in prop::collection::vec((any::<u8>(), any::<u8>(), space(), space(), space(), space()), 6),
        empty in space(),
    ) -> Vec<(String, u8, u8, [String; 4], String)> {
        let spaced = keys.into_iter().zip(kinds);
        spaced.map(|(key, (kind, escape, a, b, c, d))| (key, kind, escape, [a, b, c, d], empty.clone())).collect()
    }
}

prop_compose! {
    /// A nested map with two models that are known and something that is none.
    fn nested()(levels in (level(), level()), pads in prop::collection::vec(space(), 12)) -> Written {
        let mut chats = Vec::new();
        let mut number = 0;
        let mut object = |level: &[(String, u8, u8, [String; 4], String)], empty: &str| {
            let members: Vec<String> = level.iter().map(|(key, kind, escape, [a, b, c, d], _)| {
                number += 1;
                chats.push(key.clone());
                format!("{a}{}{b}:{c}{}{d}", quoted(key, *escape), value(number, *kind, c))
            }).collect();
            if members.is_empty() { format!("{{{empty}}}") } else { format!("{{{}}}", members.join(",")) }
        };
        let (first, second) = (object(&levels.0, &pads[0]), object(&levels.1, &pads[1]));
        let text = format!(
            "{}{{{}\"claude-cli\"{}:{}{first}{},{}\"x\":[1.50, \"\\u00e9\"],{}\"codex-cli\":{second}{}}}{}",
            pads[2], pads[3], pads[4], pads[5], pads[6], pads[7], pads[8], pads[9], pads[10]
        );
        Written { text, chats }
    }
}

fn parse(text: &str) -> Document<'_> {
    Document::parse(text, &|model| model.ends_with("-cli")).unwrap()
}

/// Model, chat and session of every entry.
fn rows(document: &Document<'_>) -> Vec<(Option<String>, String, String)> {
    let row = |entry: &super::Entry<'_>| {
        (entry.model.as_deref().map(str::to_owned), entry.chat.to_string(), entry.session.to_string())
    };
    document.entries.iter().map(row).collect()
}

fn is_subsequence(part: &str, whole: &str) -> bool {
    let mut rest = whole.bytes();
    part.bytes().all(|byte| rest.any(|other| other == byte))
}

proptest! {
    #[test]
    fn every_chat_is_understood_as_it_is_written(map in nested()) {
        let document = parse(&map.text);
        let chats: Vec<String> = document.entries.iter().map(|entry| entry.chat.to_string()).collect();
        prop_assert_eq!(chats, map.chats);
        prop_assert_eq!(document.not_understood, 1);
        for (number, entry) in document.entries.iter().enumerate() {
            prop_assert_eq!(entry.session.as_ref(), session(number + 1));
        }
    }

    #[test]
    fn cutting_members_changes_nothing_else(map in nested(), mask in any::<u16>()) {
        let document = parse(&map.text);
        let is_cut = |index: &usize| mask & (1 << index) != 0;
        let cut: Vec<usize> = (0..document.entries.len()).filter(is_cut).collect();
        let edited = document.without(cut.iter().copied()).to_text(&map.text);

        let mut expected: Value = serde_json::from_str(&map.text).unwrap();
        for &index in &cut {
            let entry = &document.entries[index];
            let level = expected[entry.model.as_deref().unwrap()].as_object_mut().unwrap();
            prop_assert!(level.remove(entry.chat.as_ref()).is_some());
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), expected);
        let kept: Vec<_> = rows(&document).into_iter().enumerate().filter(|(index, _)| !is_cut(index)).collect();
        prop_assert_eq!(rows(&parse(&edited)), kept.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
        prop_assert!(is_subsequence(&edited, &map.text));
        for (index, entry) in document.entries.iter().enumerate() {
            let member = &map.text[entry.member.range()];
            prop_assert!(is_cut(&index) || edited.contains(member));
        }
        if cut.is_empty() {
            prop_assert_eq!(edited, map.text);
        }
    }

    #[test]
    fn adding_a_member_changes_nothing_else(map in nested(), chat in any::<String>(), model in 0..3) {
        let document = parse(&map.text);
        let model = ["claude-cli", "codex-cli", "gemini-cli"][model as usize];
        prop_assume!(document.find(Some(model), &chat).is_none());
        let session = session(999);
        let mapping = NewMapping {
            is_of_flat_provider: true,
            model, chat: &chat, session: &session, cwd: None, form: NewForm::PlainId, place: None, now: NOW,
        };
        let edited = document.with_added(&[mapping]).unwrap().to_text(&map.text);
        let mut expected: Value = serde_json::from_str(&map.text).unwrap();
        expected[model][chat.as_str()] = session.as_str().into();
        prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), expected);
        let mut rows_before = rows(&document);
        rows_before.push((Some(model.to_owned()), chat, session));
        rows_before.sort();
        let mut rows_after = rows(&parse(&edited));
        rows_after.sort();
        prop_assert_eq!(rows_after, rows_before);
        // A place without members may lose the white space in it; everything else stays.
        let solid = |text: &str| text.replace([' ', '\n', '\r', '\t'], "");
        prop_assert!(is_subsequence(&solid(&map.text), &solid(&edited)));
    }

    #[test]
    fn what_was_cut_can_be_put_back(map in nested(), mask in any::<u16>()) {
        let document = parse(&map.text);
        let cut: Vec<usize> = (0..document.entries.len()).filter(|index| mask & (1 << index) != 0).collect();
        let without = document.without(cut.iter().copied()).to_text(&map.text);
        let shorter = parse(&without);
        let back: Vec<NewMapping<'_>> = cut
            .iter()
            .map(|&index| {
                let entry = &document.entries[index];
                NewMapping {
                    model: entry.model.as_deref().unwrap(),
                    chat: &entry.chat,
                    session: &entry.session,
                    cwd: None,
                    form: NewForm::Exactly(document.value(entry)),
                    place: Document::top_place(entry),
                    is_of_flat_provider: true,
                    now: NOW,
                }
            })
            .collect();
        prop_assert!(shorter.objections(&back).iter().all(Option::is_none));
        let again = shorter.with_added(&back).unwrap().to_text(&without);
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        prop_assert_eq!(value(&again), value(&map.text));
    }

    #[test]
    fn a_key_that_is_there_twice_is_found_in_the_line_of_the_file(map in nested(), which in any::<usize>()) {
        let document = parse(&map.text);
        prop_assume!(!document.entries.is_empty());
        let range = document.entries[which % document.entries.len()].member.range();
        let member = &map.text[range.clone()];
        let text = format!("{},{member}{}", &map.text[..range.end], &map.text[range.end..]);
        let mut values = serde_json::Deserializer::from_str(member).into_iter::<Value>();
        values.next();
        let key_end = range.end + 1 + values.byte_offset();
        let colon = key_end + text[key_end..].find(':').unwrap();

        let message = Document::parse(&text, &|model| model.ends_with("-cli")).unwrap_err().to_string();
        let (message, column) = message.rsplit_once(" column ").unwrap();
        let (message, line) = message.rsplit_once(" at line ").unwrap();
        prop_assert!(message.starts_with("duplicate key `"), "{}", message);
        let (line, column): (usize, usize) = (line.parse().unwrap(), column.parse().unwrap());
        let position = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>() + column;
        prop_assert!((key_end..=colon).contains(&position), "{} {} {}", key_end, position, colon);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\[\\]{}:,\"a0 \\\\\n]{0,40}") {
        let _ = Document::parse(&text, &|_| true);
    }
}
