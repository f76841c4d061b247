//! What lies beside an archived session's content: what it was, where it was, and what its files had.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::filesystem::Attributes;
use crate::policy::session_id::SessionId;

/// The form of manifests.
const SCHEMA: u32 = 1;

/// One archived session. Written as `ENTRY.json`, and as the first member of `ENTRY.tar.zst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    schema: u32,
    /// The session's id.
    pub(crate) session: String,
    /// The provider.
    pub(crate) provider: String,
    /// The home that all paths are relative to.
    pub(crate) home: PathBuf,
    pub(crate) archived_at: DateTime<Utc>,
    /// When it was put back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restored_at: Option<DateTime<Utc>>,
    /// In the order of the content.
    pub(crate) files: Vec<Archived>,
    /// The folders that went with them, those above before those below.
    #[serde(default)]
    pub(crate) folders: Vec<Archived>,
}

/// One file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archived {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    mode: u32,
    owner: u32,
    group: u32,
    /// Nanoseconds since 1970.
    modified: i64,
    /// Nanoseconds since 1970.
    accessed: i64,
}

impl Archived {
    pub(crate) const fn new(path: PathBuf, size: u64, attributes: Attributes) -> Self {
        let Attributes { mode, owner, group, modified, accessed } = attributes;
        Self { path, size, mode, owner, group, modified, accessed }
    }

    /// Whether both are of one file as it was at one time. To be read changes no file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.path, self.size, self.modified) == (&other.path, other.size, other.modified)
    }

    pub(crate) const fn attributes(&self) -> Attributes {
        let Self { mode, owner, group, modified, accessed, .. } = *self;
        Attributes { mode, owner, group, modified, accessed }
    }
}

impl Manifest {
    pub(crate) fn new(
        session: SessionId<'_>,
        provider: &str,
        home: &Path,
        archived_at: DateTime<Utc>,
        files: Vec<Archived>,
        folders: Vec<Archived>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            session: session.as_str().to_owned(),
            provider: provider.to_owned(),
            home: home.to_owned(),
            archived_at,
            restored_at: None,
            files,
            folders,
        }
    }

    /// Understands a manifest.
    ///
    /// # Errors
    /// It is of another form, or has paths that lead out of its home.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(text).context("this is no manifest")?;
        ensure!(
            manifest.schema == SCHEMA,
            "it is of form {}, which a newer session-sweep understands",
            manifest.schema
        );
        SessionId::new(&manifest.session)?;
        ensure!(manifest.home.is_absolute(), "its home is no absolute path");
        for Archived { path, .. } in manifest.files.iter().chain(&manifest.folders) {
            let is_below = path.components().all(|component| matches!(component, Component::Normal(_)));
            ensure!(is_below && path.file_name().is_some(), "{} leads out of its home", path.display());
        }
        Ok(manifest)
    }

    /// Whether both are of one session of one home.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        (&self.session, &self.provider, &self.home) == (&other.session, &other.provider, &other.home)
    }

    /// Whether it is of this session of this home.
    pub(crate) fn is_from(&self, session: &str, provider: &str, home: &Path) -> bool {
        (self.session.as_str(), self.provider.as_str(), self.home.as_path()) == (session, provider, home)
    }

    /// Whether this file was archived as it is.
    pub(crate) fn has(&self, file: &Archived) -> bool {
        self.files.iter().any(|other| other.is_same(file))
    }

    /// The bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// As it is written, with a line's end.
    pub(super) fn text(&self) -> std::io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// What its files are called: in what time it was archived, and for which session.
    pub(super) fn entry(&self) -> String {
        format!("{}-{}", self.archived_at.format("%Y%m%dT%H%M%S%.3fZ"), self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_leads_elsewhere_is_none() {
        let file = |path: &str| {
            Archived::new(
                path.into(),
                1,
                Attributes { mode: 0o600, owner: 1, group: 1, modified: -5, accessed: i64::MAX },
            )
        };
        let id = SessionId::new("a-1").unwrap();
        let of = |home: &str, path: &str| {
            let manifest =
                Manifest::new(id, "claude", Path::new(home), DateTime::UNIX_EPOCH, vec![file(path)], Vec::new());
            (Manifest::parse(&serde_json::to_vec(&manifest).unwrap()), manifest)
        };
        let (read, written) = of("/h", "projects/x/a-1.jsonl");
        assert_eq!(read.unwrap(), written);
        assert_eq!(written.entry(), "19700101T000000.000Z-a-1");
        for (home, path) in [("/h", "/etc/passwd"), ("/h", "../x"), ("/h", "a/../../x"), ("/h", ""), ("h", "a")] {
            assert!(of(home, path).0.is_err(), "{home} {path}");
        }
        let text = serde_json::to_string(&written).unwrap();
        for (from, to) in [("\"schema\":1", "\"schema\":2"), ("\"a-1\"", "\"../a\""), ("{", "[")] {
            assert!(Manifest::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }
}
