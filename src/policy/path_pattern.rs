//! Where files lie, as a pattern relative to a home: of sessions, by their ids, and of artifacts.
//!
//! A pattern is a relative path. A component is a literal, a glob (`*`, `?`, `[…]`), one of `{year}`, `{month}`, `{day}`
//! (digits; a UUIDv7 id tells which days can hold it), or the one component that holds the id: `{id}` for the whole id,
//! `{id:8}` for its first eight characters, with literal text around it and at most one `*` before it. What follows
//! that component is its tail.
//!
//! An id is never turned into a glob: names are matched byte by byte around it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Result, bail, ensure};

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PathPattern {
    /// Folders from the home down to the folder that is listed.
    pub(crate) folders: Vec<Folder>,
    /// The component with the id; `None` when the pattern holds none (the id is then found inside the file).
    pub(crate) name: Option<NamePattern>,
    /// Components below (`name` present) or the file's own name (`name` absent).
    pub(crate) tail: Vec<Folder>,
}

/// One component that holds no id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Folder {
    /// Exactly this name.
    Literal(String),
    /// Any name.
    Any,
    /// Names that begin and end like this (`agent-*.jsonl`), the common form of a glob.
    Affixes(String, String),
    /// Names that a glob matches; a leading dot must be matched by a literal dot.
    Glob(glob::Pattern),
    /// Four digits.
    Year,
    /// Two digits, 01 to 12.
    Month,
    /// Two digits, 01 to 31.
    Day,
}

