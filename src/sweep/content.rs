//! Times from inside the transcripts, for `--activity content`.

use super::parallel;
use crate::policy::mapping::{Activity, Source};
use crate::providers::index::{Found, Place, Store};
use crate::providers::last_record::last_record_time;

/// How many sessions a thread takes at a time.
const CHUNK: usize = 16;

/// What the inside of a session's files tells.
#[derive(Debug, Clone)]
pub(crate) enum Times {
    /// The newest dated record.
    Read(Activity),
    /// A file could not be read, so its time is not known.
    Unreadable(String),
}

/// For every found session of every store what the inside of its files tells, sub-agents included.
pub(crate) fn times<'s>(stores: impl Iterator<Item = &'s Store>) -> Vec<Vec<Option<Times>>> {
    let stores: Vec<&Store> = stores.collect();
    let mut results: Vec<Vec<Option<Times>>> = stores.iter().map(|store| vec![None; store.found.len()]).collect();
    let work: Vec<(usize, usize, Found)> = stores
        .iter()
        .enumerate()
        .flat_map(|(store, of)| of.found.iter().enumerate().filter_map(move |(id, found)| Some((store, id, (*found)?))))
        .collect();
    let read = |(): &mut (), &(store, id, found): &(usize, usize, Found)| {
        Some((store, id, session_time(stores[store], id as u32, &found)))
    };
    for (store, id, times) in parallel::map(&work, CHUNK, read) {
        results[store][id] = Some(times);
    }
    results
}

/// The newest dated record of a session's transcript, in whatever copy, and of its sub-agents.
fn session_time(store: &Store, id: u32, found: &Found) -> Times {
    let copies = store.copies(id as usize).into_iter().map(|(place, _)| place);
    let changed = Activity { time: found.modified, source: Source::TranscriptMtime };
    let main = newest(store, copies, Source::TranscriptRecord, changed);
    let subagent = store.subagent(id).map(|(_, time)| {
        let changed = Activity { time, source: Source::SubagentMtime };
        newest(store, store.subagents(id), Source::SubagentRecord, changed)
    });
    match (main, subagent.transpose()) {
        (Ok(main), Ok(subagent)) => Times::Read(subagent.filter(|subagent| subagent.time > main.time).unwrap_or(main)),
        (Err(why), _) | (_, Err(why)) => Times::Unreadable(why),
    }
}

/// The newest dated record in these files. Where a file has none, or records after it whose time cannot be read, its
/// time of last change counts, which is never earlier than a record that was written.
fn newest(
    store: &Store,
    files: impl Iterator<Item = Place>,
    source: Source,
    changed: Activity,
) -> Result<Activity, String> {
    let mut newest: Option<Activity> = None;
    let mut all_read = true;
    for place in files {
        let record = last_record_time(&store.path(place)).map_err(|error| format!("{error:#}"))?;
        all_read &= record.time.is_some() && record.records_skipped == 0 && !record.gave_up;
        if let Some(time) = record.time.filter(|time| newest.is_none_or(|known| *time > known.time)) {
            newest = Some(Activity { time, source });
        }
    }
    Ok(newest.filter(|newest| all_read || newest.time > changed.time).unwrap_or(changed))
}
