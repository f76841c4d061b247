//! What a bridge needs to go on with one chat: whether its session can be resumed, where, and by which command.

use std::path::{Path, PathBuf};

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::Environment;
use crate::filesystem::proc::Proc;
use crate::policy::timestamp::Timestamp;
use crate::providers::index::{self, Depth};
use crate::providers::live::{LiveSessions, Liveness, OpenFiles};
use crate::providers::query::Query;
use crate::providers::retention::Retention;
use crate::providers::row::{Hazard, LiveRule, Provider};
use crate::providers::{self, Catalogue, SessionId, conversation, database, first_records, path_as_text, retention};
use crate::session_map::{Document, Grave, SessionMap};

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

/// A session's place in its provider's store.
struct Located {
    provider: usize,
    transcript: Option<PathBuf>,
    cwd: Option<PathBuf>,
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

/// Finds a session's transcript: where its tombstone says, else in the stores.
fn locate(
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
    let look = |all_days| {
        let depth = Depth { subagents_before: DateTime::<Utc>::MIN_UTC, all_days };
        index::gather(&queries, depth).pop()
    };
    let mut store = look(false);
    if store.as_ref().is_some_and(|store| store.found[0].is_none() && store.narrowed) {
        store = look(true);
    }
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
fn is_spoken_in(path: &Path) -> bool {
    conversation::holds_messages(path).unwrap_or(false)
}

fn working_folder(provider: &Provider, transcript: &Path) -> Option<PathBuf> {
    first_records::working_folder(&provider.working_folder, transcript).ok().flatten()
}

/// Resume if that is safe; otherwise replay, with what would make it safe.
fn advise(answer: &mut Answer, row: &providers::Located, id: SessionId<'_>, sources: Sources<'_>) {
    let provider = &row.provider;
    if provider.resume.is_empty() {
        answer.reason = format!("it is not known how {} resumes a session", provider.name);
        return;
    }
    let empty = |path: &PathBuf| fs_err::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
    if answer.transcript.as_ref().is_some_and(empty) {
        answer.reason = "the transcript is empty".into();
        return;
    }
    for hazard in &provider.hazards {
        if let Some((reason, remedy)) = objection(*hazard, answer, &row.home, id, sources) {
            answer.reason = reason;
            answer.warnings.push(remedy);
            return;
        }
    }
    let mut template = &provider.resume;
    match holder(row, id, answer.transcript.as_deref()) {
        Ok(None) => {}
        Ok(Some(pid)) if provider.fork.is_empty() => {
            answer.reason = format!("process {pid} has this session open");
            answer.warnings.push(format!("ask again when process {pid} has ended, then the session can be resumed"));
            return;
        }
        Ok(Some(pid)) => {
            answer.warnings.push(format!("process {pid} has this session open, so the command continues a copy of it"));
            template = &provider.fork;
        }
        // It may be open: a copy is safe either way.
        Err(problem) => {
            answer.warnings.push(problem);
            if !provider.fork.is_empty() {
                template = &provider.fork;
            }
        }
    }
    if let Some(cwd) = answer.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        answer.warnings.push(format!("the working folder {} is not there; make it before resuming", cwd.display()));
    }
    if answer.cwd.is_none() {
        answer.warnings.push("the working folder is not recorded; resume from the one the session began in".to_owned());
    }
    answer.advice = Advice::Resume;
    answer.reason = "the session's transcript is there".into();
    answer.command = Some(Provider::command(template, id));
}

/// Why a known hazard speaks against resuming, and what would remove it.
fn objection(
    hazard: Hazard,
    answer: &Answer,
    home: &Path,
    id: SessionId<'_>,
    sources: Sources<'_>,
) -> Option<(String, String)> {
    match hazard {
        Hazard::Archived => {
            let folder = home.join("archived_sessions");
            let archived = answer.transcript.as_ref().is_some_and(|path| path.starts_with(folder));
            archived.then(|| {
                let remedy = format!("run `codex unarchive {id}`, then it can be resumed");
                ("the session is archived, and archived sessions cannot be resumed".to_owned(), remedy)
            })
        }
        Hazard::GeminiRetention => {
            if answer.transcript.as_ref().is_some_and(|path| !is_spoken_in(path)) {
                let remedy = "what is left of the session is a file without messages".to_owned();
                return Some(("the transcript holds no conversation".to_owned(), remedy));
            }
            let variable = |name: &str| sources.environment.get(name).map(std::ffi::OsStr::to_os_string);
            match retention::gemini_retention(home, answer.cwd.as_deref(), &variable) {
                Retention::Disabled => None,
                other => {
                    let why = match other {
                        Retention::Enabled { by: Some(file) } => format!("its clean-up is on in {}", file.display()),
                        Retention::Unknown(why) => why,
                        _ => "its clean-up is on by default".to_owned(),
                    };
                    let remedy = format!(
                        "Gemini CLI 0.52 to 0.61 delete a resumed session at the next start ({why}); set \
                         general.sessionRetention.enabled to false in {} to make resuming safe",
                        home.join("settings.json").display()
                    );
                    Some(("resuming would endanger the session".to_owned(), remedy))
                }
            }
        }
    }
}

/// The process that has the session open, if any.
fn holder(row: &providers::Located, id: SessionId<'_>, transcript: Option<&Path>) -> Result<Option<u32>, String> {
    let proc = Proc::default();
    let live = LiveSessions::gather(&row.provider, &row.live_home, &|text| text == id.as_str(), &proc);
    match live.get(id.as_str()) {
        Some(Liveness::Live { pid, .. }) => return Ok(Some(*pid)),
        Some(Liveness::Unverifiable { reason }) => return Err(format!("it may be open elsewhere: {reason}")),
        None => {}
    }
    let mut problems = live.errors;
    if let (true, Some(path)) = (row.provider.live.contains(&LiveRule::OpenTranscript), transcript) {
        let own_name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let open = OpenFiles::look(&proc, &|name| name == own_name);
        if let Some(pid) = open.holder(path) {
            return Ok(Some(pid));
        }
        problems.extend(open.errors);
    }
    problems.first().map_or(Ok(None), |problem| Err(format!("could not see whether it is open: {problem}")))
}
