//! What a benchmark generates on the disk: made when there is none that is fresh enough, else used again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const USABLE: f64 = 3.0 * 3_600.0;
/// Tells backup programs to pass over a tree, and us that it may be removed.
const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# A tree of the session-sweep benchmark.\n";

/// Where everything is generated: `name` in the target folder, unless `SESSION_SWEEP_BENCH_DIR` says where.
pub(crate) fn folder(name: &str) -> PathBuf {
    std::env::var_os("SESSION_SWEEP_BENCH_DIR").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name),
        |folder| std::path::absolute(folder).unwrap(),
    )
}

/// What is known of a tree on the disk.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note<T> {
    layout: u32,
    /// When it was made, in Unix seconds.
    pub(crate) generated: f64,
    /// What it holds.
    pub(crate) content: T,
}

impl<T: Serialize + DeserializeOwned> Note<T> {
    /// Of the tree in this folder: the one that is there while it is fresh and of this layout, else what `make` makes at
    /// the Unix time that it is given.
    pub(crate) fn of(folder: &Path, layout: u32, make: impl FnOnce(f64) -> T) -> Self {
        let path = folder.join("tree.json");
        let old = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        if let Some(note) = old
            && note.layout == layout
            && (0.0..USABLE).contains(&(unix_now() - note.generated))
        {
            return note;
        }
        clear(folder);
        let generated = unix_now().floor();
        let note = Self { layout, generated, content: make(generated) };
        // Last, so that an interrupted generation is never taken for a tree.
        fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        note
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

/// The clock, in Unix seconds.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
