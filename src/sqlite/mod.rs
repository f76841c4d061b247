//! SQLite databases of other programs, as a guest: nothing is created beside them, no journal mode is changed, and what
//! is in them can neither run code nor keep us for ever.

mod access;
mod guest;

pub(crate) use access::{Reader, beside};
pub(crate) use guest::{Trouble, open_untrusted, open_writer, roll_back, trouble};
