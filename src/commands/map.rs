//! What the commands share that work on a map: which one, what it says, what is to become of its mappings.

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::cli::MapArgs;
use crate::context::{Context, MAP_NAME};
use crate::filesystem::Snapshot;
use crate::output::progress::with_spinner;
use crate::policy::mapping::Thresholds;
use crate::session_map::{Document, MapError, Memory, SessionMap};
use crate::sweep::evidence::{Evidence, Look};
use crate::sweep::plan::Plan;

impl MapArgs {
    /// The map that these arguments and the settings name.
    pub(super) fn map(&self, context: &Context) -> SessionMap {
        let in_folder = || self.dir.as_ref().map(|folder| folder.join(MAP_NAME));
        context.map(self.map.clone().or_else(in_folder))
    }
}

/// Reads and understands the map and hands it on; nothing when there is no map. A text that makes no sense is read again
/// as long as somebody is writing it.
pub(super) fn with_map<T>(
    context: &Context,
    map: &SessionMap,
    work: impl FnOnce(Option<&Document<'_>>, Option<Snapshot>) -> Result<T>,
) -> Result<T> {
    let is_model = |name: &str| context.is_model(name);
    for attempt in 0.. {
        let snapshot = match map.read() {
            Ok(snapshot) => snapshot,
            Err(MapError::Missing(_)) => break,
            Err(error) => return Err(error.into()),
        };
        let text = snapshot.shared_bytes();
        match map.parse(&text, &is_model) {
            Ok(document) => return work(Some(&document), Some(snapshot)),
            Err(MapError::Refused { .. }) if attempt < 100 && SessionMap::changes_after(&snapshot) => {}
            Err(error) => return Err(error.into()),
        }
    }
    work(None, None)
}

/// Looks at every mapping that the settings select, decides, and hands the plan on.
pub(super) fn with_plan<T>(
    context: &Context,
    document: &Document<'_>,
    memory: &Memory,
    work: impl FnOnce(&Plan<'_>) -> Result<T>,
) -> Result<T> {
    let settings = &context.config.settings;
    let thresholds = Thresholds { idle: settings.idle.duration(), missing: settings.missing };
    let selected = selected(context, document);
    let idle_before = thresholds.idle_before(context.now).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let look = Look { idle_before, activity: settings.activity };
    // All of them are looked at, also where only some are asked for: whether a home is the right one shows in all.
    let all: Vec<u32> = (0..document.entries.len() as u32).collect();
    let gather = || Evidence::gather(document, &all, &context.catalogue, look);
    let mut evidence = with_spinner(context.output.quiet, "looking at sessions", gather);
    evidence.keep_only(&selected);
    let plan = Plan::decide(document, &evidence, &context.catalogue, memory, thresholds, context.now);
    work(&plan)
}

/// The entries of the models that the settings name, or all.
fn selected(context: &Context, document: &Document<'_>) -> Vec<u32> {
    let models = &context.config.settings.models;
    let wanted =
        |model: Option<&str>| models.is_empty() || model.is_some_and(|own| models.iter().any(|name| name == own));
    let entries = document.entries.iter().zip(0..);
    let selected: Vec<u32> =
        entries.filter(|(entry, _)| wanted(entry.model.as_deref())).map(|(_, index)| index).collect();
    for name in models {
        if !document.entries.iter().any(|entry| entry.model.as_ref().is_some_and(|own| own == name)) {
            log::warn!("the map has no chat of model `{}`", crate::output::escape::Escaped(name));
        }
    }
    selected
}
