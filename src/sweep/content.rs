//! Times from inside the transcripts, for `--activity content`.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::evidence::threads_for;
use crate::policy::mapping::{Activity, Source};
use crate::providers::index::{Found, Store};
use crate::providers::last_record::last_record_time;

/// What the inside of a session's files tells.
#[derive(Debug, Clone)]
pub(crate) enum Times {
    /// The newest dated record.
    Read(Activity),
    /// A file could not be read, so its time is not known.
    Unreadable(String),
}

/// For every found session of every store the time of its last dated record, sub-agents included; `None` where no
/// record is dated.
pub(crate) fn times<'s>(stores: impl Iterator<Item = &'s Store>) -> Vec<Vec<Option<Times>>> {
    let stores: Vec<&Store> = stores.collect();
    let mut results: Vec<Vec<Option<Times>>> = stores.iter().map(|store| vec![None; store.found.len()]).collect();
    let work: Vec<(usize, usize, Found)> = stores
        .iter()
        .enumerate()
        .flat_map(|(store, of)| of.found.iter().enumerate().filter_map(move |(id, found)| Some((store, id, (*found)?))))
        .collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut mine = Vec::new();
        while let Some(&(store, id, found)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            mine.push((store, id, session_time(stores[store], id as u32, &found)));
        }
        mine
    };
    let threads = threads_for(work.len() / 16);
    std::thread::scope(|scope| {
        let more: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for handle in more {
            done.extend(handle.join().unwrap_or_default());
        }
        for (store, id, times) in done {
            results[store][id] = times;
        }
    });
    results
}

fn session_time(store: &Store, id: u32, found: &Found) -> Option<Times> {
    let files = [
        Some((found.transcript, Source::TranscriptRecord)),
        store.subagent(id).map(|(place, _)| (place, Source::SubagentRecord)),
    ];
    let mut newest: Option<Activity> = None;
    for (place, source) in files.into_iter().flatten() {
        let path = store.path(place);
        match last_record_time(&path) {
            Ok(record) => {
                if let Some(time) = record.time.filter(|time| newest.is_none_or(|known| *time > known.time)) {
                    newest = Some(Activity { time, source });
                }
            }
            Err(error) => return Some(Times::Unreadable(format!("{error:#}"))),
        }
    }
    newest.map(Times::Read)
}
