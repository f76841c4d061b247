//! The sessions that somebody ended on purpose, for the loops that beat for them: what a clean-up ends they bring back.

use std::path::PathBuf;

use rustc_hash::FxHashSet;

use super::{Held, Registry, RegistryError};
use crate::filesystem::{make_folder, read_regular, write_unflushed};
use crate::policy::session_number::SessionNumber;

const LARGEST: u64 = 1024 * 1024;
pub(super) const RELEASED_FILE: &str = "released.json";

impl Registry {
    fn released_path(&self) -> PathBuf {
        self.own_folder().join(RELEASED_FILE)
    }

    fn released(&self) -> FxHashSet<u32> {
        let text = read_regular(&self.released_path(), LARGEST).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Whether a session was released and gave no sign of life since.
    pub(crate) fn is_released(&self, number: SessionNumber) -> bool {
        self.released().contains(&number.get())
    }
}

impl Held<'_> {
    /// Notes that a session was released.
    pub(crate) fn note_released(&self, number: SessionNumber) -> Result<(), RegistryError> {
        let mut released = self.registry().released();
        if released.insert(number.get()) { self.store_released(&released) } else { Ok(()) }
    }

    /// Notes that a session lives (again).
    pub(crate) fn note_alive(&self, number: SessionNumber) -> Result<(), RegistryError> {
        let mut released = self.registry().released();
        if released.remove(&number.get()) { self.store_released(&released) } else { Ok(()) }
    }

    fn store_released(&self, released: &FxHashSet<u32>) -> Result<(), RegistryError> {
        make_folder(&self.registry().own_folder()).map_err(|error| RegistryError::Write(error.into()))?;
        let text = serde_json::to_vec(released).map_err(|error| RegistryError::Write(error.into()))?;
        write_unflushed(&self.registry().released_path(), &text, 0o600)
            .map_err(|error| RegistryError::Write(error.into()))
    }
}
