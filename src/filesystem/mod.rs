//! Locks, snapshots and replacements of files: the only place that deletes or renames.
//!
//! A file that others write too is read as a [`Snapshot`], changed by writing a [`Prepared`] file beside it, and
//! replaced by committing that: killed at any instruction, its path names the complete old or the complete new content,
//! and no change that another program made in the meantime is lost. Runs of this program exclude each other by a
//! [`Lock`]. Nothing here knows a word of the domain.

mod append;
mod error;
mod held;
mod journal;
mod lease;
mod lock;
mod names;
mod own;
pub(crate) mod proc;
mod put_back;
mod regular;
mod remove;
mod remove_folder;
mod replace;
mod sidecar;
mod snapshot;
mod temporary;
mod trust;
mod update;
pub(crate) mod walk;
mod writable;

pub(crate) use append::{PendingAppend, append};
pub(crate) use error::{FileError, ReplaceError};
pub(crate) use held::{LockState, look_at_lock};
pub(crate) use journal::{log_line, make_folder};
pub(crate) use lock::{Lock, LockError, LockPolicy, lock_folder};
pub(crate) use own::{Created, create, create_filled, create_unflushed, write_own, write_unflushed};
pub(crate) use put_back::{Attributes, Place, PutBack, folder_for, place_of, put_back, set_folder};
pub(crate) use regular::read_regular;
pub(crate) use remove::remove_file;
pub(crate) use remove::{remove_empty_folder, remove_name, remove_unchanged};
pub(crate) use remove_folder::{FolderRemoval, remove_folder, remove_unfinished_folder};
pub(crate) use replace::{HOLD, Prepared, Replaced};
pub(crate) use snapshot::{Snapshot, SnapshotError};
pub(crate) use temporary::{discard_leftovers, has_leftovers, remove_leftovers};
pub(crate) use update::{Decision, UpdateError, changes_after, update};
pub(crate) use writable::{FolderObjection, folder_objection, folder_obstacle, obstacle, removal_obstacle};
