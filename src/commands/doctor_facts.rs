//! Looks at everything that `doctor` decides on; nothing is written and no lock is taken.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::map::{Kept, with_map, with_mappings, with_plan};
use super::sweep_lock::of_daemon;
use crate::config::{Dirs, Environment, check};
use crate::context::{Context, Given, clock};
use crate::doctor::{
    Asked, Binary, Cleanup, ConfigFacts, Facts, MapFacts, MapText, RegistryFacts, RegistryText, Store, WrittenBack,
    cleanups, differences,
};
use crate::filesystem::proc::Proc;
use crate::filesystem::{LockState, folder_objection, look_at_lock, obstacle};
use crate::output::prune::BridgeView;
use crate::programs::{Answer, Programs};
use crate::providers::{Located, Provider, builtin, own_cleanup};
use crate::registry::RegistryError;
use crate::schedule::runs::RunLog;
use crate::schedule::{Kind, Schedule, Surroundings};
use crate::session_map::SessionMap;
use crate::session_map::bridge::BridgeError;
use crate::sweep::written_back::{had_come_back, written_back};

/// Looks at everything. Where the settings are wrong, at what does not depend on them.
pub(super) fn gather(given: &Given, environment: Environment) -> Facts {
    let dirs = Dirs::find(&environment);
    let now = given.at.unwrap_or_else(clock);
    let home = dirs.as_ref().map_or_else(|_| PathBuf::from("/nonexistent"), |dirs| dirs.home.clone());
    let variable = |name: &str| environment.get(name).map(ToOwned::to_owned);
    let surroundings = Surroundings::of_process(&variable, &home, now);
    let schedules = surroundings.schedules();
    let own: Vec<&Schedule> = schedules.of(&surroundings.login).collect();
    let binaries = own.iter().map(|schedule| Binary::of(schedule, &surroundings.programs)).collect();
    let runs = match &dirs {
        Ok(dirs) => RunLog::below(&dirs.state).runs().map_err(|error| format!("{error:#}")),
        Err(_) => Err("the state folder is not known without HOME".to_owned()),
    };
    let deadline = |schedule: &Schedule| {
        let last = schedule.last_run(runs.as_deref().unwrap_or_default()).map(|last| last.at);
        // One that was changed since its last run has other times than it had.
        surroundings.deadline(schedule, last.max(schedule.since)?)
    };
    let deadlines = own.iter().map(|schedule| deadline(schedule)).collect();
    let has_cron = own.iter().any(|schedule| schedule.kind == Kind::Cron);
    let cron_is_running = if has_cron { surroundings.cron_is_running() } else { None };
    // Where it cannot be seen, the state folder's own check tells.
    let daemon = dirs.as_ref().ok().and_then(|dirs| look_at_lock(&of_daemon(&dirs.state), &Proc::default()).ok());
    let daemon = daemon.and_then(|lock| if let LockState::Held { pid, .. } = lock { Some(pid) } else { None });
    let mut facts = Facts {
        now,
        login: surroundings.login,
        config: ConfigFacts::default(),
        schedules,
        deadlines,
        daemon,
        areas: None,
        cron_is_running,
        runs,
        binaries,
        is_synchronized: is_synchronized(&surroundings.programs),
        state: None,
        map: None,
        stores: None,
        registry: None,
        processes: None,
        queues: None,
        cleanups: None,
        bridge: None,
        written_back: None,
        color: None,
    };
    let dirs = match dirs {
        Ok(dirs) => dirs,
        Err(problems) => {
            facts.config.problems = problems.in_two_parts();
            return facts;
        }
    };
    facts.config.moved = moved_folders(&dirs);
    facts.state = Some((dirs.state.clone(), folder_objection(&dirs.state).map_err(|error| error.to_string())));
    let (files, problems) = check(&dirs, &environment, given.config_file.as_deref(), builtin::rows());
    facts.config.problems = problems.iter().map(|problem| (problem.what(), problem.remedy.clone())).collect();
    facts.config.files = files.iter().filter(|(_, present)| *present).map(|(path, _)| dirs.shorten(path)).collect();
    if let Ok(context) = Context::new(given, environment) {
        facts.config.is_usable = true;
        facts.areas = Some(super::daemon::areas_on(&context));
        facts.config.from_environment = context.config.values_of_environment();
        facts.color = Some(context.config.settings.color);
        facts.stores = Some(context.catalogue.iter().map(|row| store(&context, row)).collect());
        facts.registry = Some(look_at_registry(&context));
        facts.processes = Some(super::processes::look_for_doctor(&context));
        facts.queues = Some(super::queues::look_for_doctor(&context));
        let (map, cleanups) = look_at_map(&context);
        (facts.map, facts.cleanups) = (Some(map), cleanups);
        let (asked, back) = look_at_mappings(&context);
        (facts.bridge, facts.written_back) = (Some(asked), Some(back));
    }
    facts
}

/// What the machine says about its clock.
fn is_synchronized(programs: &Programs) -> Option<bool> {
    match programs.ask("timedatectl", &["show", "-p", "NTPSynchronized"]) {
        Answer::Said(text) => text.trim().strip_prefix("NTPSynchronized=").map(|word| word == "yes"),
        Answer::NotInstalled | Answer::Failed(_) => None,
    }
}

