//! Containers of docker and podman, which share their command line and nearly all of `inspect`.

use std::collections::HashMap;
use std::time::Instant;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Deserialize;

use super::container::{Container, State, is_id};
use super::engine::Engine;
use super::workspace::WORKSPACE;

/// How many containers one `inspect` tells of: a command line has its limits.
const AT_ONCE: usize = 200;
/// How often a listing is tried: with `--rm` a container may vanish between `ps` and `inspect`.
const ATTEMPTS: usize = 10;

/// All containers of `engine`, or the one with this id.
pub(super) fn list(engine: &Engine, only: Option<&str>) -> Result<Vec<Container>, String> {
    let begin = Instant::now();
    let mut attempt = 1;
    loop {
        let ids = ids(engine, only)?;
        match inspect(engine, &ids) {
            Err(_) if attempt < ATTEMPTS && begin.elapsed() < engine.limits.listing => attempt += 1,
            outcome => return outcome,
        }
    }
}

fn ids(engine: &Engine, only: Option<&str>) -> Result<Vec<String>, String> {
    let text = engine.ask(&["ps", "--all", "--quiet", "--no-trunc"])?;
    let mut ids: Vec<String> = text.lines().map(|line| line.trim().to_owned()).filter(|id| !id.is_empty()).collect();
    if let Some(odd) = ids.iter().find(|id| !is_id(id)) {
        return Err(format!("it lists {odd:?}, which is no container's id"));
    }
    ids.retain(|id| only.is_none_or(|only| only == id));
    Ok(ids)
}

fn inspect(engine: &Engine, ids: &[String]) -> Result<Vec<Container>, String> {
    let mut containers = Vec::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let arguments: Vec<&str> =
            ["inspect", "--type", "container"].into_iter().chain(some.iter().map(String::as_str)).collect();
        let text = engine.ask(&arguments)?;
        let found: Vec<Inspected> =
            serde_json::from_str(&text).map_err(|error| format!("what inspect says is not understood: {error}"))?;
        if let Some(untold) = some.iter().find(|id| !found.iter().any(|found| found.id == **id)) {
            return Err(format!("inspect says nothing of container {untold}"));
        }
        containers.extend(found.into_iter().map(|found| found.into_container(&engine.name)));
    }
    Ok(containers)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: Option<String>,
    created: Option<String>,
    state: Option<Condition>,
    config: Option<Config>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    status: Option<String>,
    running: Option<bool>,
    started_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    source: Option<String>,
    destination: Option<String>,
}

impl Inspected {
    fn into_container(self, runtime: &str) -> Container {
        let condition = self.state.as_ref();
        let word = condition.and_then(|condition| condition.status.as_deref());
        let state = match State::of(word) {
            State::Ended(word) if condition.and_then(|condition| condition.running) == Some(true) => State::Alive(word),
            state => state,
        };
        let labels = self.config.and_then(|config| config.labels).unwrap_or_default();
        let mounts = self.mounts.unwrap_or_default();
        let workspace = mounts.into_iter().find(|mount| mount.destination.as_deref() == Some(WORKSPACE));
        Container {
            started: started(condition.and_then(|condition| condition.started_at.as_deref()), self.created.as_deref()),
            name: self.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            state,
            ..Container::told(self.id, labels, workspace.and_then(|mount| mount.source), runtime)
        }
    }
}

/// The year 1 stands for never: what was not started yet is as old as it is.
fn started(started: Option<&str>, created: Option<&str>) -> Option<DateTime<Utc>> {
    let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    let started = time(started?)?;
    if started.year() > 1 { Some(started) } else { time(created?) }
}
