//! What sessions left on the disk: which homes there are (`homes`), what goes at once (`units`), who speaks for it (`claims`, of what
//! runs by `clis` and of what is open by `open`),
//! what becomes of it (`plan`, by `judge`), and what became of it (`apply`, with the `parts` of each item); `outlook` tells what the CLIs will delete themselves.

pub(crate) mod apply;
pub(crate) mod claims;
mod clis;
pub(crate) mod homes;
mod judge;
mod leftovers;
pub(crate) mod migrated;
mod names;
mod open;
pub(crate) mod outlook;
mod parts;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod units;

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod last_look_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod process_tests;
#[cfg(test)]
mod world;
