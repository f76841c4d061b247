//! The CLIs whose sessions we know, as data, and what their stores say about a session.
//!
//! Promises: a provider is a row, built in or the user's, and both take the same path; an id is data, never a pattern;
//! "not found" is told apart from "could not look"; nothing here writes.

pub(crate) mod builtin;
mod builtin_processes;
pub(crate) mod conversation;
pub(crate) mod database;
#[cfg(test)]
mod documentation;
pub(crate) mod first_records;
pub(crate) mod index;
pub(crate) mod inventory;
pub(crate) mod last_record;
pub(crate) mod live;
pub(crate) mod own_cleanup;
pub(crate) mod query;
mod record_time;
pub(crate) mod retention;
pub(crate) mod row;
mod scan;
mod transcript;
mod tree;

use std::path::{Path, PathBuf};

pub(crate) use crate::policy::session_id::{InvalidId, SessionId};
pub(crate) use row::Provider;

/// The rows in force, with each one's home on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    rows: Vec<Located>,
}

/// A row with its places on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) provider: Provider,
    /// Where the sessions are.
    pub(crate) home: PathBuf,
    /// Where the signs of live processes are.
    pub(crate) live_home: PathBuf,
}

impl Catalogue {
    /// Rows with their homes, the user's own rows last.
    pub(crate) fn new(rows: Vec<Located>) -> Self {
        Self { rows }
    }

    /// Every row with its places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Located> {
        self.rows.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row at `index`, in the order of [`Catalogue::iter`], with its home.
    pub(crate) fn get(&self, index: usize) -> (&Provider, &Path) {
        (&self.rows[index].provider, &self.rows[index].home)
    }

    /// The row at `index` with its places.
    pub(crate) fn at(&self, index: usize) -> &Located {
        &self.rows[index]
    }

    /// The row of this name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.provider.name == name)
    }

    /// The row that claims `model`.
    pub(crate) fn claiming(&self, model: &str) -> Option<usize> {
        // The user's rows stand last and win.
        self.rows.iter().rposition(|row| row.provider.claims(model))
    }
}

impl Provider {
    /// Whether `model` is one of this provider's names, without regard to case.
    pub(crate) fn claims(&self, model: &str) -> bool {
        self.models.iter().any(|name| match name.strip_suffix('*') {
            Some(stem) => model.get(..stem.len()).is_some_and(|start| start.eq_ignore_ascii_case(stem)),
            None => name.eq_ignore_ascii_case(model),
        })
    }

    /// The arguments of a command row with session and prompt filled in.
    pub(crate) fn command(template: &[String], id: SessionId<'_>) -> Vec<String> {
        template.iter().map(|argument| argument.replace("{id}", id.as_str())).collect()
    }
}

/// A path in JSON, which is text: bytes that are none are replaced.
pub(crate) fn path_as_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
