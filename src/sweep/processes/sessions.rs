//! Of which session a process is, and what became of the process that stands for that.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::candidates::Candidate;
use super::facts::{Environs, Inspector, variable};
use super::survey::{Scene, Survey, ago};
use crate::filesystem::proc::{Proc, Stat};
use crate::policy::orphan::{Heartbeat, Owner, Session};
use crate::processes::records::{Record, Source, Time};
use crate::providers::live::{NamedProcess, Standing};
use crate::providers::row::Part;

/// How exactly the kernel tells when the machine started.
const START_TOLERANCE: chrono::TimeDelta = chrono::TimeDelta::seconds(2);

impl Inspector<'_> {
    /// The session of a process that decides: that of which it is the CLI, else those of the CLIs that started it. All their
    /// ids besides, also where nothing is known of them.
    pub(super) fn session_of(
        &self,
        candidate: &Candidate<'_>,
        environment: &Environs,
    ) -> (Option<Session>, Vec<String>) {
        let process = candidate.process;
        if let Some(place) = self.tracked.get(&process.pid) {
            let session = tracked(&self.survey.records[*place], Owner::Itself, self.scene);
            let id = session.id.clone();
            return (Some(session), vec![id]);
        }
        let is_own = |named: &NamedProcess| named.pid == process.pid && named.standing == Standing::Live;
        let of_vendors = self.survey.named.iter().filter(|(_, named)| is_own(named));
        let own: Vec<String> = of_vendors.filter_map(|(_, named)| named.session.clone()).collect();
        let environment = match environment {
            Ok(environment) => environment,
            Err(why) => {
                let owner = Owner::Unknown(format!("its environment cannot be read: {why}"));
                return (Some(Session { id: String::new(), owner, heartbeat: None, is_completed: false }), own);
            }
        };
        let names = self.scene.catalogue.iter().flat_map(|row| &row.provider.processes.session_variables);
        let started_in: Vec<String> = names.filter_map(|name| variable(environment, name)).collect();
        let session = if own.is_empty() && started_in.is_empty() {
            by_leader(process, self.scene, self.survey)
        } else {
            deciding(&started_in, self.scene, self.survey)
        };
        // That the session is over in which a CLI was started says nothing of its own.
        let session = session
            .filter(|session| !candidate.is(Part::Cli) || matches!(session.owner, Owner::Runs(_) | Owner::Unknown(_)));
        let first = session.as_ref().filter(|_| own.is_empty()).map(|session| session.id.clone());
        let mut ids: Vec<String> = first.into_iter().chain(own).chain(started_in).collect();
        let mut seen = FxHashSet::default();
        ids.retain(|id| seen.insert(id.clone()));
        (session, ids)
    }
}

/// Of the sessions in which something was started the one that decides. What a CLI started inside another one's session is
/// both's: all of them must be over.
fn deciding(ids: &[String], scene: &Scene<'_>, survey: &Survey) -> Option<Session> {
    let looked: Vec<Option<Session>> = ids.iter().map(|id| by_id(id, scene, survey)).collect();
    let first = looked.iter().flatten().next()?;
    let doubt = looked.contains(&None).then(|| {
        let owner = Owner::Unknown("it is of another session, too, of which nothing is known".to_owned());
        Session { owner, ..first.clone() }
    });
    looked.into_iter().flatten().chain(doubt).max_by_key(|session| match &session.owner {
        Owner::Runs(_) => 3,
        Owner::Unknown(_) => 2,
        Owner::Itself | Owner::Ends(_) => 1,
        Owner::Gone(_) | Owner::Reused(_) => 0,
    })
}

