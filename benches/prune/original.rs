//! The original's way: for every session of the map, one glob over its provider's store.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::Value;

/// `original HOME MAP HOURS`: prints the counts and rewrites the map.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    let [home, map, hours] = &arguments[..] else { panic!("original HOME MAP HOURS") };
    let cutoff = SystemTime::now() - Duration::from_secs_f64(hours.parse::<f64>().unwrap() * 3600.0);
    let mut models: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_slice(&fs::read(map).unwrap()).unwrap();

    let (mut active, mut idle, mut missing) = (0, 0, 0);
    for (model, chats) in &mut models {
        chats.retain(|_, value| {
            let id = value.as_str().or_else(|| value["session_id"].as_str()).unwrap_or_default();
            let times =
                transcripts(home, model, id).into_iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok());
            let newest = times.max();
            match newest {
                None => missing += 1,
                Some(time) if time < cutoff => idle += 1,
                Some(_) => active += 1,
            }
            newest.is_none_or(|time| time >= cutoff)
        });
    }
    if idle > 0 {
        let temporary = format!("{map}.tmp");
        fs::write(&temporary, serde_json::to_vec(&models).unwrap()).unwrap();
        fs::rename(&temporary, map).unwrap();
    }
    println!("checked={} active={active} idle={idle} missing={missing}", active + idle + missing);
    ExitCode::SUCCESS
}

fn transcripts(home: &str, model: &str, id: &str) -> Vec<PathBuf> {
    let found = |pattern: String| glob::glob(&pattern).unwrap().flatten().collect::<Vec<_>>();
    if model.starts_with("claude") {
        found(format!("{home}/.claude/projects/*/{id}.jsonl"))
    } else if model.starts_with("gemini") {
        let mut files = found(format!("{home}/.gemini/tmp/*/chats/session-*-{}.json", &id[..8]));
        files.retain(|path| {
            let chat: Option<Value> = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            chat.is_some_and(|chat| chat["sessionId"] == id)
        });
        files
    } else {
        let mut files = found(format!("{home}/.codex/sessions/*/*/*/rollout-*-{id}.jsonl"));
        files.extend(found(format!("{home}/.codex/sessions/{id}.jsonl")));
        files
    }
}
