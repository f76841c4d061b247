//! The files that a pattern names, where there are few of them: live records, locks.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::policy::path_pattern::{Folder, NamePattern, PathPattern};
use crate::policy::session_id::SessionId;

/// The longest id that is looked for where a name does not tell where the id begins.
const LONGEST_ID: usize = 128;

/// One file that a pattern names. It may be gone by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The session in its path; `None` when the pattern has none.
    pub(super) session: Option<String>,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Finds the files of a pattern; those of sessions that are not `wanted` are left out. A folder that is not there has
/// none; one that cannot be read adds to `errors`.
pub(super) fn entries(
    pattern: &PathPattern,
    home: &Path,
    wanted: &dyn Fn(&str) -> bool,
    errors: &mut Vec<String>,
) -> Vec<Entry> {
    let folders = expand(vec![home.to_owned()], &pattern.folders, errors);
    let Some(name) = &pattern.name else {
        let paths = expand(folders, &pattern.tail, errors);
        return paths.into_iter().map(|path| Entry { session: None, path }).collect();
    };
    let mut found = Vec::new();
    for folder in folders {
        for entry in list(&folder, errors) {
            let Some(session) = session_in(name, entry.as_encoded_bytes(), wanted).map(str::to_owned) else { continue };
            for path in expand(vec![folder.join(&entry)], &pattern.tail, errors) {
                found.push(Entry { session: Some(session.clone()), path });
            }
        }
    }
    found
}

/// The wanted session in a name. A name that holds only a part of the id names no session for certain.
fn session_in<'n>(pattern: &NamePattern, name: &'n [u8], wanted: &dyn Fn(&str) -> bool) -> Option<&'n str> {
    let session = |length| {
        let id = std::str::from_utf8(pattern.id_in(name, length)?).ok()?;
        (SessionId::new(id).is_ok() && wanted(id)).then_some(id)
    };
    let mut around = Vec::new();
    if pattern.write_name("", &mut around) {
        return session(name.len().checked_sub(around.len())?);
    }
    if pattern.characters.is_some() {
        return None;
    }
    (1..=LONGEST_ID.min(name.len())).rev().find_map(session)
}

fn expand(mut paths: Vec<PathBuf>, components: &[Folder], errors: &mut Vec<String>) -> Vec<PathBuf> {
    for component in components {
        paths = match component {
            Folder::Literal(name) => paths.into_iter().map(|path| path.join(name)).collect(),
            _ => paths
                .iter()
                .flat_map(|path| {
                    let names = list(path, errors);
                    names.into_iter().filter(|name| component.matches(name.as_bytes())).map(|name| path.join(name))
                })
                .collect(),
        };
    }
    paths
}

fn list(folder: &Path, errors: &mut Vec<String>) -> Vec<std::ffi::OsString> {
    let absent = |kind| matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory);
    let mut names = Vec::new();
    match fs_err::read_dir(folder) {
        Ok(listing) => {
            for entry in listing {
                match entry {
                    Ok(entry) => names.push(entry.file_name()),
                    Err(error) => errors.push(error.to_string()),
                }
            }
        }
        Err(error) if absent(error.kind()) => {}
        Err(error) => errors.push(error.to_string()),
    }
    names
}

/// The number that a name starts with or holds first, for instance the pid in `1415.json`, `pid-7.json`, `inuse.9.lock`.
pub(super) fn first_number(path: &Path) -> Option<u32> {
    let name = path.file_name().map(OsStr::as_bytes)?;
    let start = name.iter().position(u8::is_ascii_digit)?;
    let digits = name[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&name[start..start + digits]).ok()?.parse().ok()
}

/// Whether a name is the number of a process: `1415.json`, `pid-7.json`, `7-0a1b2c3d.json` (Qwen Code).
pub(super) fn is_named_by_pid(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    let (stem, extension) = name.split_once('.').unwrap_or((name, "json"));
    let number = stem.strip_prefix("pid-").unwrap_or(stem);
    let number = match number.split_once('-') {
        Some((number, token)) if token.len() == 8 && token.bytes().all(|byte| byte.is_ascii_hexdigit()) => number,
        Some(_) => return false,
        None => number,
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(number) && number.parse::<u32>().is_ok() && extension.bytes().all(|byte| byte.is_ascii_alphabetic())
}
