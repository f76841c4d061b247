//! Whose a container is: which session of which installation.
//!
//! Two things tell: the labels that newer hosts give their containers, and the folder at `/workspace`, which is the
//! session's. Where both tell, both must tell the same. A name is no evidence: installations share them.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use super::installation::{Installation, is_folder_name};
use super::runtime::Container;

/// What containers of an agent have as `nanoclaw-role`, if they have that label.
const AGENT: &str = "agent";

/// Whose a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// A session's of this installation. It lives as long as this one does, whoever started it; only what another
    /// installation does not claim, and what is no gateway, may be stopped.
    Session { group: String, session: String, may_be_stopped: bool },
    /// This installation's; of which session cannot be told, for this reason. It is kept.
    Unknown(String),
    /// This installation's, in this role: none of a session's.
    Auxiliary(String),
    /// Nothing shows that it is this installation's.
    Foreign,
}

/// Tells whose `container` is, as seen from `installation`.
pub(crate) fn belongs(container: &Container, installation: &Installation) -> Belongs {
    let mounted = mounted(container, &installation.sessions);
    let of_mount = |may_be_stopped| {
        let session = |(group, session): (&str, &str)| session_of(group, session, may_be_stopped);
        mounted.map(session)
    };
    let is_ours = match container.install.as_deref() {
        Some(slug) if slug != installation.slug => return of_mount(false).unwrap_or(Belongs::Foreign),
        install => install.is_some(),
    };
    if let Some(role) = container.role.as_deref().filter(|role| *role != AGENT) {
        // Whatever it is for, it writes where the session's agent would.
        let otherwise = || if is_ours { Belongs::Auxiliary(role.to_owned()) } else { Belongs::Foreign };
        return of_mount(false).unwrap_or_else(otherwise);
    }
    // Labels of who knows whom say nothing.
    let label = |label: &'_ Option<String>| label.clone().filter(|_| is_ours);
    match (label(&container.session), label(&container.group), mounted) {
        (session, group, Some(mounted)) => {
            let is_other = |label: Option<String>, name: &str| label.is_some_and(|label| label != name);
            if is_other(session, mounted.1) || is_other(group, mounted.0) {
                return Belongs::Unknown(contradiction(container));
            }
            session_of(mounted.0, mounted.1, true)
        }
        (Some(session), Some(group), None) => by_labels(container, &group, &session),
        (Some(_), None, None) => Belongs::Unknown("its labels name a session, but no group".to_owned()),
        (None, _, None) if is_ours => {
            Belongs::Unknown("no label names its session, and /workspace is no session's folder".to_owned())
        }
        (None, _, None) => Belongs::Foreign,
    }
}

/// Whether it cannot be ruled out that `container` writes in the session's folder. Ids of sessions are unique, whatever
/// their group.
pub(crate) fn may_be_of(container: &Container, installation: &Installation, session: &str) -> bool {
    match belongs(container, installation) {
        Belongs::Unknown(_) => {
            let labelled = container.session.as_deref().filter(|session| is_folder_name(session));
            let mounted = mounted(container, &installation.sessions).map(|(_, session)| session);
            let mut told = labelled.into_iter().chain(mounted).peekable();
            // Of which session nothing tells, it may be every one's.
            told.peek().is_none() || told.any(|told| told == session)
        }
        Belongs::Session { session: its_session, .. } => its_session == session,
        Belongs::Auxiliary(_) | Belongs::Foreign => false,
    }
}

/// Whether a container that is nobody's of this installation may have the very folder at /workspace: by another way to it, of
/// which its path says nothing, or as a machine names it whose folders cannot be looked at from here, which is where a
/// runtime in a virtual machine is, and where a sweep inside a container has its runtime.
pub(crate) fn may_have_folder(container: &Container, folder: &Path) -> bool {
    let same_name = |workspace: &&Path| workspace.is_absolute() && workspace.file_name() == folder.file_name();
    let Some(workspace) = container.workspace.as_deref().filter(same_name) else { return false };
    let identity = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let group = |path: &Path| path.parent().and_then(Path::file_name).map(std::ffi::OsStr::to_owned);
    match identity(workspace) {
        Ok(workspace) => identity(folder).is_ok_and(|folder| folder == workspace),
        Err(_) => group(workspace) == group(folder),
    }
}

/// Of a container with nothing of ours at `/workspace`: what is there may still show another session.
fn by_labels(container: &Container, group: &str, session: &str) -> Belongs {
    if !is_folder_name(group) || !is_folder_name(session) {
        return Belongs::Unknown("its labels name what cannot be a session's folder".to_owned());
    }
    // A runtime in a virtual machine may have the folder at another place.
    let is_same = |workspace: &Path| workspace.ends_with(Path::new(group).join(session));
    match &container.workspace {
        Some(workspace) if !is_same(workspace) => Belongs::Unknown(contradiction(container)),
        _ => session_of(group, session, true),
    }
}

/// The group and session whose folder is at `/workspace`.
fn mounted<'c>(container: &'c Container, sessions: &Path) -> Option<(&'c str, &'c str)> {
    let below = container.workspace.as_deref()?.strip_prefix(sessions).ok()?;
    let mut names = below.components().map(|part| match part {
        Component::Normal(name) => name.to_str().filter(|name| is_folder_name(name)),
        _ => None,
    });
    match (names.next()??, names.next()??, names.next()) {
        (group, session, None) => Some((group, session)),
        _ => None,
    }
}

fn session_of(group: &str, session: &str, may_be_stopped: bool) -> Belongs {
    Belongs::Session { group: group.to_owned(), session: session.to_owned(), may_be_stopped }
}

fn contradiction(container: &Container) -> String {
    let label = |label: &Option<String>| label.clone().unwrap_or_else(|| "-".to_owned());
    let workspace = container.workspace.as_deref().unwrap_or(Path::new("-"));
    let (group, session) = (label(&container.group), label(&container.session));
    format!("its labels name session {session} of group {group}, but /workspace is {}", workspace.display())
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
