//! Containers of Apple's `container`, of the releases before and after 1.0.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::container::{Container, State};
use super::engine::Engine;
use super::workspace::WORKSPACE;

/// All containers of `engine`, or the one with this id.
pub(super) fn list(engine: &Engine, only: Option<&str>) -> Result<Vec<Container>, String> {
    let text = engine.ask(&["ls", "--all", "--format", "json"]).map_err(|why| not_running(engine, why))?;
    let found: Vec<Listed> =
        serde_json::from_str(&text).map_err(|error| format!("what ls says is not understood: {error}"))?;
    let containers: Option<Vec<Container>> =
        found.into_iter().map(|listed| listed.into_container(&engine.name)).collect();
    let mut containers = containers.ok_or("it lists a container without an id")?;
    containers.retain(|container| only.is_none_or(|only| only == container.id));
    Ok(containers)
}

/// Why it does not list: its service says it better than the failure to reach it.
fn not_running(engine: &Engine, why: String) -> String {
    match engine.ask(&["system", "status"]) {
        Ok(_) => why,
        Err(status) => status,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: Option<String>,
    status: Option<Status>,
    started_date: Option<Date>,
    configuration: Option<Configuration>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    /// Before 1.0.
    Word(String),
    #[serde(rename_all = "camelCase")]
    Object { state: Option<String>, started_date: Option<Date> },
}

#[derive(Deserialize)]
struct Configuration {
    id: Option<String>,
    labels: Option<Labels>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Labels {
    Object(HashMap<String, String>),
    Array(Vec<Label>),
}

#[derive(Deserialize)]
struct Label {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct Mount {
    source: Option<String>,
    destination: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Date {
    /// Seconds since 2001, as Swift writes dates where nobody says otherwise.
    Seconds(f64),
    Text(String),
}

impl Date {
    fn time(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Seconds(seconds) if (0.0..1e11).contains(seconds) => {
                let beginning = DateTime::from_timestamp(978_307_200, 0)?;
                beginning.checked_add_signed(TimeDelta::milliseconds((seconds * 1000.0) as i64))
            }
            Self::Seconds(_) => None,
            Self::Text(text) => Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()),
        }
    }
}

impl Listed {
    fn into_container(self, runtime: &str) -> Option<Container> {
        let (of_configuration, labels, mounts) = self
            .configuration
            .map_or((None, None, None), |configuration| (configuration.id, configuration.labels, configuration.mounts));
        let (word, later) = match self.status {
            Some(Status::Word(word)) => (Some(word), None),
            Some(Status::Object { state, started_date }) => (state, started_date),
            None => (None, None),
        };
        let labels = match labels {
            Some(Labels::Object(labels)) => labels,
            Some(Labels::Array(labels)) => labels.into_iter().map(|label| (label.key, label.value)).collect(),
            None => HashMap::new(),
        };
        let workspace =
            mounts.unwrap_or_default().into_iter().find(|mount| mount.destination.as_deref() == Some(WORKSPACE));
        let id = of_configuration.or(self.id)?;
        Some(Container {
            // Here a container's name is its id.
            name: id.clone(),
            state: State::of(word.as_deref()),
            started: later.or(self.started_date).and_then(|date| date.time()),
            ..Container::told(id, labels, workspace.and_then(|mount| mount.source), runtime)
        })
    }
}
