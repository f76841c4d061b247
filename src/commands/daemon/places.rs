//! The folders that areas write to, and whether they can: in a service's sandbox what is not there at its start stays read-only
//! for as long as it runs.

use std::path::PathBuf;

use crate::artifacts::kinds::KINDS;
use crate::context::Context;
use crate::filesystem::folder_obstacle;
use crate::providers::Located;
use crate::sweep::processes::sessions_folder;

/// What to say of each folder that an area which is on cannot write to.
pub(super) fn unwritable(context: &Context) -> Vec<String> {
    let on = super::areas_on(context);
    let mut lines = Vec::new();
    for (area, folder) in places(context).into_iter().filter(|(area, _)| on.contains(area)) {
        if let Some(why) = folder_obstacle(&folder) {
            lines.push(format!(
                "{area}: {why}; where this is a service, make the folder, let the unit write there (ReadWritePaths=), and restart it"
            ));
        }
    }
    lines
}

/// The folder of the map and of the registry, which may be made yet; of what others make those that are there.
fn places(context: &Context) -> Vec<(&'static str, PathBuf)> {
    let settings = &context.config.settings;
    let map = context.map(None).path().parent().map(|folder| ("map", folder.to_owned()));
    let records = sessions_folder(&settings.processes, &context.catalogue, &context.dirs.home);
    let roots = context.config.queues.iter().map(|queue| ("queues", queue.root.join("data/v2-sessions")));
    let is_pruned = |row: &&Located| KINDS.iter().any(|kind| kind.provider == row.provider.name);
    let homes = context.catalogue.iter().filter(is_pruned).map(|row| ("artifacts", row.home.clone()));
    let others = roots.chain(homes).chain([("processes", records)]).filter(|(_, folder)| folder.exists());
    map.into_iter().chain([("registry", settings.registry.base.clone())]).chain(others).collect()
}
