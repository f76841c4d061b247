//! Processes that AI coding CLIs leave behind.
//!
//! Facts come from one pass over /proc ([`table`]), from the control groups ([`group`]) and from the records that
//! process-janitor's hooks and ours keep; [`terminate`] is the only place that ends a process. Promises: a process is its
//! number and its start; a name ends nobody; looking writes nothing.

pub(crate) mod group;
pub(crate) mod parent;
pub(crate) mod table;
pub(crate) mod terminate;
