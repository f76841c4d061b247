//! What a bridge needs to go on with one chat: whether its session can be resumed, where, and by which command.

mod advise;
mod locate;

use std::path::PathBuf;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::Environment;
use crate::policy::timestamp::Timestamp;
use crate::providers::{Catalogue, SessionId, path_as_text};
use crate::session_map::{Document, Grave, SessionMap};
use advise::advise;
use locate::locate;

/// The answer, as a bridge reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) schema: u32,
    pub(crate) model: String,
    pub(crate) chat: String,
    pub(crate) state: ChatState,
    pub(crate) advice: Advice,
    /// Why the advice is what it is.
    pub(crate) reason: String,
    pub(crate) session: Option<String>,
    pub(crate) provider: Option<String>,
    /// The folder to start the command in.
    #[serde(serialize_with = "as_text")]
    pub(crate) cwd: Option<PathBuf>,
    #[serde(serialize_with = "as_text")]
    pub(crate) transcript: Option<PathBuf>,
    /// The argument vector that resumes the session; `{prompt}` at the end of its last element stands for the
    /// user's message.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) pruned_at: Option<Timestamp>,
    pub(crate) warnings: Vec<String>,
}

/// What is known of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChatState {
    /// The map has it, and the session is there.
    Mapped,
    /// It was pruned, and the session is there.
    Pruned,
    /// It is or was mapped, but the session is not there any more.
    Gone,
    /// Neither map nor tombstones know it, or the session could not be looked for.
    Unknown,
}

/// What the bridge should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Advice {
    /// Continue the old session with [`Answer::command`].
    Resume,
    /// Send the whole history to a new session.
    Replay,
}

/// What the map or a tombstone says of the chat.
struct Known {
    session: String,
    model: Option<String>,
    cwd: Option<PathBuf>,
    transcript: Option<PathBuf>,
    pruned_at: Option<DateTime<Utc>>,
    /// Whose session the tombstone says it is.
    provider: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn as_text<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// Where to look.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'s> {
    pub(crate) map: &'s SessionMap,
    pub(crate) catalogue: &'s Catalogue,
    pub(crate) environment: &'s Environment,
}

/// The entry of `chat` under `model`. Where a chat stands at the top, without a model above it, its id alone decides, as
/// long as the model that it stands for and the one asked for belong to one provider.
pub(crate) fn find_chat(document: &Document<'_>, catalogue: &Catalogue, model: &str, chat: &str) -> Option<usize> {
    let exact = document.find(Some(model), chat);
    exact.or_else(|| {
        let same_provider = |own: Option<&str>| {
            let own = own.and_then(|own| catalogue.claiming(own));
            own.is_some() && own == catalogue.claiming(model)
        };
        document.entries.iter().position(|entry| {
            entry.chat == chat && Document::top_place(entry).is_some() && same_provider(entry.model.as_deref())
        })
    })
}

/// Whether a tombstone is of `chat` under `model`, by the same rule as [`find_chat`].
pub(crate) fn is_grave_of(grave: &Grave, catalogue: &Catalogue, model: &str, chat: &str) -> bool {
    let own = grave.model.as_deref();
    let flat = || grave.place.is_some() && own.and_then(|own| catalogue.claiming(own)) == catalogue.claiming(model);
    grave.chat == chat && (own.is_none_or(|own| own == model) || flat())
}

/// Answers for one chat. `document` is the map's present text, if there is a map.
pub(crate) fn resolve(
    document: Option<&Document<'_>>,
    model: &str,
    chat: &str,
    sources: Sources<'_>,
) -> Result<Answer> {
    let mut answer = Answer {
        schema: 1,
        model: model.to_owned(),
        chat: chat.to_owned(),
        state: ChatState::Unknown,
        advice: Advice::Replay,
        reason: "neither the map nor its tombstones know this chat".to_owned(),
        session: None,
        provider: None,
        cwd: None,
        transcript: None,
        command: None,
        pruned_at: None,
        warnings: Vec::new(),
    };
    let mapped = document.and_then(|document| Some((document, find_chat(document, sources.catalogue, model, chat)?)));
    let known = match mapped {
        Some((document, index)) => {
            let entry = &document.entries[index];
            Known {
                session: entry.session.to_string(),
                model: entry.model.as_deref().map(str::to_owned),
                cwd: document.cwd(entry).map(|cwd| PathBuf::from(cwd.as_ref())),
                transcript: None,
                pruned_at: None,
                provider: None,
            }
        }
        None => match sources
            .map
            .tombstones()
            .find(model, chat, &|grave| is_grave_of(grave, sources.catalogue, model, chat))?
        {
            Some(grave) => Known {
                session: grave.session,
                model: grave.model,
                cwd: grave.cwd,
                transcript: grave.transcript,
                pruned_at: Some(grave.pruned_at),
                provider: grave.provider,
            },
            None => return Ok(answer),
        },
    };
    answer.session = Some(known.session.clone());
    answer.pruned_at = known.pruned_at.map(Timestamp);
    let id = match SessionId::new(&known.session) {
        Ok(id) => id,
        Err(invalid) => {
            answer.reason = invalid.to_string();
            return Ok(answer);
        }
    };
    let claimed = sources.catalogue.claiming(known.model.as_deref().unwrap_or(model));
    let claimed = claimed.or_else(|| sources.catalogue.named(known.provider.as_deref()?));
    answer.provider = claimed.map(|provider| sources.catalogue.get(provider).0.name.clone());
    match locate(id, claimed, known.transcript.as_deref(), sources) {
        Ok(Some(located)) => {
            answer.state = if known.pruned_at.is_some() { ChatState::Pruned } else { ChatState::Mapped };
            answer.provider = Some(sources.catalogue.get(located.provider).0.name.clone());
            answer.cwd = known.cwd.or(located.cwd);
            answer.transcript = located.transcript;
            advise(&mut answer, sources.catalogue.at(located.provider), id, sources);
        }
        Ok(None) => {
            answer.state = ChatState::Gone;
            answer.cwd = known.cwd;
            answer.reason = "the session's transcript is not there any more".into();
        }
        Err(problem) => {
            answer.cwd = known.cwd;
            answer.reason = format!("could not look for the session: {problem}");
        }
    }
    Ok(answer)
}
