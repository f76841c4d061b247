//! What all benchmarks share: their options, how a run is measured, in what order the contenders run, and the tables.
//!
//! What a benchmark compares, on which files, and which answer is right is its own.

#[allow(dead_code, reason = "not every benchmark counts them")]
pub(crate) mod calls;
pub(crate) mod measure;
#[allow(dead_code, reason = "each benchmark reads its own part of the options")]
pub(crate) mod options;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod report;
pub(crate) mod rounds;
#[allow(dead_code, reason = "what is generated is not always on the disk")]
pub(crate) mod scratch;
