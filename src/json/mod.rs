//! Edits of a JSON text that somebody else owns: what is changed, put in or cut out, every other byte stays as it is.

mod edited;
mod layout;
mod members;
mod object;

pub(crate) use edited::{Edited, JSON_SPACE, Run, leading_space, next_sibling};
pub(crate) use layout::Layout;
pub(crate) use members::{Members, Text};
pub(crate) use object::{MemberChange, Object, ObjectError};
