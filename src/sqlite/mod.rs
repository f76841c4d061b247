//! SQLite databases of other programs, as a guest: nothing is created beside them, no journal mode is changed, and what
//! is in them can neither run code nor keep us for ever.

mod access;
mod guest;
mod schema;

pub(crate) use access::{Reader, beside};
pub(crate) use guest::{
    LONGEST_HOLD, Trouble, begin_writing, is_of_statement, open_untrusted, roll_back, text_of, trouble,
};