/// The component that holds the id: `prefix` `*`? `before` id `suffix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    prefix: String,
    /// Text between the `*` and the id; `None` without a `*`.
    before: Option<String>,
    /// How many characters of the id the name holds; `None` for all of them.
    pub(crate) characters: Option<usize>,
    suffix: String,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A message for the person who wrote it: absolute path, `..`, two ids, an unknown placeholder, a bad glob.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "the pattern is empty");
        ensure!(!text.starts_with('/') && !text.starts_with('~'), "`{text}` must be relative to the provider's home");
        let mut pattern = Self { folders: Vec::new(), name: None, tail: Vec::new() };
        for component in text.split('/') {
            ensure!(!matches!(component, "" | "." | ".."), "`{text}` holds an empty, `.` or `..` component");
            if component.contains("{id") {
                ensure!(pattern.name.is_none(), "`{text}` holds two ids");
                pattern.name = Some(NamePattern::parse(component)?);
            } else if pattern.name.is_some() {
                pattern.tail.push(Folder::parse(component)?);
            } else {
                pattern.folders.push(Folder::parse(component)?);
            }
        }
        if pattern.name.is_none() {
            pattern.tail.extend(pattern.folders.pop());
        }
        let between = pattern.tail.split_last().map_or(&[][..], |(_, between)| between);
        let literal = between.iter().all(|folder| matches!(folder, Folder::Literal(_)));
        ensure!(literal, "`{text}`: below the id only the last component may be a glob");
        Ok(pattern)
    }

    /// Whether `path`, relative to the home, is a file of a pattern without an id.
    pub(crate) fn is_loose_file(&self, path: &Path) -> bool {
        let mut components = path.components().map(|component| component.as_os_str().as_bytes());
        self.name.is_none()
            && self.folders.iter().chain(&self.tail).all(|own| components.next().is_some_and(|name| own.matches(name)))
            && components.next().is_none()
    }

    /// The leading literal folders: where the store is, relative to the home.
    pub(crate) fn base(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map_while(|folder| match folder {
            Folder::Literal(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Folder {
    fn parse(component: &str) -> Result<Self> {
        Ok(match component {
            "*" => Self::Any,
            "{year}" => Self::Year,
            "{month}" => Self::Month,
            "{day}" => Self::Day,
            _ if component.contains(['{', '}']) => {
                bail!(
                    "`{component}` holds an unknown placeholder (known: {{id}}, {{id:8}}, {{year}}, {{month}}, {{day}})"
                )
            }
            _ if component.matches(['*', '?', '[']).eq(["*"]) => {
                let (prefix, suffix) = component.split_once('*').unwrap_or_default();
                Self::Affixes(prefix.to_owned(), suffix.to_owned())
            }
            _ if component.contains(['*', '?', '[']) => Self::Glob(
                glob::Pattern::new(component).map_err(|e| anyhow::anyhow!("`{component}` is no valid glob: {e}"))?,
            ),
            _ => Self::Literal(component.to_owned()),
        })
    }

    pub(crate) const fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// Whether the name is part of a date.
    pub(crate) const fn is_dated(&self) -> bool {
        matches!(self, Self::Year | Self::Month | Self::Day)
    }

    /// The name itself, when there is only one.
    pub(crate) fn literal(&self) -> &str {
        if let Self::Literal(name) = self { name } else { "" }
    }

    /// Whether a folder entry of this name belongs here. Names that are not UTF-8 match only `*`.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        let digits = |count: usize| name.len() == count && name.iter().all(u8::is_ascii_digit);
        match self {
            Self::Literal(literal) => literal.as_bytes() == name,
            Self::Any => true,
            Self::Affixes(prefix, suffix) => {
                let inside = name.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.ends_with(suffix.as_bytes()));
                inside && (!prefix.is_empty() || name.first() != Some(&b'.'))
            }
            Self::Glob(pattern) => OsStr::from_bytes(name).to_str().is_some_and(|text| {
                let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
                pattern.matches_with(text, options)
            }),
            Self::Year => digits(4),
            Self::Month | Self::Day => digits(2),
        }
    }
}

impl NamePattern {
    fn parse(component: &str) -> Result<Self> {
        let Some((left, right)) = component.split_once("{id") else { bail!("`{component}` holds no {{id}}") };
        let Some((length, suffix)) = right.split_once('}') else { bail!("`{component}`: `{{id` has no closing brace") };
        let characters = match length.strip_prefix(':') {
            None if length.is_empty() => None,
            Some(digits) => match digits.parse() {
                Ok(count @ 4..=64) => Some(count),
                _ => bail!("`{component}`: the id's length must be 4 to 64"),
            },
            None => bail!("`{component}` holds an unknown placeholder"),
        };
        ensure!(!suffix.contains(['*', '?', '[', '{', '}']), "`{component}`: only literal text may follow the id");
        let (prefix, before) = match left.split_once('*') {
            None => (left, None),
            Some((prefix, before)) => (prefix, Some(before.to_owned())),
        };
        let literal = |text: &str| !text.contains(['*', '?', '[', '{', '}']);
        ensure!(
            literal(prefix) && before.as_deref().is_none_or(literal),
            "`{component}`: at most one `*` and literal text may stand before the id"
        );
        Ok(Self { prefix: prefix.to_owned(), before, characters, suffix: suffix.to_owned() })
    }

    /// The id in `name`, given how many bytes it has; `None` when the name does not match.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "asked of every name in a store; measured")]
    pub(crate) fn id_in<'n>(&self, name: &'n [u8], id_length: usize) -> Option<&'n [u8]> {
        // Lengths first, and no comparison with nothing: this is asked of every name in a store.
        let before = self.before.as_deref().unwrap_or_default();
        let end = name.len().checked_sub(self.suffix.len())?;
        let start = end.checked_sub(id_length)?;
        let least = self.prefix.len() + before.len();
        if start < least || (self.before.is_none() && start > least) || &name[end..] != self.suffix.as_bytes() {
            return None;
        }
        let fits = |text: &str, part: &[u8]| text.is_empty() || text.as_bytes() == part;
        let framed = fits(&self.prefix, &name[..self.prefix.len()]) && fits(before, &name[start - before.len()..start]);
        framed.then(|| &name[start..end])
    }

    /// Writes the only name that can hold `id` into `buffer`; false when there may be several (a `*` or a shortened id).
    pub(crate) fn write_name(&self, id: &str, buffer: &mut Vec<u8>) -> bool {
        if self.before.is_some() || self.characters.is_some() {
            return false;
        }
        for part in [self.prefix.as_str(), id, self.suffix.as_str()] {
            buffer.extend_from_slice(part.as_bytes());
        }
        true
    }

    /// Whether exactly one name can hold a given id.
    pub(crate) const fn is_exact(&self) -> bool {
        self.before.is_none() && self.characters.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a1f848-9752-7c50-b5ba-bc312216b249";

    fn name(text: &str) -> NamePattern {
        PathPattern::parse(text).unwrap().name.unwrap()
    }

    #[test]
    fn an_id_is_taken_from_the_place_the_pattern_names() {
        let rollout = name("sessions/{year}/{month}/{day}/rollout-*-{id}.jsonl");
        let file = format!("rollout-2026-11-20T09-27-49-{ID}.jsonl");
        assert_eq!(rollout.id_in(file.as_bytes(), 36), Some(ID.as_bytes()));
        assert_eq!(rollout.id_in(format!("{ID}.jsonl").as_bytes(), 36), None);
        assert_eq!(rollout.id_in(b"rollout-.jsonl", 36), None);
        let chat = name("tmp/*/chats/session-*-{id:8}.json");
        assert_eq!(chat.id_in(b"session-2026-11-20T09-28-fa141908.json", 8), Some(&b"fa141908"[..]));
        assert_eq!(chat.id_in(b"session-2026-11-20T09-28-fa141908.jsonl", 8), None);
    }

    #[test]
    fn a_name_pattern_never_matches_more_than_the_id() {
        let plain = name("projects/*/{id}.jsonl");
        assert_eq!(plain.id_in(format!("{ID}.jsonl").as_bytes(), 36), Some(ID.as_bytes()));
        assert_eq!(plain.id_in(format!("x{ID}.jsonl").as_bytes(), 36), None);
        assert_eq!(plain.id_in(b".jsonl", 36), None);
    }

    #[test]
    fn bad_patterns_are_refused_with_the_reason() {
        for (text, reason) in [
            ("/etc/{id}", "relative"),
            ("a/../{id}", "`..`"),
            ("{id}/{id}", "two ids"),
            ("{id:2}.x", "4 to 64"),
            ("{id", "closing brace"),
            ("{who}/{id}", "unknown placeholder"),
            ("[a/{id}", "glob"),
            ("*-*-{id}", "at most one"),
            ("{id}*", "literal text may follow"),
            ("{id}/*/x.jsonl", "below the id"),
            ("", "empty"),
        ] {
            let message = PathPattern::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
    }
}