/// What became of the process that a record names.
pub(super) fn owner_of(record: &Record, scene: &Scene<'_>, survey: &Survey) -> Owner {
    let here = scene.here;
    if let Some(doubt) = &record.doubt {
        return Owner::Unknown(doubt.clone());
    }
    match (&record.hostname, &here.host) {
        (Some(host), Some(own)) if host == own => {}
        (Some(host), _) => return Owner::Unknown(format!("it was recorded on the host {host}")),
        (None, _) => return Owner::Unknown("its record does not say on which host it is".to_owned()),
    }
    if record.machine_id.as_ref().zip(here.machine_id.as_ref()).is_some_and(|(written, own)| written != own) {
        return Owner::Unknown("it was recorded on another machine of this name".to_owned());
    }
    let Some(pid) = record.pid else { return Owner::Unknown("its record names no process".to_owned()) };
    let process = survey.table.get(pid).filter(|process| process.runs());
    let Some(mark) = &record.process else { return owner_without_mark(record, pid, scene, process.is_some()) };
    match &here.boot_id {
        None => return Owner::Unknown("this machine's boot id cannot be read".to_owned()),
        Some(own) if *own != mark.boot_id => return Owner::Gone(pid),
        Some(_) => {}
    }
    if mark.pid_namespace.zip(here.namespace).is_some_and(|(written, own)| written != own) {
        return Owner::Unknown("it was recorded in another container".to_owned());
    }
    match process {
        Some(process) if process.start_ticks == mark.start_ticks => Owner::Runs(pid),
        Some(_) => Owner::Reused(pid),
        None if Proc::is_hidden(pid) => Owner::Unknown(format!("process {pid} cannot be seen")),
        None => Owner::Gone(pid),
    }
}

/// What process-janitor's own hooks wrote: a number, and when the hook ran.
fn owner_without_mark(record: &Record, pid: u32, scene: &Scene<'_>, runs: bool) -> Owner {
    if !runs {
        return if Proc::is_hidden(pid) {
            Owner::Unknown(format!("process {pid} cannot be seen"))
        } else {
            Owner::Gone(pid)
        };
    }
    let (Some(written), Ok(Some(started))) = (record.start_time.at(), scene.proc.start_time(pid)) else {
        return Owner::Unknown(format!("process {pid} runs, and its record does not say since when it should"));
    };
    if started.signed_duration_since(written) > START_TOLERANCE {
        return Owner::Reused(pid);
    }
    Owner::Unknown(format!("process {pid} runs, and its record does not tell it from others of this number"))
}

/// When a tracked session gave its last sign of life.
pub(super) fn heartbeat_of(record: &Record, scene: &Scene<'_>) -> Heartbeat {
    if record.source == Source::Registry {
        return Heartbeat::Unknown("its record is gone but for the registration".to_owned());
    }
    let time = match &record.last_heartbeat {
        Time::Absent => &record.start_time,
        time => time,
    };
    match time {
        Time::At(time) => ago(*time, scene.now).map_or_else(Heartbeat::Unknown, Heartbeat::Ago),
        Time::Absent => Heartbeat::Unknown("its record has none".to_owned()),
        Time::Unreadable(text) => Heartbeat::Unknown(format!("{text:?} is no time")),
    }
}

/// Whether the last sign of life of a tracked session is recent, or cannot be told.
pub(super) fn may_be_alive(record: &Record, scene: &Scene<'_>) -> bool {
    match heartbeat_of(record, scene) {
        Heartbeat::Ago(ago) => ago <= scene.settings.stale,
        Heartbeat::Unknown(_) => true,
    }
}

/// How long ago a session began.
pub(super) fn age_of(record: &Record, scene: &Scene<'_>) -> Option<Duration> {
    record.start_time.at().and_then(|time| ago(time, scene.now).ok())
}

/// How long ago a completed session ended.
pub(super) fn completed_for(record: &Record, scene: &Scene<'_>) -> Option<Result<Duration, String>> {
    record.is_completed().then(|| match &record.end_time {
        Time::At(time) => ago(*time, scene.now),
        Time::Absent => Err("its record does not say".to_owned()),
        Time::Unreadable(text) => Err(format!("{text:?} is no time")),
    })
}

