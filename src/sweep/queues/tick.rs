//! One tick over an installation: what the one before saw, the plan, what is done of it, and what the next one is to know.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::applied::Applied;
use super::plan::Plan;
use super::survey::{Extent, Scene};
use crate::filesystem::{Lock, LockPolicy, lock_folder, make_folder};
use crate::queues::memory::Memory;

impl Scene<'_> {
    /// Plans one tick; where there is a lock to take for it, and no host that does it, does it, too. `state` is the folder of
    /// this program's own state.
    ///
    /// # Errors
    /// Another tick of this installation runs, or which sessions there are cannot be read.
    pub(crate) fn tick(&self, state: &Path, lock: Option<LockPolicy<'_>>) -> Result<(Plan, Option<Applied>)> {
        let path = Memory::path(state, self.slug());
        let Some(lock) = lock else {
            return Ok((self.plan(Extent::Changed, &mut Memory::read(&path, self.root()))?, None));
        };
        let folder = path.parent().context("the state folder has no parent")?;
        make_folder(folder)?;
        let _here = Lock::take(&folder.join(format!("{}.lock", self.slug())), lock)?;
        // Another user's run has its state elsewhere.
        let _everywhere = lock_folder(self.root(), lock)?;
        let before = Memory::read(&path, self.root());
        let mut memory = before.clone();
        let plan = self.plan(Extent::Changed, &mut memory)?;
        let applied = plan.hands_off.is_none().then(|| self.apply(&plan, &mut memory));
        if memory != before
            && let Err(error) = memory.write(&path)
        {
            // The work is done; the next tick looks at everything again.
            log::warn!("{error:#}");
        }
        Ok((plan, applied))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::super::world::World;
    use super::*;

    fn policy() -> LockPolicy<'static> {
        LockPolicy {
            wait: None,
            program: "session-sweep queues sweep",
            now: Utc::now(),
            on_wait: |_| {},
            in_an_item: false,
        }
    }

    #[test]
    fn a_tick_with_its_state_elsewhere_is_not_run_beside() {
        let world = World::with_claim();
        let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let scene = world.scene();
        let other = lock_folder(scene.root(), policy()).unwrap();
        for state in [&here, &elsewhere] {
            let why = scene.tick(state.path(), Some(policy())).unwrap_err();
            assert!(why.to_string().contains("is locked by an unknown process"), "{why:#}");
        }
        assert_eq!(world.state(), (0, true));
        assert!(
            scene.tick(here.path(), None).is_ok_and(|(_, applied)| applied.is_none()),
            "a preview waits for nobody"
        );
        drop(other);
        scene.tick(here.path(), Some(policy())).unwrap();
        assert_eq!(world.state(), (1, false));
    }
}