/// What of our own folders would be elsewhere with nothing but a home.
fn moved_folders(dirs: &Dirs) -> Vec<(&'static str, &'static str, String)> {
    let Ok(plain) = Dirs::find(&Environment::from_iter([("HOME", &dirs.home)])) else { return Vec::new() };
    let configuration = ("XDG_CONFIG_HOME", "the configuration", &dirs.user_config, &plain.user_config);
    let state = ("XDG_STATE_HOME", "the state folder", &dirs.state, &plain.state);
    let moved = [configuration, state].into_iter().filter(|(_, _, here, without)| here != without);
    moved.map(|(variable, what, _, without)| (variable, what, dirs.shorten(without))).collect()
}

/// Whether a folder is there, or why that is not known; `looked` is what came of looking.
fn is_there(looked: std::io::Result<bool>) -> Result<bool, String> {
    match looked {
        Ok(is_folder) => Ok(is_folder),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error.to_string()),
        },
    }
}

fn store(context: &Context, row: &Located) -> Store {
    let present = is_there(std::fs::read_dir(&row.home).map(|_| true));
    let without = context.dirs.provider_home(&row.provider.home, &Environment::default());
    let variables = row.provider.home.variables.iter().map(|(name, _)| name);
    let variable = variables.into_iter().find(|name| context.environment.get(name).is_some());
    let moved_from = variable.filter(|_| without != row.home);
    Store {
        provider: row.provider.name.clone(),
        home: context.dirs.shorten(&row.home),
        present,
        moved_from: moved_from.map(|name| (name.clone(), context.dirs.shorten(&without))),
    }
}

/// The map, and what the CLIs will delete of its conversations where it can be read.
fn look_at_map(context: &Context) -> (MapFacts, Option<Vec<Cleanup>>) {
    let map = context.map(None);
    let variable = |name: &str| context.environment.get(name).map(ToOwned::to_owned);
    let period = |row: &Provider, home: &Path| own_cleanup::period(row, home, &variable);
    let looked = with_map(context, &map, |document, _| {
        let Some(document) = document else { return Ok((MapText::Missing, Vec::new())) };
        let (mappings, not_understood) = (document.entries.len(), document.not_understood);
        let cleanups = cleanups(document, &context.catalogue, &period, context.now);
        Ok((MapText::Read { mappings, not_understood }, cleanups))
    });
    let (text, cleanups) = match looked {
        Ok((text, cleanups)) => (text, Some(cleanups)),
        Err(error) => (MapText::Unreadable(format!("{error:#}")), None),
    };
    let facts = MapFacts {
        path: map.path().to_owned(),
        text,
        obstacle: obstacle(map.path(), &[&map.lock_path(), map.tombstones().path()])
            .map_err(|error| format!("{}: {error}", map.path().display())),
        has_folder: map.path().parent().map_or(Ok(true), |folder| is_there(folder.metadata().map(|it| it.is_dir()))),
    };
    (facts, cleanups)
}

fn look_at_registry(context: &Context) -> RegistryFacts {
    let registry = context.registry();
    let path = registry.path();
    let text = match registry.read(|roster| roster.sessions.len()) {
        Ok(sessions) => RegistryText::Read(sessions),
        Err(RegistryError::Missing(_)) => RegistryText::Missing,
        Err(error) => RegistryText::Unreadable(error.to_string()),
    };
    RegistryFacts {
        is_enabled: context.config.settings.registry.enabled,
        obstacle: obstacle(&path, &[&registry.lock_path()]).map_err(|error| format!("{}: {error}", path.display())),
        path,
        text,
    }
}

/// The bridge's own list beside its file, and what of the mappings that count came back: the bridge is asked once.
fn look_at_mappings(context: &Context) -> (Asked, Result<WrittenBack, String>) {
    let map = context.map(None);
    let looked = with_mappings(context, &map, |kept, bridge| {
        let list = kept.as_ref().map(|kept| kept.document);
        let asked = match (bridge, list) {
            (Some(BridgeView { url, up: true }), Some(list)) => {
                // A file that cannot be read is told by another check.
                let differing = with_map(context, &map, |file, _| Ok(file.map(|file| differences(list, file))));
                Asked::Listed { url, mappings: list.entries.len(), differing: differing.unwrap_or_default() }
            }
            (Some(BridgeView { url, .. }), _) => Asked::Down(url),
            (None, _) => Asked::NotSet,
        };
        let back = look_for_written_back(context, &map, kept).map_err(|error| format!("{error:#}"));
        Ok((asked, back))
    });
    looked.unwrap_or_else(|error| {
        let why = format!("{error:#}");
        let asked = match &context.config.settings.bridge.url {
            _ if error.is::<BridgeError>() => Asked::Failed(why.clone()),
            Some(url) => Asked::Down(url.to_string()),
            None => Asked::NotSet,
        };
        (asked, Err(why))
    })
}

fn look_for_written_back(context: &Context, map: &SessionMap, kept: Option<Kept<'_>>) -> Result<WrittenBack> {
    let before = had_come_back(&map.tombstones())?;
    let times: Vec<u32> = match kept {
        Some(kept) => with_plan(context, map, kept, |plan, _, _| {
            Ok(written_back(plan, &map.tombstones())?.into_values().collect())
        })?,
        None => Vec::new(),
    };
    let number = |wanted: fn(&u32) -> bool| times.iter().filter(|times| wanted(times)).count();
    Ok(WrittenBack { now: number(|times| *times > 1), second_time: number(|times| *times == 2), before })
}
