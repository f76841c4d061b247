//! The floor: list every folder, look at every file, on one thread, with the calls that the kernel needs least of.
//!
//! It adds up sizes and takes the newest time. It decides nothing: no kinds, no sessions, no ages. Each folder is opened from
//! the one above, so that no path is longer than a name.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};

const BUFFER: usize = 256 * 1024;

/// `floor TREE`: prints how many files there are, how many bytes they hold, and the newest change.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let tree = arguments.next().expect("floor TREE");
    let mut walk = Walk { buffer: Vec::with_capacity(BUFFER), files: 0, bytes: 0, newest: 0 };
    walk.folder(&open(CWD, &tree));
    println!("{} {} {}", walk.files, walk.bytes, walk.newest);
    ExitCode::SUCCESS
}

struct Walk {
    buffer: Vec<u8>,
    files: u64,
    bytes: u64,
    newest: i64,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd) {
        let mut below: Vec<CString> = Vec::new();
        // Files are looked at where the listing lies in the buffer; folders need that for themselves.
        let mut entries = RawDir::new(folder, self.buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => below.push(name.to_owned()),
                FileType::RegularFile => {
                    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
                    let stat = statx(folder, name, flags, StatxFlags::BASIC_STATS).unwrap();
                    self.files += 1;
                    self.bytes += stat.stx_size;
                    self.newest = self.newest.max(stat.stx_mtime.tv_sec);
                }
                _ => {}
            }
        }
        for name in below {
            self.folder(&open(folder.as_fd(), &name));
        }
    }
}

fn open(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> OwnedFd {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).unwrap()
}
