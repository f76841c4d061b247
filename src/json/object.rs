//! One object, all of a text or a part of it, and changes of its members.

use std::borrow::Cow;
use std::ops::Range;

use rustc_hash::FxHashSet;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Edited, Layout, Members, Run, next_sibling};

/// An object in a text.
#[derive(Debug)]
pub(crate) struct Object<'t> {
    text: &'t str,
    members: Vec<Member<'t>>,
    whole: Range<usize>,
}

#[derive(Debug)]
struct Member<'t> {
    key: Cow<'t, str>,
    raw: &'t str,
    /// The whole `"key": value`.
    range: Range<usize>,
}

/// What a member is to become.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MemberChange {
    Set(Value),
    Gone,
}

/// Why a text is no object that could be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("not valid UTF-8")]
    Encoding,
    #[error("empty")]
    Empty,
    #[error("not valid JSON: {0}")]
    Syntax(String),
    #[error("it holds {0}, not an object")]
    NotAnObject(&'static str),
    #[error("the key {0:?} stands there twice, and which one counts is up to the reader")]
    DuplicateKey(String),
}

impl ObjectError {
    fn syntax(error: &serde_json::Error) -> Self {
        Self::Syntax(error.to_string())
    }
}

impl<'t> Object<'t> {
    /// Reads a text.
    ///
    /// # Errors
    /// [`ObjectError`]: invalid JSON, a key twice, or no object at all.
    pub(crate) fn parse(bytes: &'t [u8]) -> Result<Self, ObjectError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ObjectError::Encoding)?;
        if text.trim_ascii().is_empty() {
            return Err(ObjectError::Empty);
        }
        let value: &RawValue = serde_json::from_str(text).map_err(|error| ObjectError::syntax(&error))?;
        Self::part(text, value.get())
    }

    /// Reads `raw`, a value that is a part of `text`.
    ///
    /// # Errors
    /// [`ObjectError`]: a key twice, or no object at all.
    pub(crate) fn part(text: &'t str, raw: &'t str) -> Result<Self, ObjectError> {
        let what = match raw.as_bytes().first() {
            Some(b'{') => None,
            Some(b'[') => Some("a list"),
            Some(b'"') => Some("a string"),
            _ => Some("a single value"),
        };
        if let Some(what) = what {
            return Err(ObjectError::NotAnObject(what));
        }
        let whole = span(text, raw);
        let Members(found) = serde_json::from_str(raw).map_err(|error| ObjectError::syntax(&error))?;
        let mut seen: FxHashSet<Cow<'_, str>> = FxHashSet::default();
        let mut position = whole.start + 1;
        let mut members = Vec::with_capacity(found.len());
        for (key, value) in found {
            if !seen.insert(key.0.clone()) {
                return Err(ObjectError::DuplicateKey(key.0.into_owned()));
            }
            let between = &text[position..];
            let start = position + between.len() - between.trim_start_matches([' ', '\n', '\r', '\t', ',']).len();
            let end = span(text, value.get()).end;
            members.push(Member { key: key.0, raw: value.get(), range: start..end });
            position = end;
        }
        Ok(Self { text, members, whole })
    }

    /// Its members in order: key, and the value as it is written.
    pub(crate) fn into_members(self) -> impl Iterator<Item = (Cow<'t, str>, &'t str)> {
        self.members.into_iter().map(|member| (member.key, member.raw))
    }

    /// Where it stands in the text.
    pub(crate) fn range(&self) -> Range<usize> {
        self.whole.clone()
    }

    /// The text of a member's value, as it is written.
    pub(crate) fn raw(&self, key: &str) -> Option<&'t str> {
        self.members.iter().find(|member| member.key == key).map(|member| member.raw)
    }

    /// A member's value.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        serde_json::from_str(self.raw(key)?).ok()
    }

    /// The text with these members changed; nothing where that would change nothing. A new one is put where one went, else at
    /// the end.
    pub(crate) fn changed(&self, changes: &[(&str, MemberChange)]) -> Option<Edited> {
        let edits = self.edits(changes);
        (!edits.is_empty()).then(|| Edited::splice(self.text.len(), edits))
    }

    /// The same as changes of the text, in the order of the text.
    pub(crate) fn edits(&self, changes: &[(&str, MemberChange)]) -> Vec<(Range<usize>, String)> {
        let layout = Layout::of(self.text);
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let mut gone: Vec<usize> = Vec::new();
        let mut new: Vec<String> = Vec::new();
        for (key, change) in changes {
            let at = self.members.iter().position(|member| member.key == *key);
            match (at, change) {
                (Some(at), MemberChange::Gone) => gone.push(at),
                (None, MemberChange::Gone) => {}
                (Some(at), MemberChange::Set(value)) => {
                    let Member { raw, range, .. } = &self.members[at];
                    if serde_json::from_str::<Value>(raw).ok().as_ref() != Some(value) {
                        edits.push((range.end - raw.len()..range.end, layout.value(value)));
                    }
                }
                (None, MemberChange::Set(value)) => new.push(layout.member(key, value)),
            }
        }
        gone.sort_unstable();
        // What goes makes room for what comes: both might want the place before the closing brace.
        let replaced = gone.len().min(new.len());
        for (at, member) in gone.drain(..replaced).zip(new.drain(..replaced)) {
            edits.push((self.members[at].range.clone(), member));
        }
        for run in gone.chunk_by(|one, next| one + 1 == *next) {
            let [Some(first), Some(last)] = [run.first(), run.last()].map(|at| at.map(|at| &self.members[*at])) else {
                continue;
            };
            let (start, end) = (first.range.start, last.range.end);
            let run = Run { start, end, next: next_sibling(self.text, end) };
            edits.push((run.cut(self.text), String::new()));
        }
        if !new.is_empty() {
            edits.push(layout.insertion(self.whole.clone(), &new));
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        edits
    }
}

