//! The clean-up: which sessions have ended without saying so, and which heartbeats nobody needs any more.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::beats::{Beats, Superseded};
use super::roster::Roster;
use super::survey::{Survey, Surveyed};
use super::{Held, Registry, RegistryError};
use crate::filesystem::{make_folder, read_regular, write_unflushed};
use crate::interrupt;
use crate::policy::heartbeat::{Clocks, Liveness, is_mass, jump};
use crate::policy::session_number::SessionNumber;

/// The clocks of the last clean-up.
pub(super) const CLOCK_FILE: &str = "clock.json";

/// How to clean up.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Without a sign of life for longer than this a session has ended; `None`: no session has.
    pub(crate) timeout: Option<Duration>,
    /// How old superseded heartbeats get; `None`: they stay.
    pub(crate) prune: Option<Duration>,
    /// Also after the clock was put forward.
    pub(crate) force: bool,
    /// It is done on the way to something else: a hold stays for the next clean-up that was asked for.
    pub(crate) is_by_the_way: bool,
    /// This session is the one that asks, so it lives.
    pub(crate) spare: Option<SessionNumber>,
    pub(crate) now: DateTime<Utc>,
    /// This run's clocks, where they can be read.
    pub(crate) clocks: Option<Clocks>,
}

/// What is to be done, and why.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) survey: Survey,
    /// Why nothing goes in this run.
    pub(crate) held: Option<String>,
    /// The sessions that go, in the order of their numbers.
    pub(crate) going: Vec<SessionNumber>,
    /// The heartbeats that go.
    pub(crate) superseded: Vec<Superseded>,
    beats: Beats,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Cleaned {
    pub(crate) plan: Plan,
    /// How many heartbeats were removed.
    pub(crate) removed: usize,
    /// What could not be removed or noted.
    pub(crate) problems: Vec<String>,
}

impl Plan {
    /// Looks and decides.
    pub(crate) fn make(folder: &Path, roster: &Roster<'_>, rules: &Rules, last: Option<&Clocks>) -> Self {
        let (survey, beats) = Survey::take(folder, roster, rules.timeout, rules.now);
        let is_going = |session: &&Surveyed| session.liveness == Liveness::Stale && rules.spare != Some(session.number);
        let stale: Vec<SessionNumber> = survey.sessions.iter().filter(is_going).map(|session| session.number).collect();
        let jumped = |limit| last.zip(rules.clocks.as_ref()).and_then(|(last, now)| jump(last, now, limit));
        let active = survey.sessions.iter().filter(|session| session.status.as_deref() == Some("active")).count();
        let held = jumped(rules.timeout).filter(|_| !rules.force && is_mass(stale.len(), active)).map(|jumped| {
            format!(
                "the clock went {} minutes further than the machine ran since the last clean-up, and {} of {active} active \
                 sessions would go at once; the next clean-up goes on, --force does it now",
                jumped.num_minutes(),
                stale.len(),
            )
        });
        let going = if held.is_some() { Vec::new() } else { stale };
        // By a clock that has just jumped every heartbeat is old.
        let superseded = match jumped(rules.prune) {
            Some(_) if !rules.force => Vec::new(),
            _ => beats.superseded(rules.prune, rules.now),
        };
        Self { survey, held, going, superseded, beats }
    }

    /// Whether a session goes.
    pub(crate) fn goes(&self, number: SessionNumber) -> bool {
        self.going.contains(&number)
    }
}

impl Registry {
    /// What a clean-up would do; read-only.
    pub(crate) fn plan(&self, rules: &Rules) -> Result<Plan, RegistryError> {
        let last = self.last_clocks();
        self.read(|roster| Plan::make(&self.beats_folder(), roster, rules, last.as_ref()))
    }

    fn clocks_path(&self) -> std::path::PathBuf {
        self.own_folder().join(CLOCK_FILE)
    }

