//! Whether one session may be resumed, by which command, and what speaks against it.

use std::path::{Path, PathBuf};

use super::locate::is_spoken_in;
use super::{Advice, Answer, Sources};
use crate::filesystem::proc::Proc;
use crate::providers::live::{LiveSessions, Liveness, OpenFiles};
use crate::providers::retention::Retention;
use crate::providers::row::{Hazard, LiveRule, Provider};
use crate::providers::{self, SessionId, retention};

/// Resume if that is safe; otherwise replay, with what would make it safe.
pub(super) fn advise(answer: &mut Answer, row: &providers::Located, id: SessionId<'_>, sources: Sources<'_>) {
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
        // It may be open: a copy is safe either way, and without one nothing is.
        Err(problem) if provider.fork.is_empty() => {
            answer.reason = problem;
            return;
        }
        Err(problem) => {
            answer.warnings.push(problem);
            template = &provider.fork;
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
