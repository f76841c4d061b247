//! What is wrong with the configuration, where, and what to write instead.

use std::fmt;

use serde::{Serialize, Serializer};

use super::origin::Origin;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The file, variable or flag.
    #[serde(serialize_with = "as_text")]
    pub(crate) origin: Origin,
    /// The line in the file.
    pub(crate) line: Option<usize>,
    /// The setting, or the provider row and its key; empty when the whole file is meant.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// Everything that is wrong, at least one thing. The run ends as wrong usage or configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problem {
    /// A problem without a line.
    pub(super) fn new(
        origin: Origin,
        key: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { origin, line: None, key: key.into(), message: message.into(), remedy: remedy.into() }
    }

    /// The place and what is wrong there, without what to do.
    pub(crate) fn what(&self) -> String {
        let place = match (&self.origin, self.line) {
            (Origin::File(path), Some(line)) => format!("{}:{line}: ", path.display()),
            (Origin::File(path), None) => format!("{}: ", path.display()),
            (origin, _) => format!("{origin}: "),
        };
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{place}{key}{}", self.message)
    }

    /// The same, at this line of the file.
    pub(super) fn at_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl Problems {
    /// `Ok` with `value` when there is no problem.
    pub(super) fn none_or<T>(problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() { Ok(value) } else { Err(Self(problems)) }
    }

    /// What is wrong, each with what to do.
    pub(crate) fn in_two_parts(&self) -> Vec<(String, String)> {
        self.0.iter().map(|problem| (problem.what(), problem.remedy.clone())).collect()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

fn as_text<S: Serializer>(origin: &Origin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(origin)
}

/// The word of `known` that `word` was most probably meant to be.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The measure and the threshold of clap's own suggestions, so that flags and keys feel the same.
    known
        .into_iter()
        .map(|candidate| (strsim::jaro(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_the_word_that_was_meant() {
        let known = ["dir", "idle", "missing", "activity"];
        assert_eq!(nearest("idel", known), Some("idle"));
        assert_eq!(nearest("mising", known), Some("missing"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn a_message_names_place_key_reason_and_remedy() {
        let problem = Problem::new(Origin::File("/c.toml".into()), "map.idle", "no unit", "write `2h`").at_line(3);
        assert_eq!(problem.to_string(), "/c.toml:3: map.idle: no unit; write `2h`");
        let flag = Problem::new(Origin::Flag("--idle"), "", "no unit", "write `2h`");
        assert_eq!(flag.to_string(), "flag --idle: no unit; write `2h`");
        assert_eq!(Problems(vec![problem, flag]).to_string().lines().count(), 2);
    }
}
