//! Which homes there are: each CLI's own, and the copies that an agent host keeps for its groups.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::artifacts::kinds::is_of_agents;
use crate::artifacts::rules::Rules;
use crate::providers::{Catalogue, Located, Provider};

/// The provider whose files an agent host's groups keep.
const OF_AGENTS: &str = "claude";
/// What makes the logs of an agent host's groups.
const HOST: &str = "nanoclaw";

/// Where things are pruned.
#[derive(Debug)]
pub(crate) struct Home<'c> {
    /// Whose kinds these are.
    pub(crate) provider: String,
    /// Its row; nothing for what is no CLI's.
    pub(crate) row: Option<&'c Provider>,
    /// Links resolved.
    pub(crate) folder: PathBuf,
    /// Where the signs of live processes are.
    pub(crate) signs: PathBuf,
    pub(crate) whose: Whose,
    /// Whether CLIs of this machine, not in containers, work in it.
    pub(crate) sees_processes: bool,
    pub(crate) rules: Rules,
}

/// Who works in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Processes of this machine.
    Own,
    /// Containers of one agent group.
    Group { group: String, continued: Continued },
    /// An agent host itself, for its logs.
    Host,
}

/// Where it stands which sessions an agent group goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Continued {
    /// `store/messages.db`.
    V1(PathBuf),
    /// The folder of the group's sessions.
    V2(PathBuf),
}

/// All homes that are there: the CLIs', then those below each of `roots`. The second part is what could not be looked at.
///
/// # Errors
/// A place in the table of kinds is none.
pub(crate) fn homes<'c>(catalogue: &'c Catalogue, roots: &[PathBuf]) -> Result<(Vec<Home<'c>>, Vec<String>)> {
    let (mut homes, mut problems): (Vec<Home<'_>>, Vec<String>) = (Vec::new(), Vec::new());
    let agents = catalogue.named(OF_AGENTS).map(|index| catalogue.get(index).0);
    for root in roots {
        let before = problems.len();
        let Some(root) = real(root, &mut problems) else {
            // What could not be looked at was told.
            if problems.len() == before {
                problems.push(format!("{}: there is no such folder", root.display()));
            }
            continue;
        };
        if let Some(row) = agents {
            for (folder, whose) in groups_of(&root, &mut problems) {
                homes.push(Home {
                    provider: row.name.clone(),
                    row: Some(row),
                    signs: folder.clone(),
                    folder,
                    whose,
                    sees_processes: false,
                    rules: rules_of(row)?.only(is_of_agents),
                });
            }
        }
        if let Some(folder) = below(&root, "groups", &mut problems) {
            homes.push(Home {
                provider: HOST.to_owned(),
                row: None,
                signs: folder.clone(),
                folder,
                whose: Whose::Host,
                sees_processes: false,
                rules: Rules::new(HOST, &[], &[])?,
            });
        }
    }
    let mut own = Vec::new();
    for Located { provider, home, live_home } in catalogue.iter() {
        if !home.is_absolute() {
            let why = "a home is an absolute path, and this one would be another one from each folder";
            problems.push(format!("{}: {}: {why}", provider.name, home.display()));
            continue;
        }
        let Some(folder) = real(home, &mut problems) else { continue };
        // Who points a CLI at a group's home works in it beside the group: all guards of both count.
        if let Some(shared) = homes.iter_mut().find(|other| other.folder == folder) {
            shared.sees_processes = true;
            continue;
        }
        own.push(Home {
            provider: provider.name.clone(),
            row: Some(provider),
            folder,
            signs: live_home.clone(),
            whose: Whose::Own,
            sees_processes: true,
            rules: rules_of(provider)?,
        });
    }
    own.append(&mut homes);
    Ok((own, problems))
}

fn rules_of(provider: &Provider) -> Result<Rules> {
    Rules::new(&provider.name, &provider.transcripts, &provider.subagents)
}

/// The homes of the agent groups below a root: v1's `data/sessions/<group>/.claude`, v2's
/// `data/v2-sessions/<group>/.claude-shared`.
fn groups_of(root: &Path, problems: &mut Vec<String>) -> Vec<(PathBuf, Whose)> {
    let mut found = Vec::new();
    for (sessions, home) in [("data/sessions", ".claude"), ("data/v2-sessions", ".claude-shared")] {
        let Some(sessions) = below(root, sessions, problems) else { continue };
        let listing = fs_err::read_dir(&sessions).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let listing = listing.unwrap_or_else(|error| {
            problems.push(error.to_string());
            Vec::new()
        });
        for entry in listing {
            let folder = entry.path().join(home);
            // Neither a group nor its home is reached by a link.
            if !is_real(&entry.path(), problems) || !is_real(&folder, problems) {
                continue;
            }
            let group = entry.file_name().to_string_lossy().into_owned();
            let continued = match home {
                ".claude" => Continued::V1(root.join("store/messages.db")),
                _ => Continued::V2(entry.path()),
            };
            found.push((folder, Whose::Group { group, continued }));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// Whether this is a folder, and not a link to one; what cannot be looked at is told.
fn is_real(path: &Path, problems: &mut Vec<String>) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(found) => found.is_dir(),
        Err(error) if is_absent(&error) => false,
        Err(error) => {
            problems.push(format!("{}: {error}", path.display()));
            false
        }
    }
}

/// The folder at `path` below `root`; nothing where there is none, or where it is reached by a link, which is told.
fn below(root: &Path, path: &str, problems: &mut Vec<String>) -> Option<PathBuf> {
    let mut folder = root.to_owned();
    for component in Path::new(path) {
        folder.push(component);
        if std::fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink()) {
            problems.push(format!("{}: this is a link, which is not followed", folder.display()));
            return None;
        }
        if !is_real(&folder, problems) {
            return None;
        }
    }
    Some(folder)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// A folder with links resolved; nothing where there is none.
fn real(folder: &Path, problems: &mut Vec<String>) -> Option<PathBuf> {
    match std::fs::canonicalize(folder) {
        Ok(folder) => Some(folder),
        Err(error) if is_absent(&error) => None,
        Err(error) => {
            problems.push(format!("{}: {error}", folder.display()));
            None
        }
    }
}
