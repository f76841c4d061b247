//! A home on the disk, and what is known of it.

use std::fs::Metadata;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHasher;
use walkdir::WalkDir;

use crate::answer::Content;
use crate::common::scratch::Note;
use crate::generate::Writer;

/// To be raised when anything changes what is generated.
const LAYOUT: u32 = 1;

/// A home of Claude Code.
pub(crate) struct Home {
    folder: PathBuf,
    /// What is in it.
    pub(crate) content: Content,
    /// What its folders themselves are said to hold.
    pub(crate) folder_bytes: u64,
    trace: u64,
}

impl Home {
    /// The home of this size under `scratch`: the one that is there while it is fresh, else a new one.
    pub(crate) fn of_size(files: u64, scratch: &Path) -> Self {
        let folder = scratch.join(format!("home-{files}"));
        let tree = folder.join("home/.claude");
        let note = Note::of(&folder, LAYOUT, |generated| Writer::new(&tree, generated).write(files));
        let [trace, folder_bytes] = trace(&tree);
        Self { folder, content: note.content, folder_bytes, trace }
    }

    /// Where everything of this home lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The home of the person whose CLI it is.
    pub(crate) fn parent(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The CLI's home.
    pub(crate) fn tree(&self) -> PathBuf {
        self.parent().join(".claude")
    }

    /// Where an answer is written.
    pub(crate) fn answer(&self) -> PathBuf {
        self.folder.join("answer")
    }

    /// Whether no file or folder came, went or was changed.
    pub(crate) fn is_untouched(&self) -> bool {
        trace(&self.tree()) == [self.trace, self.folder_bytes]
    }
}

/// A number that is another one when anything changed, and the bytes of folders.
fn trace(tree: &Path) -> [u64; 2] {
    let (mut trace, mut folder_bytes) = (0_u64, 0);
    for entry in WalkDir::new(tree) {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let mut hasher = FxHasher::default();
        (entry.path(), facts(&metadata)).hash(&mut hasher);
        // In whatever order they are listed.
        trace = trace.wrapping_add(hasher.finish());
        folder_bytes += if metadata.is_dir() { metadata.len() } else { 0 };
    }
    [trace, folder_bytes]
}

fn facts(metadata: &Metadata) -> [i64; 6] {
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let [mtime, mtime_nsec, ctime, ctime_nsec] = times;
    [metadata.ino() as i64, metadata.len() as i64, mtime, mtime_nsec, ctime, ctime_nsec]
}
