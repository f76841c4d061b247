//! The maps that contenders run on, and whether they are right afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::random::Random;
use crate::tree::{Counts, Tree};

/// How many mappings the map that `resolve` is asked about holds.
const RESOLVE_MAPPINGS: usize = 10_000;

/// A session map as models, each with its chats.
type Models = BTreeMap<String, BTreeMap<String, Value>>;

/// What the map must be after a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Without the idle mappings.
    Pruned,
    /// Byte for byte as before.
    Untouched,
}

/// A map on the disk that is put back before every run.
pub(crate) struct Map {
    /// What it holds.
    pub(crate) counts: Counts,
    folder: PathBuf,
    before: Vec<u8>,
    after: Models,
}

impl Map {
    /// All mappings of the tree.
    pub(crate) fn full(tree: &Tree) -> Self {
        let [before, after] = tree.maps();
        Self::new(tree.folder().join("full"), before, serde_json::from_slice(&after).unwrap(), tree.counts)
    }

    /// About `wanted` mappings of the tree, in its proportions.
    pub(crate) fn tiny(tree: &Tree, wanted: usize) -> Self {
        let [before, after] = tree.maps().map(|text| serde_json::from_slice::<Models>(&text).unwrap());
        let mut few = Models::new();
        let mut few_after = Models::new();
        let mut counts = Counts::default();
        for (model, chats) in before {
            let share = if model.starts_with("claude") { wanted * 6 / 10 } else { wanted * 2 / 10 };
            let chats: BTreeMap<_, _> = chats.into_iter().take(share.max(1)).collect();
            let kept = &after[&model];
            let kept: BTreeMap<_, _> = chats.iter().filter(|(chat, _)| kept.contains_key(*chat)).collect();
            let kept: BTreeMap<_, _> = kept.into_iter().map(|(chat, id)| (chat.clone(), id.clone())).collect();
            counts.checked += chats.len();
            counts.idle += chats.len() - kept.len();
            few_after.insert(model.clone(), kept);
            few.insert(model, chats);
        }
        // How many of the kept ones are missing is not known here; the counts are compared for full maps only.
        counts.active = counts.checked - counts.idle;
        let folder = tree.folder().join(format!("tiny-{wanted}"));
        Self::new(folder, serde_json::to_vec(&few).unwrap(), few_after, counts)
    }

    /// 10,000 mappings, of the tree or invented, and one chat among them that has a transcript, with its session.
    pub(crate) fn for_resolve(tree: &Tree) -> (Self, String, String) {
        let [before, after] = tree.maps().map(|text| serde_json::from_slice::<Models>(&text).unwrap());
        let idle = before["claude-cli"].iter().find(|(chat, _)| !after["claude-cli"].contains_key(*chat));
        let (chat, value) = idle.map(|(chat, value)| (chat.clone(), value.clone())).unwrap();
        let session = value.as_str().or_else(|| value["session_id"].as_str()).unwrap().to_owned();
        let mut chats: BTreeMap<_, _> = before["claude-cli"].clone().into_iter().take(RESOLVE_MAPPINGS - 1).collect();
        chats.insert(chat.clone(), value);
        let mut random = Random::new(RESOLVE_MAPPINGS as u64);
        while chats.len() < RESOLVE_MAPPINGS {
            chats.insert(random.uuid_v4(), Value::String(random.uuid_v4()));
        }
        let models = Models::from([("claude-cli".to_owned(), chats)]);
        let text = serde_json::to_vec(&models).unwrap();
        let map = Self::new(tree.folder().join("resolve"), text, models, Counts::default());
        map.restore();
        (map, chat, session)
    }

    fn new(folder: PathBuf, before: Vec<u8>, after: Models, counts: Counts) -> Self {
        fs::create_dir_all(folder.join("map")).unwrap();
        Self { counts, folder, before, after }
    }

    /// Where the map and a run's state lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The map's file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("map/session_map.json")
    }

    /// Puts the map back and removes what a run left beside it. The state folder stays: a timer finds one too.
    pub(crate) fn restore(&self) {
        for entry in fs::read_dir(self.folder.join("map")).unwrap() {
            let path = entry.unwrap().path();
            if path != self.path() {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(self.path(), &self.before).unwrap();
    }

    /// Whether the map is what it must be now.
    pub(crate) fn is_right(&self, after: After) -> bool {
        let text = fs::read(self.path()).unwrap_or_default();
        match after {
            After::Untouched => text == self.before,
            After::Pruned => serde_json::from_slice::<Models>(&text).is_ok_and(|models| models == self.after),
        }
    }
}
