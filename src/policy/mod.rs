//! Pure decisions: facts, thresholds and an instant in, a verdict with its reason out. No I/O and no clock.

pub(crate) mod artifact;
pub(crate) mod bridge_url;
pub(crate) mod byte_size;
pub(crate) mod choices;
pub(crate) mod duration;
pub(crate) mod heartbeat;
pub(crate) mod mapping;
pub(crate) mod orphan;
pub(crate) mod path_pattern;
pub(crate) mod process_pattern;
pub(crate) mod queue;
pub(crate) mod recurrence;
pub(crate) mod session_id;
pub(crate) mod session_number;
pub(crate) mod session_record;
pub(crate) mod shell;
pub(crate) mod timestamp;
pub(crate) mod zone;

#[cfg(test)]
mod documentation;
