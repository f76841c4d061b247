//! Typed values out of a TOML table, and a problem with its line for each value that is not what it should be.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::Origin;
use super::problem::{Problem, nearest};

/// A file's path and text, to say where something stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The line on which `span` begins, counted from 1.
    pub(super) fn line(self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    /// A problem at `span` in this file.
    pub(super) fn problem(self, span: &Range<usize>, key: String, message: String, remedy: String) -> Problem {
        Problem::new(Origin::File(self.path.to_path_buf()), key, message, remedy).at_line(self.line(span))
    }
}

/// A table being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    source: Source<'a>,
    /// What stands before everything in a message: `provider claude: `.
    pub(super) label: String,
    /// What stands before a key: `map.`, `live.`.
    scope: String,
    /// Where the table begins.
    pub(super) span: Range<usize>,
    table: &'a DeTable<'a>,
    /// An example of the right form for a key (with its scope).
    example: fn(&str) -> Option<String>,
    /// What was wrong so far.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Section<'a> {
    /// Starts to read `table`.
    pub(super) fn new(
        source: Source<'a>,
        scope: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        example: fn(&str) -> Option<String>,
    ) -> Self {
        Self { source, label: String::new(), scope, span, table, example, problems: Vec::new() }
    }

    /// Notes what is wrong with the value of `key`.
    pub(super) fn refuse(&mut self, key: &str, message: String) {
        let span = self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span);
        let remedy = match (self.example)(&format!("{}{key}", self.scope)) {
            Some(example) => format!("write for example `{example}`"),
            None => "see docs/configuration.md".to_owned(),
        };
        self.problems.push(self.source.problem(&span, self.full_name(key), message, remedy));
    }

    /// Notes every key that is not in `known`, with the nearest one that is.
    pub(super) fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let remedy = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            let full_name = self.full_name(&name.escape_debug().to_string());
            self.problems.push(self.source.problem(&key.span(), full_name, "unknown key".to_owned(), remedy));
        }
    }

    /// The line of `key`, or of the table when the key is not there.
    pub(super) fn line(&self, key: &str) -> usize {
        self.source.line(&self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span))
    }

    /// Whether `key` is there, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The text of `key`; `None` when it is not there or refused.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.refuse(key, format!("must be a text in quotes, not {}", kind(value)));
        }
        text.map(str::to_owned)
    }

    /// The number of `key`, bare or in quotes, as text.
    pub(super) fn number(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            // However it is written there: `0x10` and `1_6` are 16.
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix());
                Some(decimal.map_or_else(|_| number.to_string(), |decimal| decimal.to_string()))
            }
            DeValue::String(text) => Some(text.clone().into_owned()),
            value => {
                let kind = if matches!(value, DeValue::Float(_)) { "a fraction" } else { kind(value) };
                self.refuse(key, format!("must be a whole number, not {kind}"));
                None
            }
        }
    }

    /// The list of texts of `key`.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let Some(array) = value.as_array() else {
            self.refuse(key, format!("must be a list of texts, not {}", kind(value)));
            return None;
        };
        let list: Option<Vec<String>> =
            array.iter().map(|element| element.get_ref().as_str().map(str::to_owned)).collect();
        if list.is_none() {
            self.refuse(key, "every element of the list must be a text in quotes".to_owned());
        }
        list
    }

    /// One text, or a list of them.
    pub(super) fn one_or_many(&mut self, key: &str) -> Option<Vec<String>> {
        if self.value(key)?.is_array() { self.list(key) } else { self.text(key).map(|text| vec![text]) }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if value.as_bool().is_none() {
            self.refuse(key, format!("must be true or false, not {}", kind(value)));
        }
        value.as_bool()
    }

    /// The table of `key`, whose keys are called `key.…` in messages.
    pub(super) fn section(&mut self, key: &str) -> Option<Section<'a>> {
        let value = self.table.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.refuse(key, format!("must be a table, not {}", kind(value.get_ref())));
            return None;
        };
        let inner = Section::new(self.source, format!("{}{key}.", self.scope), value.span(), table, self.example);
        Some(Self { label: self.label.clone(), ..inner })
    }

    /// Passes `value` through `check` and notes what that says against it.
    pub(super) fn checked<T, U>(
        &mut self,
        key: &str,
        value: Option<T>,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<U> {
        check(value?).map_err(|message| self.refuse(key, message)).ok()
    }

    fn full_name(&self, key: &str) -> String {
        format!("{}{}{key}", self.label, self.scope)
    }

    fn value(&self, key: &str) -> Option<&'a DeValue<'a>> {
        self.table.get(key).map(Spanned::get_ref)
    }
}

/// A value's type in everyday words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
