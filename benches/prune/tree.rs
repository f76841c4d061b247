//! A tree on the disk, and what is known of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::common::options::Size;
use crate::common::scratch::{Note, unix_now};
use crate::generate::Plan;

/// To be raised when anything changes what is generated.
const LAYOUT: u32 = 1;
const HOUR: f64 = 3_600.0;

impl Size {
    /// Files, mappings, Claude projects, Gemini projects.
    pub(crate) fn numbers(self) -> [usize; 4] {
        match self {
            Self::S => [1_000, 200, 12, 6],
            Self::M => [20_000, 2_000, 60, 30],
            Self::L => [200_000, 20_000, 300, 150],
            Self::XL => [1_000_000, 100_000, 1_000, 500],
        }
    }
}

/// How many mappings of each kind a map holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) checked: usize,
    /// Written to within the threshold.
    pub(crate) active: usize,
    /// To be pruned.
    pub(crate) idle: usize,
    /// Without a transcript.
    pub(crate) missing: usize,
}

/// A tree on the disk.
pub(crate) struct Tree {
    folder: PathBuf,
    /// When it was made, in Unix seconds.
    generated: f64,
    /// What its map holds.
    pub(crate) counts: Counts,
}

impl Tree {
    /// The tree of this size under `scratch`: the one that is there while it is fresh, else a new one.
    pub(crate) fn of_size(size: Size, scratch: &Path) -> Self {
        let folder = scratch.join(format!("{size:?}"));
        let note = Note::of(&folder, LAYOUT, |generated| Plan::of_size(size, generated).write(&folder));
        Self { generated: note.generated, counts: note.content, folder }
    }

    /// The home folder with the stores.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The map as a bridge left it, and as it is after pruning.
    pub(crate) fn maps(&self) -> [Vec<u8>; 2] {
        ["map.json", "pruned.json"].map(|name| fs::read(self.folder.join(name)).unwrap())
    }

    /// Where everything of this tree lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The instant between active and idle, in Unix seconds.
    pub(crate) fn cutoff(&self) -> f64 {
        self.generated - 4.0 * HOUR
    }

    /// The threshold that puts the cutoff there now.
    pub(crate) fn hours(&self) -> f64 {
        (unix_now() - self.cutoff()) / HOUR
    }
}
