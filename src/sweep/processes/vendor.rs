//! What the vendors' own files, and its open files, say of one process.

use std::path::PathBuf;

use super::candidates::Candidate;
use super::facts::{Environs, Inspector};
use crate::config::{Dirs, Environment};
use crate::policy::orphan::Vendor;
use crate::providers::live::{NamedProcess, NamedProcesses, Role, Standing};
use crate::providers::row::{Home, LiveRule, Part};

impl Inspector<'_> {
    /// What the vendors' own files say of a process.
    pub(super) fn vendor(&self, candidate: &Candidate<'_>, provider: Option<usize>, environment: &Environs) -> Vendor {
        let pid = candidate.process.pid;
        let (elsewhere, mut doubt) = self.named_elsewhere(candidate, environment);
        for (place, named) in self.survey.named.iter().chain(&elsewhere).filter(|(_, named)| named.pid == pid) {
            let provider = &self.scene.catalogue.at(*place).provider.name;
            match (&named.standing, named.role) {
                (Standing::Gone, _) => {}
                (Standing::Unverifiable(why), _) => {
                    doubt = Some(format!("{provider} names it in {}: {why}", named.path.display()));
                }
                (Standing::Live, Role::Worker { daemon, daemon_alive: true }) => return Vendor::Worker { daemon },
                (Standing::Live, Role::Worker { daemon, daemon_alive: false }) => {
                    doubt =
                        Some(format!("it is a worker of {provider}'s daemon {daemon}, whose next one takes it over"));
                }
                (Standing::Live, Role::Daemon) => return Vendor::Live(format!("it is {provider}'s daemon")),
                (Standing::Live, Role::Session) => {
                    let session =
                        named.session.as_deref().map_or_else(String::new, |session| format!(", session {session}"));
                    return Vendor::Live(format!("{provider} has it among its own live processes{session}"));
                }
            }
        }
        match self.open_transcript(candidate, environment) {
            Some(Ok(open)) => return Vendor::Live(open),
            Some(Err(why)) => doubt = Some(why),
            None => {}
        }
        let unread = provider.and_then(|place| {
            let provider = &self.scene.catalogue.at(place).provider.name;
            let why = self.survey.vendor_errors.get(&place)?;
            Some(format!("{provider}'s own list of live processes cannot be read: {why}"))
        });
        doubt.or(unread).map_or(Vendor::Silent, Vendor::Unknown)
    }

    /// What a CLI's own files say where that keeps them elsewhere than this run's environment has it, and what of them could
    /// not be read.
    fn named_elsewhere(
        &self,
        candidate: &Candidate<'_>,
        environment: &Environs,
    ) -> (Vec<(usize, NamedProcess)>, Option<String>) {
        let Some(likeness) = candidate.likeness.filter(|_| candidate.is(Part::Cli)) else { return (Vec::new(), None) };
        let row = self.scene.catalogue.at(likeness.provider);
        let home = row.provider.live_home.as_ref().unwrap_or(&row.provider.home);
        let home = home_by(home, environment).filter(|home| *home != row.live_home);
        let Some(home) = home else { return (Vec::new(), None) };
        let found = NamedProcesses::gather(&row.provider, &home, self.scene.proc);
        let named = found.processes.into_iter().map(|named| (likeness.provider, named));
        (named.collect(), found.errors.into_iter().next())
    }

    /// The transcript that a CLI holds open, where its provider's do.
    fn open_transcript(&self, candidate: &Candidate<'_>, environment: &Environs) -> Option<Result<String, String>> {
        let likeness = candidate.likeness.filter(|_| candidate.is(Part::Cli))?;
        let row = self.scene.catalogue.at(likeness.provider);
        if !row.provider.live.contains(&LiveRule::OpenTranscript) {
            return None;
        }
        let homes = [Some(row.home.clone()), home_by(&row.provider.home, environment)];
        let real = |home: PathBuf| home.canonicalize().unwrap_or(home);
        let homes: Vec<PathBuf> = homes.into_iter().flatten().map(real).collect();
        let mut found = None;
        let looked = self.scene.proc.open_files(candidate.process.pid, |file| {
            let path = file.path();
            if homes.iter().any(|home| path.starts_with(home))
                && path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json")
            {
                found = Some(format!("it has a session open: {}", path.display()));
            }
        });
        match looked {
            Err(error) => Some(Err(format!("whether it has a session open cannot be told: {error}"))),
            Ok(_) => found.map(Ok),
        }
    }
}

/// Where a process with this environment has a home; nothing where it does not say.
fn home_by(home: &Home, environment: &Environs) -> Option<PathBuf> {
    let text = |variable: &Vec<u8>| {
        let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let own: Environment = environment.as_deref().unwrap_or_default().iter().filter_map(text).collect();
    Some(Dirs::find(&own).ok()?.provider_home(home, &own))
}