    /// The clocks of the last clean-up. What cannot be read is not known: nothing is held then.
    fn last_clocks(&self) -> Option<Clocks> {
        let text = read_regular(&self.clocks_path(), 4096).ok()?;
        serde_json::from_slice::<NotedClocks>(&text).ok().map(Clocks::from)
    }

    fn note_clocks(&self, clocks: &Clocks) -> Result<()> {
        let path = self.clocks_path();
        make_folder(&self.own_folder())?;
        let text = serde_json::to_vec(&NotedClocks::from(clocks))?;
        write_unflushed(&path, &text, 0o600).with_context(|| "the time of this clean-up is not noted".to_owned())
    }
}

impl Held<'_> {
    /// Cleans up: decides on the present text and on what the heartbeats say by then.
    pub(crate) fn clean_up(&self, rules: &Rules) -> Result<Cleaned, RegistryError> {
        const LOOKS: usize = 5;
        let registry = self.registry;
        let last = registry.last_clocks();
        let mut made = None;
        self.update(|roster| {
            let mut plan = Plan::make(&registry.beats_folder(), roster, rules, last.as_ref());
            for _ in 1..LOOKS {
                if plan.beats.is_current() {
                    break;
                }
                // Somebody has just come to life.
                plan = Plan::make(&registry.beats_folder(), roster, rules, last.as_ref());
            }
            let edited = (!plan.going.is_empty()).then(|| roster.ended(&plan.going, rules.now));
            made = Some(plan);
            Ok(edited)
        })?;
        let Some(plan) = made else { return Err(RegistryError::Missing(registry.path())) };
        let (removed, mut problems) = remove_all(&plan.superseded, |beat| plan.beats.remove(beat));
        problems.extend(self.forget_gone(rules.now).err().map(|error| error.to_string()));
        let clocks = rules.clocks.as_ref().filter(|_| plan.held.is_none() || !rules.is_by_the_way);
        if let Some(Err(error)) = clocks.map(|clocks| registry.note_clocks(clocks)) {
            // It is only what shows a jump of the clock the next time.
            log::warn!("{error:#}");
        }
        Ok(Cleaned { plan, removed, problems })
    }
}

/// Removes one heartbeat after the other: how many, and what went wrong or was not come to.
fn remove_all<B: Copy>(beats: &[B], mut remove: impl FnMut(B) -> Result<bool, String>) -> (usize, Vec<String>) {
    let (mut removed, mut problems) = (0, Vec::new());
    for (done, beat) in beats.iter().enumerate() {
        if interrupt::asked() {
            problems.push(format!("{} superseded heartbeats stay: {}", beats.len() - done, interrupt::LEFT_REST));
            break;
        }
        match remove(*beat) {
            Ok(done) => removed += usize::from(done),
            Err(error) => problems.push(error),
        }
    }
    (removed, problems)
}

/// [`Clocks`] as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct NotedClocks {
    wall: DateTime<Utc>,
    since_boot_seconds: f64,
    boot_id: String,
}

impl From<&Clocks> for NotedClocks {
    fn from(clocks: &Clocks) -> Self {
        let Clocks { wall, since_boot, boot_id } = clocks.clone();
        Self { wall, since_boot_seconds: since_boot.as_secs_f64(), boot_id }
    }
}

impl From<NotedClocks> for Clocks {
    fn from(noted: NotedClocks) -> Self {
        let since_boot = Duration::try_from_secs_f64(noted.since_boot_seconds).unwrap_or_default();
        Self { wall: noted.wall, since_boot, boot_id: noted.boot_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_that_were_not_come_to_are_told() {
        let ask_at_the_second = |beat| {
            if beat == 2 {
                interrupt::ask_in_test();
            }
            Ok(true)
        };
        let (removed, problems) = remove_all(&[1, 2, 3, 4, 5], ask_at_the_second);
        assert_eq!(removed, 2);
        assert_eq!(problems, ["3 superseded heartbeats stay: the daemon was asked to end before them"]);
    }
}
