//! The floor: every process's line is read once, and nobody looks at it.
//!
//! One listing of /proc, then open, read and close for each process. No parsing, no tree, no records, no answer.

use std::fmt::Write as _;
use std::process::ExitCode;

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, openat};
use rustix::io::read;

/// Prints how many lines there were, and how long they are together.
pub(crate) fn main() -> ExitCode {
    let (count, bytes) = read_all();
    println!("{count} {bytes}");
    ExitCode::SUCCESS
}

/// How many processes there are now.
pub(crate) fn count() -> usize {
    read_all().0
}

fn read_all() -> (usize, usize) {
    let proc = openat(CWD, c"/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let mut listing = Vec::<u8>::with_capacity(32 * 1024);
    let mut entries = RawDir::new(&proc, listing.spare_capacity_mut());
    let (mut count, mut bytes) = (0, 0);
    let mut path = String::new();
    let mut line = [0; 1024];
    while let Some(entry) = entries.next() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_bytes();
        if entry.file_type() != FileType::Directory || !name[0].is_ascii_digit() {
            continue;
        }
        path.clear();
        write!(path, "{}/stat", str::from_utf8(name).unwrap()).unwrap();
        // Who has ended since is none.
        let Ok(file) = openat(&proc, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { continue };
        if let Ok(length) = read(&file, &mut line) {
            count += 1;
            bytes += length;
        }
    }
    (count, bytes)
}
