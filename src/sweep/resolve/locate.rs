//! Where one session is: where its tombstone says, in a database, or anywhere in the stores.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Sources;
use crate::providers::index::{self, Depth};
use crate::providers::query::Query;
use crate::providers::row::{Hazard, Provider};
use crate::providers::{SessionId, conversation, database, first_records};

/// A session's place in its provider's store.
pub(super) struct Located {
    pub(super) provider: usize,
    pub(super) transcript: Option<PathBuf>,
    pub(super) cwd: Option<PathBuf>,
}

/// Finds a session's transcript: where its tombstone says, else in the stores.
pub(super) fn locate(
    id: SessionId<'_>,
    claimed: Option<usize>,
    remembered: Option<&Path>,
    sources: Sources<'_>,
) -> Result<Option<Located>, String> {
    let candidates: Vec<usize> = claimed.map_or_else(|| (0..sources.catalogue.len()).collect(), |one| vec![one]);
    // A database stays when a session in it goes.
    let in_a_file = |provider: usize| sources.catalogue.get(provider).0.database.is_none();
    // What Gemini CLI leaves beside a resumed session may have been the newest file of that id, and is no conversation.
    let is_stub = |provider: usize, path: &Path| {
        sources.catalogue.get(provider).0.hazards.contains(&Hazard::GeminiRetention) && !is_spoken_in(path)
    };
    if let (Some(provider), Some(path)) = (claimed.filter(|one| in_a_file(*one)), remembered)
        && path.is_file()
        && !is_stub(provider, path)
    {
        let cwd = working_folder(sources.catalogue.get(provider).0, path);
        return Ok(Some(Located { provider, transcript: Some(path.to_owned()), cwd }));
    }
    let mut problem = None;
    for provider in candidates {
        match locate_in(id, provider, claimed.is_some(), sources) {
            Ok(Some(located)) => return Ok(Some(located)),
            Ok(None) => {}
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(None), Err)
}

fn locate_in(
    id: SessionId<'_>,
    index: usize,
    is_only_one: bool,
    sources: Sources<'_>,
) -> Result<Option<Located>, String> {
    let (provider, home) = sources.catalogue.get(index);
    if let Some(database) = &provider.database {
        let sessions = database::sessions(database, home, &|text| text == id.as_str()).map_err(|e| format!("{e:#}"))?;
        if let Some(row) = sessions.as_ref().and_then(|known| known.sessions.get(id.as_str())) {
            let transcript = Some(home.join(&database.path));
            return Ok(Some(Located { provider: index, transcript, cwd: row.working_folder.clone() }));
        }
    }
    let mut queries = [Query::new(sources.catalogue.at(index))];
    queries[0].want(id);
    let depth = Depth { subagents_before: Some(DateTime::<Utc>::MIN_UTC) };
    let store = index::gather(&queries, depth).pop();
    let Some(store) = store else { return Ok(None) };
    let copies: Vec<PathBuf> = store.copies(0).into_iter().map(|(place, _)| store.path(place)).collect();
    if copies.is_empty() {
        return match store.problems.first() {
            Some(problem) => Err(problem.clone()),
            None if !is_only_one => Ok(None),
            // Only where the store is there and wholly known a session that is not in it is gone.
            None if !store.present && provider.database.is_none() => Err(format!("{} has no sessions", home.display())),
            None if !provider.complete => Err(format!("not all places of {} sessions are known", provider.name)),
            None => Ok(None),
        };
    }
    // Of several files with one id the conversation counts, not the stub that a resumed Gemini CLI leaves beside it.
    let conversation = copies.iter().find(|path| copies.len() == 1 || is_spoken_in(path));
    let transcript = conversation.unwrap_or(&copies[0]).clone();
    let cwd = working_folder(provider, &transcript);
    Ok(Some(Located { provider: index, transcript: Some(transcript), cwd }))
}

/// Whether a chat file holds a conversation, as far as it can be read.
pub(super) fn is_spoken_in(path: &Path) -> bool {
    conversation::holds_messages(path).unwrap_or(false)
}

fn working_folder(provider: &Provider, transcript: &Path) -> Option<PathBuf> {
    first_records::working_folder(&provider.working_folder, transcript).ok().flatten()
}
