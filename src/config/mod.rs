//! Settings: flags over environment over files over defaults, each with where it came from.
//!
//! What can be set is one table ([`setting::SETTINGS`]); the reading of files, the resolution, `config show` and
//! `docs/configuration.md` all follow it. A value that is not understood is never replaced by a default: it is a
//! [`Problem`](problem::Problem), and all problems are found in one pass.
//!
//! Below the files there is what the process janitor was told ([`janitor`]); its problems stop nobody but those who
//! follow it.
//!
//! Nothing here prints, and the process environment is read in one place ([`Environment::of_process`]).

mod artifact_values;
mod candidates;
mod dirs;
#[cfg(test)]
mod documentation;
mod environment;
mod file;
mod file_value;
mod janitor;
mod origin;
mod problem;
mod provider_keys;
mod provider_row;
mod provider_values;
mod queue_roots;
mod queue_row;
mod queue_values;
mod resolve;
mod section;
pub(crate) mod setting;
mod view;
mod write;

pub(crate) use dirs::Dirs;
pub(crate) use environment::Environment;
pub(crate) use problem::{Problems, nearest};
pub(crate) use resolve::{Config, Override, check, load};
pub(crate) use view::{CheckView, ConfigView, PathText, SetView};
pub(crate) use write::set;
