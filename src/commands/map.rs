//! What the commands share that work on a map: which one, what it says, what is to become of its mappings.

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::cli::MapArgs;
use crate::config::setting::BridgeSettings;
use crate::context::{Context, MAP_NAME};
use crate::filesystem::{Snapshot, changes_after};
use crate::output::progress::with_spinner;
use crate::output::prune::BridgeView;
use crate::policy::mapping::Thresholds;
use crate::session_map::bridge::{Bridge, BridgeError, Door};
use crate::session_map::{Document, MapError, Memory, SessionMap};
use crate::sweep::apply::Keeper;
use crate::sweep::evidence::{Evidence, Look};
use crate::sweep::plan::{Authority, Plan};
use crate::sweep::written_back::written_back;

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
            Err(MapError::Refused { .. }) if attempt < 100 && changes_after(&snapshot) => {}
            Err(error) => return Err(error.into()),
        }
    }
    work(None, None)
}

/// The mappings that count, and who keeps them.
pub(super) struct Kept<'k> {
    pub(super) document: &'k Document<'k>,
    pub(super) keeper: Keeper,
    /// What earlier runs remember of this map.
    pub(super) memory: Memory,
}

/// Hands on the mappings that count: the bridge's where its URL is set and it runs, else the file's; nothing when there
/// is no map. The second argument says what became of asking the bridge.
pub(super) fn with_mappings<T>(
    context: &Context,
    map: &SessionMap,
    work: impl FnOnce(Option<Kept<'_>>, Option<BridgeView>) -> Result<T>,
) -> Result<T> {
    let settings = &context.config.settings.bridge;
    let asked = |up: bool| settings.url.as_ref().map(|url| BridgeView { url: url.to_string(), up });
    let state = &context.dirs.state;
    if let Some(bridge) = open_bridge(settings)? {
        let list = bridge.sessions()?;
        let document = map.parse(&list, &|name| context.is_model(name));
        let document = document.map_err(|error| match error {
            MapError::Refused { why, .. } => anyhow::Error::from(bridge.not_a_map(&why)),
            error => error.into(),
        })?;
        let path = fs_err::canonicalize(map.path()).unwrap_or_else(|_| map.path().to_owned());
        let memory = Memory::load(state, &path);
        return work(Some(Kept { document: &document, keeper: Keeper::Bridge(bridge), memory }), asked(true));
    }
    with_map(context, map, |document, snapshot| {
        let kept = document.zip(snapshot).map(|(document, snapshot)| {
            let memory = Memory::load(state, snapshot.real_path());
            Kept { document, keeper: Keeper::File(snapshot), memory }
        });
        work(kept, asked(false))
    })
}

/// The bridge of these settings; nothing where none is named, or it is down.
pub(super) fn open_bridge(settings: &BridgeSettings) -> Result<Option<Bridge>, BridgeError> {
    let Some(url) = &settings.url else { return Ok(None) };
    let bridge = Bridge::open(Door { url, token_file: settings.token_file.as_deref(), timeout: settings.timeout })?;
    if bridge.is_none() {
        log::debug!("nobody listens at {url}: the bridge is down, and its file counts");
    }
    Ok(bridge)
}

/// Looks at every mapping that the settings select, decides, and hands the plan on.
pub(super) fn with_plan<T>(
    context: &Context,
    map: &SessionMap,
    kept: Kept<'_>,
    work: impl FnOnce(&Plan<'_>, Keeper, &Memory) -> Result<T>,
) -> Result<T> {
    let Kept { document, keeper, memory } = kept;
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
    let authority = match keeper {
        Keeper::File(_) => Authority::File,
        Keeper::Bridge(_) => Authority::Bridge,
    };
    let catalogue = &context.catalogue;
    let mut plan = Plan::decide(document, &evidence, catalogue, &memory, thresholds, context.now, authority);
    match written_back(&plan, &map.tombstones()) {
        Ok(written_back) => plan.note_written_back(written_back),
        // It is only said, not acted on; what writes tombstones will complain.
        Err(error) => log::warn!("{error:#}"),
    }
    work(&plan, keeper, &memory)
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
