//! Which files in folders that everybody may write are safe to work with.
//!
//! In such a folder another user can put a file of ours aside and his own in its place, unless the folder is sticky and
//! its owner cannot be that user. Folders that only their owner and group may write are that owner's business.

use rustix::fs::Stat;

const EVERYBODY_WRITES: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The owner and the mode of the folder that holds a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folder {
    /// The user it belongs to.
    pub(super) uid: u32,
    /// Its permission bits.
    pub(super) mode: u32,
}

impl From<&Stat> for Folder {
    fn from(stat: &Stat) -> Self {
        Self { uid: stat.st_uid, mode: stat.st_mode }
    }
}

impl Folder {
    /// Whether users other than the owner and the group may write it.
    pub(super) fn everybody_writes(self) -> bool {
        self.mode & EVERYBODY_WRITES != 0
    }
}

/// Why a file is not touched: a sentence about it, or nothing when `us` (the effective user) may go ahead.
pub(super) fn objection(folder: Folder, file_uid: u32, us: u32) -> Option<&'static str> {
    if !folder.everybody_writes() {
        None
    } else if file_uid != us {
        Some("it belongs to another user, in a folder that everybody may write")
    } else if folder.uid == us || (folder.uid == 0 && folder.mode & STICKY != 0) {
        None
    } else {
        Some("everybody may write its folder, which belongs to another user")
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, objection};

    #[test]
    fn only_our_own_files_in_folders_nobody_can_play_with_are_trusted() {
        const US: u32 = 1000;
        const THEM: u32 = 1001;
        // (folder's owner, folder's mode, file's owner, us, trusted)
        let table = [
            (US, 0o755, US, US, true),
            (US, 0o755, THEM, US, true),
            (THEM, 0o755, US, US, true),
            (THEM, 0o775, THEM, US, true),
            (THEM, 0o755, THEM, 0, true),
            (0, 0o1777, US, US, true),
            (0, 0o1777, THEM, US, false),
            (0, 0o1777, 0, US, false),
            (0, 0o1777, US, 0, false),
            (0, 0o1777, 0, 0, true),
            (0, 0o777, US, US, false),
            (0, 0o777, 0, 0, true),
            (US, 0o777, US, US, true),
            (US, 0o777, THEM, US, false),
            (US, 0o1777, US, US, true),
            (THEM, 0o777, US, US, false),
            (THEM, 0o1777, US, US, false),
            (THEM, 0o1777, 0, 0, false),
        ];
        for (uid, mode, file, us, trusted) in table {
            let folder = Folder { uid, mode };
            assert_eq!(objection(folder, file, us).is_none(), trusted, "{folder:?}, file of {file}, we are {us}");
        }
    }
}
