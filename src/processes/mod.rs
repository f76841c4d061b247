//! Processes that AI coding CLIs leave behind, and the records that tell whose they were.
//!
//! Facts come from one pass over /proc ([`table`]), from control groups ([`group`]), from who holds a process ([`parent`]) and
//! from what hooks noted of each session while it ran ([`records`], told by [`hook`]). A record is no proof by itself: it
//! outlives its process, and the number of a process is used again, so each names its process by number, start and boot.
//! [`terminate`] is the only place that ends a process. Looking writes nothing.

pub(crate) mod group;
pub(crate) mod hook;
pub(crate) mod parent;
pub(crate) mod records;
pub(crate) mod table;
pub(crate) mod terminate;
