//! The registry's text: one object, a session's number as key, the session's fields below it. Every change leaves the other
//! bytes as they are.
//!
//! `{"2": {"session_id": "session-2", "number": 2, "role": …, "goal": …, "status": "active", "registered_at": …}}`, as the
//! original's scripts write it: Python's `json.dump(indent=2)`, in the order in which sessions were registered.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Edited, Layout, MemberChange, Object, ObjectError, Text, leading_space};
use crate::policy::session_number::SessionNumber;

/// What a new registry is before anything is put into it.
pub(super) const EMPTY: &str = "{}";

/// The registry's text, understood as far as it goes.
#[derive(Debug)]
pub(crate) struct Roster<'t> {
    text: &'t str,
    /// In the order of the text.
    pub(crate) sessions: Vec<Session<'t>>,
    /// Keys that are no session's number, or whose value is no object.
    pub(crate) not_understood: Vec<Cow<'t, str>>,
    top: Range<usize>,
}

/// One registered session.
#[derive(Debug)]
pub(crate) struct Session<'t> {
    pub(crate) number: SessionNumber,
    fields: Object<'t>,
}

/// Why a text is no registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RosterError {
    #[error("it holds {0}, not an object of sessions")]
    NotAnObject(&'static str),
    #[error(transparent)]
    Object(ObjectError),
}

impl From<ObjectError> for RosterError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotAnObject(what) => Self::NotAnObject(what),
            other => Self::Object(other),
        }
    }
}

impl<'t> Session<'t> {
    /// The text of a field, where it is one.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'t, str>> {
        let raw = self.fields.raw(key).filter(|raw| raw.starts_with('"'))?;
        serde_json::from_str::<Text<'t>>(raw).ok().map(|text| text.0)
    }

    /// Whether it has a field, with whatever value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.fields.raw(key).is_some()
    }

    /// Its id: the one in the registry, else `session-<number>`.
    pub(crate) fn id(&self) -> Cow<'t, str> {
        self.text("session_id").unwrap_or_else(|| self.number.default_id().into())
    }

    pub(crate) fn status(&self) -> Option<Cow<'t, str>> {
        self.text("status")
    }

    /// Nothing but `inactive` means that the number can be given away.
    pub(crate) fn is_inactive(&self) -> bool {
        self.status().is_some_and(|status| status == "inactive")
    }

    /// The number that it says it has, where that is not its key.
    pub(crate) fn contradiction(&self) -> Option<&'t str> {
        self.fields.raw("number").filter(|raw| *raw != self.number.to_string())
    }
}