/// A tracked session as its record has it.
pub(super) fn tracked(record: &Record, owner: Owner, scene: &Scene<'_>) -> Session {
    let is_ending = scene.ending == Some(&record.session_id);
    Session {
        id: record.session_id.as_str().to_owned(),
        owner: match owner {
            Owner::Runs(pid) if is_ending => Owner::Ends(pid),
            // The number is that of the hook's own shell, which ends at once, whatever the session does.
            Owner::Gone(pid) | Owner::Reused(pid) if record.process.is_none() => {
                Owner::Unknown(format!("its record names process {pid}, a hook's, and not the CLI"))
            }
            owner => owner,
        },
        heartbeat: Some(heartbeat_of(record, scene)),
        is_completed: record.is_completed() || is_ending,
    }
}

/// A session by its id: as its record has it, else as the CLI's own record of the process has.
pub(super) fn by_id(id: &str, scene: &Scene<'_>, survey: &Survey) -> Option<Session> {
    if let Some(record) = survey.record(id) {
        let session = tracked(record, owner_of(record, scene, survey), scene);
        // A session that goes on in another process, a daemon's worker for one, is told by the CLI itself.
        let itself = matches!(session.owner, Owner::Runs(_) | Owner::Ends(_)).then_some(record.pid).flatten();
        return Some(match vendor_owner(id, itself, survey) {
            Some(owner @ Owner::Runs(_)) => Session { owner, ..session },
            Some(owner @ Owner::Unknown(_)) if is_over(&session.owner) => Session { owner, ..session },
            _ => session,
        });
    }
    let owner = vendor_owner(id, None, survey)?;
    Some(Session { id: id.to_owned(), owner, heartbeat: None, is_completed: false })
}

/// The session whose CLI leads or led the process group or the terminal session of a process. The kernel gives a number to
/// nobody else as long as it leads somebody. That the CLI is gone counts only where both lived when it gave its last sign of
/// life.
pub(super) fn by_leader(process: &Stat, scene: &Scene<'_>, survey: &Survey) -> Option<Session> {
    let leads = |record: &&Record| record.pid.is_some_and(|pid| pid == process.session || pid == process.group);
    let age = scene.here.age(process.start_ticks)?;
    survey.records.iter().filter(leads).find_map(|record| {
        let mark = record.process.as_ref().filter(|mark| mark.start_ticks <= process.start_ticks)?;
        let is_of_this_boot = scene.here.boot_id.as_ref() == Some(&mark.boot_id);
        let owner = owner_of(record, scene, survey);
        let lived = matches!(heartbeat_of(record, scene), Heartbeat::Ago(ago) if ago <= age);
        let counts = match owner {
            Owner::Gone(_) => lived,
            Owner::Runs(_) | Owner::Unknown(_) => true,
            Owner::Itself | Owner::Ends(_) | Owner::Reused(_) => false,
        };
        (is_of_this_boot && counts).then(|| tracked(record, owner, scene))
    })
}

const fn is_over(owner: &Owner) -> bool {
    matches!(owner, Owner::Gone(_) | Owner::Reused(_) | Owner::Ends(_))
}

/// What became of a session's process by the vendors' files; of another one than `known`, whose record runs.
fn vendor_owner(id: &str, known: Option<u32>, survey: &Survey) -> Option<Owner> {
    let is_of_session =
        |named: &NamedProcess| named.session.as_deref() == Some(id) && known.is_none_or(|known| known != named.pid);
    let of_session = survey.named.iter().filter(|(_, named)| is_of_session(named));
    let owners = of_session.map(|(_, named)| match &named.standing {
        Standing::Live => Owner::Runs(named.pid),
        Standing::Gone => Owner::Gone(named.pid),
        Standing::Unverifiable(why) => Owner::Unknown(why.clone()),
    });
    // Whoever may live counts before whoever is gone.
    owners.min_by_key(|owner| match owner {
        Owner::Runs(_) => 0,
        Owner::Unknown(_) => 1,
        _ => 2,
    })
}