/// Where `part` of `text` stands.
fn span(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn changed(text: &str, changes: &[(&str, MemberChange)]) -> String {
        let object = Object::parse(text.as_bytes()).unwrap();
        object.changed(changes).map_or_else(|| text.to_owned(), |edited| edited.to_text(text))
    }

    fn set(value: impl Into<Value>) -> MemberChange {
        MemberChange::Set(value.into())
    }

    #[test]
    fn only_an_object_is_one() {
        for (text, why) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"\xff", "UTF-8"),
            (b"[]", "a list"),
            (b"\"{}\"", "a string"),
            (b"7", "a single value"),
            (b"{\"a\": 1, \"\\u0061\": 2}", "twice"),
            (b"{} {}", "trailing"),
            (b"{\"cwd\": \"/home/\"u\"\"}", "not valid JSON"),
            (b"{\"a\":", "EOF"),
        ] {
            let error = Object::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn members_are_changed_where_they_stand() {
        let text = "{\n  \"a\": 1,\n  \"b\" : \"x\",\n  \"c\": [1,  2]\n}\n";
        assert_eq!(changed(text, &[("b", set("y"))]), text.replace("\"x\"", "\"y\""));
        assert_eq!(changed(text, &[("d", set(7))]), text.replace("2]\n", "2],\n  \"d\": 7\n"));
        assert_eq!(changed(text, &[("c", MemberChange::Gone)]), text.replace(",\n  \"c\": [1,  2]", ""));
        assert_eq!(changed(text, &[("a", MemberChange::Gone)]), text.replace("\"a\": 1,\n  ", ""));
        let both = [("b", MemberChange::Gone), ("c", MemberChange::Gone)];
        assert_eq!(changed(text, &both), "{\n  \"a\": 1\n}\n");
        let swap = [("b", MemberChange::Gone), ("c", MemberChange::Gone), ("z", set("é"))];
        assert_eq!(changed(text, &swap), "{\n  \"a\": 1,\n  \"z\": \"\\u00e9\"\n}\n");
        let all = [("a", MemberChange::Gone), ("b", MemberChange::Gone), ("c", MemberChange::Gone)];
        assert_eq!(changed(text, &all), "{}\n");
        assert_eq!(changed("{}", &[("a", set(1))]), "{\"a\": 1}");
        assert_eq!(changed("{\"a\":\"\\u00e9\"}", &[("a", set("é"))]), "{\"a\":\"\\u00e9\"}");
    }

    proptest! {
        /// Whatever the layout, the result is the object with these changes, and what was not changed is written as before.
        #[test]
        fn a_change_is_a_change_of_these_members_alone(
            members in prop::collection::btree_map("[a-z]{1,2}", "\\PC{0,4}", 0..8),
            style in 0..3, changes in prop::collection::btree_map("[a-z]{1,2}", prop::option::of("\\PC{0,4}"), 0..8),
        ) {
            let mut value: serde_json::Map<String, Value> = members.into_iter().map(|(key, text)| (key, text.into())).collect();
            let text = match style {
                0 => serde_json::to_string_pretty(&value).unwrap(),
                1 => serde_json::to_string(&value).unwrap(),
                _ => serde_json::to_string(&value).unwrap().replace("\":\"", "\" :\t \"").replace("\",\"", "\" ,\r\n\""),
            };
            // What stands in a string may look like that too, and then is no text of the same value.
            prop_assume!(serde_json::from_str::<Value>(&text).is_ok_and(|read| read == Value::Object(value.clone())));
            let made: Vec<(&str, MemberChange)> = changes.iter()
                .map(|(key, text)| (key.as_str(), text.clone().map_or(MemberChange::Gone, |text| MemberChange::Set(text.into()))))
                .collect();
            let edited = changed(&text, &made);
            for (key, change) in &changes {
                match change {
                    Some(text) => drop(value.insert(key.clone(), text.clone().into())),
                    None => drop(value.remove(key)),
                }
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&edited).unwrap(), json!(value));
            let (before, after) = (Object::parse(text.as_bytes()).unwrap(), Object::parse(edited.as_bytes()).unwrap());
            for member in before.members.iter().filter(|member| !changes.contains_key(member.key.as_ref())) {
                let same = after.members.iter().find(|other| other.key == member.key).unwrap();
                prop_assert_eq!(&text[member.range.clone()], &edited[same.range.clone()]);
            }
        }
    }
}