impl<'t> Roster<'t> {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`RosterError`]: invalid JSON, a key twice in one object, or no object at all.
    pub(crate) fn parse(text: &'t str) -> Result<Self, RosterError> {
        let top = Object::parse(text.as_bytes())?;
        let mut roster = Self { text, sessions: Vec::new(), not_understood: Vec::new(), top: top.range() };
        for (key, raw) in top.into_members() {
            match key.parse() {
                Ok(number) if raw.starts_with('{') => {
                    roster.sessions.push(Session { number, fields: Object::part(text, raw)? });
                }
                _ => roster.not_understood.push(key),
            }
        }
        Ok(roster)
    }

    /// The session of this number.
    pub(crate) fn find(&self, number: SessionNumber) -> Option<&Session<'t>> {
        self.sessions.iter().find(|session| session.number == number)
    }

    /// Whether somebody has the number: a session that did not end, or something that is not understood.
    pub(crate) fn is_taken(&self, number: SessionNumber) -> bool {
        match self.find(number) {
            Some(session) => !session.is_inactive(),
            None => self.not_understood.iter().any(|key| *key == number.to_string()),
        }
    }

    /// The numbers that nobody has, as ranges in ascending order, first and last; the last one has no end.
    pub(crate) fn free(&self) -> Vec<(SessionNumber, Option<SessionNumber>)> {
        let ours = self.sessions.iter().filter(|session| !session.is_inactive()).map(|session| session.number);
        let others = self.not_understood.iter().filter_map(|key| key.parse().ok());
        let mut taken: Vec<SessionNumber> = ours.chain(others).collect();
        taken.sort_unstable();
        let mut free = Vec::new();
        let mut from = SessionNumber::FIRST;
        for number in taken {
            if let Some(last) = number.previous().filter(|last| *last >= from) {
                free.push((from, Some(last)));
            }
            match number.next() {
                Some(next) => from = next,
                None => return free,
            }
        }
        free.push((from, None));
        free
    }

    /// The lowest number that nobody has.
    pub(crate) fn next_free(&self) -> Option<SessionNumber> {
        self.free().first().map(|(first, _)| *first)
    }

    /// The text with these sessions' fields changed. A field that is not there is put at the end of its session.
    pub(super) fn with_changes<'c>(
        &self,
        changes: impl IntoIterator<Item = (SessionNumber, &'c [(&'c str, MemberChange)])>,
    ) -> Edited {
        let edits_of = |(number, changes)| Some(self.find(number)?.fields.edits(changes));
        let mut edits: Vec<(Range<usize>, String)> = changes.into_iter().filter_map(edits_of).flatten().collect();
        edits.sort_by_key(|(range, _)| range.start);
        Edited::splice(self.text.len(), edits)
    }

    /// The text with a new session at its end.
    pub(super) fn with_new(&self, number: SessionNumber, fields: &[(&str, MemberChange)]) -> Edited {
        let layout = Layout::of(self.text);
        let written = |(key, change): &(&str, MemberChange)| match change {
            MemberChange::Set(value) => Some(layout.member(key, value)),
            MemberChange::Gone => None,
        };
        let members: Vec<String> = fields.iter().filter_map(written).collect();
        // A registry that is empty does not show its style; it gets the original's.
        let unit = layout.unit();
        let line_end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let spread = layout.indent_of(self.top.start).is_some() || self.sessions.is_empty();
        let entry = if spread {
            let lead = format!("{line_end}{unit}{unit}");
            format!("{{{lead}{}{line_end}{unit}}}", members.join(&format!(",{lead}")))
        } else {
            format!("{{{}}}", members.join(if layout.spaced() { ", " } else { "," }))
        };
        let member = format!("{}{entry}", layout.key(&number.to_string()));
        let inner = &self.text[self.top.start + 1..self.top.end - 1];
        if spread && leading_space(inner) == inner.len() {
            let inside = self.top.start + 1..self.top.end - 1;
            return Edited::splice(self.text.len(), [(inside, format!("{line_end}{unit}{member}{line_end}"))]);
        }
        Edited::splice(self.text.len(), [layout.insertion(self.top.clone(), &[member])])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGINAL: &str = "{\n  \"2\": {\n    \"session_id\": \"session-2\",\n    \"number\": 2,\n    \"role\": \"Build \\u2192 ship\",\n    \
         \"status\": \"active\",\n    \"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\"\n  },\n  \"x\": 3\n}";

    fn number(number: u32) -> SessionNumber {
        number.to_string().parse().unwrap()
    }

    fn set(value: impl Into<serde_json::Value>) -> MemberChange {
        MemberChange::Set(value.into())
    }

    fn changed(text: &str, of: u32, changes: &[(&str, MemberChange)]) -> String {
        Roster::parse(text).unwrap().with_changes([(number(of), changes)]).to_text(text)
    }

    #[test]
    fn fields_are_read_and_what_is_no_session_is_named() {
        let roster = Roster::parse(ORIGINAL).unwrap();
        let session = &roster.sessions[0];
        assert_eq!((session.id().as_ref(), session.text("role").unwrap().as_ref()), ("session-2", "Build → ship"));
        assert_eq!((session.contradiction(), session.is_inactive()), (None, false));
        assert_eq!(roster.not_understood, ["x"]);
        let odd = Roster::parse("{\"3\": {\"number\": 4, \"status\": 1}, \"07\": {}, \"5\": []}").unwrap();
        assert_eq!((odd.sessions[0].contradiction(), odd.sessions[0].status()), (Some("4"), None));
        assert_eq!(odd.sessions[0].id(), "session-3");
        assert_eq!(odd.not_understood, ["07", "5"]);
        assert!(odd.is_taken(number(3)) && odd.is_taken(number(5)) && !odd.is_taken(number(7)));
    }

    #[test]
    fn a_text_that_is_no_registry_is_refused() {
        for (text, why) in [
            ("", "empty"),
            ("{\"2\": {}", "EOF"),
            ("[]", "a list"),
            ("\"2\"", "a string"),
            ("3", "a single value"),
            ("{\"2\": {}, \"2\": {}}", "twice"),
            ("{\"2\": {\"status\": \"active\", \"status\": \"inactive\"}}", "\"status\" stands there twice"),
            ("{\"2\": {\"role\": \"\\!\"}}", "invalid escape"),
            ("{} {}", "trailing"),
        ] {
            let error = Roster::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn changed_fields_stand_where_they_stood_and_new_ones_at_the_end() {
        let inactive = changed(ORIGINAL, 2, &[("status", set("inactive"))]);
        assert_eq!(inactive, ORIGINAL.replace("\"active\"", "\"inactive\""));
        let without = changed(ORIGINAL, 2, &[("marked_inactive_at", MemberChange::Gone)]);
        assert_eq!(without, ORIGINAL.replace(",\n    \"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\"", ""));
        let terminal = changed(&without, 2, &[("terminal", set("s00\"1 →"))]);
        let with = "\"status\": \"active\",\n    \"terminal\": \"s00\\\"1 \\u2192\"\n";
        assert_eq!(terminal, without.replace("\"status\": \"active\"\n", with));
        let both = changed(ORIGINAL, 2, &[("marked_inactive_at", MemberChange::Gone), ("n", set(7))]);
        assert_eq!(both, ORIGINAL.replace("\"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\"", "\"n\": 7"));
        assert_eq!(changed(ORIGINAL, 2, &[("role", set("Build → ship"))]), ORIGINAL);
        assert_eq!(changed(ORIGINAL, 3, &[("status", set("inactive"))]), ORIGINAL);
    }

    #[test]
    fn a_new_session_is_written_as_the_others_are() {
        let fields = [("number", set(7)), ("role", set("é"))];
        let with = |text: &str| Roster::parse(text).unwrap().with_new(number(7), &fields).to_text(text);
        let first = "{\n  \"7\": {\n    \"number\": 7,\n    \"role\": \"\\u00e9\"\n  }\n}";
        assert_eq!(with(EMPTY), first);
        assert_eq!(with("{\n}\n"), format!("{first}\n"));
        let added = ",\n  \"7\": {\n    \"number\": 7,\n    \"role\": \"\\u00e9\"\n  }\n}";
        assert_eq!(with(ORIGINAL), ORIGINAL.replace("\n}", added));
        assert_eq!(with("{\"2\":{\"n\":1}}"), "{\"2\":{\"n\":1},\"7\":{\"number\":7,\"role\":\"\\u00e9\"}}");
        let tabs = "{\n\t\"2\": {\n\t\t\"n\": \"é\"\n\t}\n}\n";
        assert!(with(tabs).ends_with(",\n\t\"7\": {\n\t\t\"number\": 7,\n\t\t\"role\": \"é\"\n\t}\n}\n"));
    }

    #[test]
    fn free_numbers_are_those_that_nobody_has() {
        let roster = |statuses: &[(u32, &str)]| {
            let sessions =
                statuses.iter().map(|(number, status)| format!("\"{number}\": {{\"status\": \"{status}\"}}"));
            let text = format!("{{{}}}", sessions.collect::<Vec<_>>().join(","));
            let roster = Roster::parse(&text).unwrap();
            let free = roster.free().into_iter().map(|(from, to)| (from.get(), to.map(SessionNumber::get)));
            (free.collect::<Vec<_>>(), roster.next_free().map(SessionNumber::get))
        };
        assert_eq!(roster(&[]), (vec![(1, None)], Some(1)));
        assert_eq!(
            roster(&[(1, "active"), (2, "working"), (5, "active"), (4, "inactive")]),
            (vec![(3, Some(4)), (6, None)], Some(3))
        );
        assert_eq!(roster(&[(u32::MAX, "active")]), (vec![(1, Some(u32::MAX - 1))], Some(1)));
    }

    proptest! {
        /// Whatever the layout, the result is JSON that differs in the changed fields alone.
        #[test]
        fn a_change_is_a_change_of_these_fields_alone(
            sessions in prop::collection::btree_map(1_u32..50, prop::collection::vec(("[a-z]{1,3}", "\\PC{0,4}"), 0..5), 1..6),
            pretty: bool, gone: bool, role in "\\PC{0,8}",
        ) {
            let mut value = serde_json::Map::new();
            for (number, fields) in &sessions {
                let fields: serde_json::Map<_, _> = fields.iter().map(|(key, text)| (key.clone(), text.clone().into())).collect();
                value.insert(number.to_string(), fields.into());
            }
            let mut value = serde_json::Value::from(value);
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let chosen = number(*sessions.keys().next().unwrap());
            let key = sessions.values().next().unwrap().first().map_or("none", |(key, _)| key.as_str());
            let mut changes = vec![("role", set(role.as_str())), ("status", set("active"))];
            if gone {
                changes.push((key, MemberChange::Gone));
            }
            let edited = Roster::parse(&text).unwrap().with_changes([(chosen, &changes[..])]).to_text(&text);
            let entry = value[chosen.to_string()].as_object_mut().unwrap();
            if gone {
                entry.remove(key);
            }
            entry.insert("role".to_owned(), role.clone().into());
            entry.insert("status".to_owned(), "active".into());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&edited).unwrap(), value);
        }
    }
}
