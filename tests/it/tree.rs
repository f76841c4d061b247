//! Everything below a folder at one moment, to see that a run wrote nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// A file or folder: whatever a write, a rename or a chmod would change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    mode: u32,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// The time that no program can set.
    changed: (i64, i64),
    content: Option<Vec<u8>>,
}

/// All of a folder's tree.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// The tree below `root` as it is now.
pub(crate) fn tree_of(root: &Path) -> Tree {
    let node = |entry: walkdir::DirEntry| {
        let metadata = entry.metadata().unwrap();
        let small = metadata.is_file() && metadata.len() < 1 << 20;
        let node = Node {
            mode: metadata.mode(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            content: small.then(|| std::fs::read(entry.path()).ok()).flatten(),
        };
        (entry.into_path(), node)
    };
    // The program under test is linked into some worlds, and other tests' links change its inode.
    let is_world = |entry: &walkdir::DirEntry| entry.file_name() != "program";
    WalkDir::new(root).into_iter().map(Result::unwrap).filter(is_world).map(node).collect()
}

/// Fails the test when anything differs, and says what.
#[track_caller]
pub(crate) fn assert_untouched(before: &Tree, root: &Path) {
    let now = tree_of(root);
    let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
    let differences: Vec<&PathBuf> = before.keys().chain(now.keys()).filter(differs).collect();
    assert!(differences.is_empty(), "changed, new or gone: {differences:#?}");
}

/// The names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs_err::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = fs_err::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}
