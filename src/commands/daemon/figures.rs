//! The metrics file: the whole text anew after each tick, so that a reader never sees half of it.

use std::path::Path;

use crate::filesystem::{FileError, remove_leftovers, write_unflushed};
use crate::output::escape::Escaped;

/// Readable for the collector, which is another user.
const MODE: u32 = 0o644;

/// Writes the file, and says once when that begins to fail.
#[derive(Debug, Default)]
pub(super) struct MetricsFile {
    fails: bool,
}

impl MetricsFile {
    /// Replaces the file at `path`.
    pub(super) fn write(&mut self, path: &Path, text: &str) {
        match replace(path, text) {
            Ok(()) => self.fails = false,
            Err(error) if !self.fails => {
                log::warn!("the metrics are not written: {}", Escaped(&error.to_string()));
                self.fails = true;
            }
            Err(_) => {}
        }
    }
}

fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    write_unflushed(path, text.as_bytes(), MODE)
}

/// Removes what a daemon left that was killed while it wrote.
pub(super) fn tidy(path: &Path) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return };
    if let Err(error) = remove_leftovers(folder, &[name]) {
        log::debug!("left-over temporary files stay: {error}");
    }
}
