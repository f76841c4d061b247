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
    let (mut homes, mut problems) = (Vec::new(), Vec::new());
    for located in catalogue.iter() {
        let Some(folder) = real(&located.home, &mut problems) else { continue };
        let Located { provider, live_home, .. } = located;
        homes.push(Home {
            provider: provider.name.clone(),
            row: Some(provider),
            folder,
            signs: live_home.clone(),
            whose: Whose::Own,
            rules: rules_of(provider)?,
        });
    }
    let agents = catalogue.named(OF_AGENTS).map(|index| catalogue.get(index).0);
    for root in roots {
        let Some(root) = real(root, &mut problems) else {
            problems.push(format!("{}: there is no such folder", root.display()));
            continue;
        };
        if let Some(row) = agents {
            for (folder, whose) in groups_of(&root, &mut problems) {
                let rules = rules_of(row)?.only(is_of_agents);
                let signs = folder.clone();
                homes.push(Home { provider: row.name.clone(), row: Some(row), folder, signs, whose, rules });
            }
        }
        if let Some(folder) = real(&root.join("groups"), &mut problems) {
            let rules = Rules::new(HOST, &[], &[])?;
            let signs = folder.clone();
            homes.push(Home { provider: HOST.to_owned(), row: None, folder, signs, whose: Whose::Host, rules });
        }
    }
    Ok((homes, problems))
}

fn rules_of(provider: &Provider) -> Result<Rules> {
    Rules::new(&provider.name, &provider.transcripts, &provider.subagents)
}

/// The homes of the agent groups below a root: v1's `data/sessions/<group>/.claude`, v2's
/// `data/v2-sessions/<group>/.claude-shared`.
fn groups_of(root: &Path, problems: &mut Vec<String>) -> Vec<(PathBuf, Whose)> {
    let mut found = Vec::new();
    for (sessions, home) in [("data/sessions", ".claude"), ("data/v2-sessions", ".claude-shared")] {
        let Some(sessions) = real(&root.join(sessions), problems) else { continue };
        let listing = match fs_err::read_dir(&sessions) {
            Ok(listing) => listing,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        for entry in listing {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let folder = entry.path().join(home);
            // Neither a group nor its home is reached by a link.
            let is_real = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            if !is_real(&entry.path()) || !is_real(&folder) {
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

/// A folder with links resolved; nothing where there is none.
fn real(folder: &Path, problems: &mut Vec<String>) -> Option<PathBuf> {
    match std::fs::canonicalize(folder) {
        Ok(folder) => Some(folder),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => None,
        Err(error) => {
            problems.push(format!("{}: {error}", folder.display()));
            None
        }
    }
}
