//! A tree on the disk: made when there is none that is fresh enough, else used again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::generate::Plan;

/// To be raised when anything changes what is generated.
const LAYOUT: u32 = 1;
const HOUR: f64 = 3_600.0;
const USABLE: f64 = 3.0 * HOUR;
/// Tells backup programs to pass over a tree, and us that it may be removed.
const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# A tree of the session-sweep benchmark.\n";

/// How large a tree is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Size {
    /// 1,000 files, 200 mappings.
    S,
    /// 20,000 files, 2,000 mappings.
    M,
    /// 200,000 files, 20,000 mappings.
    L,
    /// 1,000,000 files, 100,000 mappings.
    XL,
}

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
#[derive(Serialize, Deserialize)]
pub(crate) struct Tree {
    layout: u32,
    /// When it was made, in Unix seconds.
    generated: f64,
    /// What its map holds.
    pub(crate) counts: Counts,
    #[serde(skip)]
    folder: PathBuf,
}

impl Tree {
    /// The tree of this size under `scratch`: the one that is there while it is fresh, else a new one.
    pub(crate) fn of_size(size: Size, scratch: &Path) -> Self {
        let folder = scratch.join(format!("{size:?}"));
        let note = folder.join("tree.json");
        let old = fs::read(&note).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        if let Some(tree) = old
            && tree.layout == LAYOUT
            && (0.0..USABLE).contains(&(unix_now() - tree.generated))
        {
            return Self { folder, ..tree };
        }
        clear(&folder);
        let generated = unix_now().floor();
        let counts = Plan::of_size(size, generated).write(&folder);
        let tree = Self { layout: LAYOUT, generated, counts, folder };
        // Last, so that an interrupted generation is never taken for a tree.
        fs::write(&note, serde_json::to_vec(&tree).unwrap()).unwrap();
        tree
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

/// Makes the folder empty, if it is ours to empty.
fn clear(folder: &Path) {
    let tag = folder.join("CACHEDIR.TAG");
    if folder.exists() {
        let ours = fs::read_to_string(&tag).is_ok_and(|text| text == CACHE_TAG);
        assert!(ours, "{} was not made by this benchmark: remove it, or set SESSION_SWEEP_BENCH_DIR", folder.display());
        fs::remove_dir_all(folder).unwrap();
    }
    fs::create_dir_all(folder).unwrap();
    fs::write(tag, CACHE_TAG).unwrap();
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
