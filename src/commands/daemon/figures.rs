//! The metrics file: the whole text anew after each tick, so that a reader never sees half of it.
//!
//! The path is somebody's word, and may be that of another file, such as the session map. So only what is nothing, empty, or
//! begins as our own text does is ever replaced, and that is looked at before each time.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

use crate::daemon::worth_a_warning;
use crate::filesystem::{create_unflushed, remove_leftovers, write_unflushed};
use crate::output::escape::Escaped;
use crate::output::metrics::BEGINNING;

/// Readable for the collector, which is another user.
const MODE: u32 = 0o644;

/// Writes the file, and says when that begins to fail, and after ten times, a hundred, and so on.
#[derive(Debug, Default)]
pub(super) struct MetricsFile {
    path: Option<PathBuf>,
    /// How many times in a row it could not be written.
    failures: u32,
}

/// What is at the path, where it may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// As a crash may leave it, or somebody who made it for us.
    Empty,
    Ours,
}

impl MetricsFile {
    /// Goes on at `path`: what a daemon left there that was killed while it wrote is removed, and problems are told anew.
    pub(super) fn go_on_at(&mut self, path: Option<&Path>) {
        self.failures = 0;
        if self.path.as_deref() == path {
            return;
        }
        self.path = path.map(Path::to_owned);
        if let Some(path) = path {
            tidy(path);
        }
    }

    /// Replaces the file.
    pub(super) fn write(&mut self, text: &str) {
        let Some(path) = &self.path else { return };
        let Err(why) = replace(path, text) else {
            self.failures = 0;
            return;
        };
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 || worth_a_warning(self.failures).is_some() {
            log::warn!("the metrics are not written: {}{}", Escaped(&why), Escaped(&remedy(path)));
        }
    }
}

/// What to do where the metrics' folder is not there.
fn remedy(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    folder.map_or_else(String::new, |folder| {
        format!("; {} is no folder: make it, or give another path", folder.display())
    })
}

/// What to say of a file that `node_exporter` would not read.
pub(super) fn uncollected(path: &Path) -> Option<String> {
    let is_collected = path.extension().is_some_and(|extension| extension == "prom");
    (!is_collected).then(|| {
        format!(
            "the metrics file {} does not end in .prom: node_exporter passes over it; rename it for that",
            path.display()
        )
    })
}

/// Why nothing is written to this path, and what to do; nothing where it may be.
pub(super) fn refusal(path: &Path) -> Option<String> {
    let is_folder = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder {
        let path = path.display();
        return Some(format!(
            "{path} names a folder: give --metrics-file or daemon.metrics_file the path of a file in it"
        ));
    }
    look(path).err()
}

fn replace(path: &Path, text: &str) -> Result<(), String> {
    let text = text.as_bytes();
    let written = match look(path)? {
        // Whatever comes there in this moment stays, and is looked at the next time.
        There::Nothing => create_unflushed(path, path.file_name().unwrap_or_default(), text, MODE).map(drop),
        There::Empty | There::Ours => write_unflushed(path, text, MODE),
    };
    written.map_err(|error| error.to_string())
}

/// What is at the path.
///
/// # Errors
/// It is not ours, or that could not be found out.
fn look(path: &Path) -> Result<There, String> {
    let refused = |why: &str| {
        let remedy = "give --metrics-file or daemon.metrics_file a path of its own, or move away what is there";
        Err(format!("{} is not replaced by metrics: {why}; {remedy}", path.display()))
    };
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return refused("it is no regular file"),
        Ok(_) => {}
        // A folder that is not there, or is none, shows when it is written to.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(There::Nothing);
        }
        Err(error) => return refused(&error.to_string()),
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut start = Vec::new();
    let read = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path);
    match read.and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut start)) {
        Ok(0) => Ok(There::Empty),
        Ok(_) if start == BEGINNING.as_bytes() => Ok(There::Ours),
        Ok(_) => refused("it holds something else"),
        Err(error) => refused(&error.to_string()),
    }
}

/// Removes what a daemon left that was killed while it wrote; beside any other file such a thing is somebody else's.
fn tidy(path: &Path) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return };
    if look(path) == Ok(There::Ours)
        && let Err(error) = remove_leftovers(folder, &[name])
    {
        log::debug!("left-over temporary files stay: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE session_sweep_build_info gauge\n# EOF\n";

    fn write(path: &Path) {
        let mut file = MetricsFile::default();
        file.go_on_at(Some(path));
        file.write(TEXT);
    }

    #[test]
    fn only_nothing_an_empty_file_and_our_own_text_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.prom");
        for before in [None, Some(""), Some("# TYPE session_sweep_x gauge\nsession_sweep_x 1\n")] {
            if let Some(before) = before {
                fs_err::write(&path, before).unwrap();
            }
            assert_eq!(refusal(&path), None);
            write(&path);
            assert_eq!(fs_err::read_to_string(&path).unwrap(), TEXT);
        }
        for before in ["{}", "# TYPE session_sweep", "# TYPE node_load1 gauge\n", "\n"] {
            fs_err::write(&path, before).unwrap();
            assert!(
                refusal(&path).unwrap().contains("m.prom is not replaced by metrics: it holds something else; give")
            );
            write(&path);
            assert_eq!(fs_err::read_to_string(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_link_a_folder_and_a_pipe_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, link, pipe, inner] = ["m.prom", "link", "pipe", "inner"].map(|name| folder.path().join(name));
        fs_err::write(&ours, TEXT).unwrap();
        std::os::unix::fs::symlink(&ours, &link).unwrap();
        fs_err::create_dir(&inner).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [&link, &pipe, &inner, Path::new("/dev/null")] {
            assert!(refusal(path).unwrap().contains("it is no regular file"), "{path:?}");
            write(path);
        }
        assert!(link.is_symlink() && inner.is_dir());
        assert_eq!(fs_err::read_to_string(&ours).unwrap(), TEXT);
    }

    #[test]
    fn leftovers_go_beside_a_file_of_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.json");
        // No process has this number.
        let left = folder.path().join(".map.json.session-sweep-4194305.tmp");
        for (text, stays) in [("{}", true), ("", true), (TEXT, false)] {
            fs_err::write(&path, text).unwrap();
            fs_err::write(&left, "").unwrap();
            MetricsFile::default().go_on_at(Some(&path));
            assert_eq!(left.exists(), stays, "{text}");
        }
    }
}
