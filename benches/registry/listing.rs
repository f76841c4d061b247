//! The bare listing: every name of a folder, with or without each file's times. It answers nothing.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RawDirEntry, Statx, StatxFlags, openat, statx};

const BUFFER: usize = 256 * 1024;

/// `listing FOLDER [--stat]`: prints how many files there are and the newest change.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    let [folder, options @ ..] = &arguments[..] else { panic!("listing FOLDER [--stat]") };
    let with_times = options.iter().any(|option| option == "--stat");
    let folder = open_folder(folder.as_ref());
    let (mut files, mut newest) = (0, 0);
    each_file(&folder, |file| {
        files += 1;
        if with_times && let Some(times) = times(&folder, file) {
            newest = times.stx_ctime.tv_sec.max(newest);
        }
    });
    println!("{files} {newest}");
    ExitCode::SUCCESS
}

/// Opens a folder to be read.
pub(crate) fn open_folder(path: &Path) -> OwnedFd {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Calls `visit` for every regular file in the folder.
pub(crate) fn each_file(folder: &OwnedFd, mut visit: impl FnMut(&RawDirEntry<'_>)) {
    let mut buffer = Vec::<u8>::with_capacity(BUFFER);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.unwrap();
        if entry.file_type() == FileType::RegularFile {
            visit(&entry);
        }
    }
}

/// When this file's content and when anything about it last changed.
pub(crate) fn times(folder: &OwnedFd, file: &RawDirEntry<'_>) -> Option<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
    statx(folder, file.file_name(), flags, StatxFlags::MTIME | StatxFlags::CTIME).ok()
}
