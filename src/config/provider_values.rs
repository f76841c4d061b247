//! What the values of a `[[provider]]` row must look like: a text in, the value or what is wrong with it out.

use std::path::{Component, Path, PathBuf};

use crate::policy::process_pattern::ProgramPattern;

/// A check of one element as a check of the whole list.
pub(super) fn each<T>(check: fn(&str) -> Result<T, String>) -> impl FnOnce(Vec<String>) -> Result<Vec<T>, String> {
    move |list| list.iter().map(|text| check(text)).collect()
}

/// A name that fits into reports and options.
pub(super) fn provider_name(name: String) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 40 || name.starts_with('-') || !name.bytes().all(fits) {
        return Err(format!("{name:?} must be 1 to 40 of a-z, 0-9, `-` and `_`, and not begin with `-`"));
    }
    Ok(name)
}

/// A model name, perhaps with any ending.
pub(super) fn model_name(model: &str) -> Result<String, String> {
    let stem = model.strip_suffix('*').unwrap_or(model);
    if model.is_empty() || stem.contains('*') {
        return Err(format!("{model:?}: a model is a name, with `*` at its end only"));
    }
    Ok(model.to_owned())
}

/// Below the user's home (relative) or absolute.
pub(super) fn home_folder(text: &str) -> Result<PathBuf, String> {
    let folder = match text.strip_prefix('~') {
        Some("" | "/") => ".",
        Some(below) if below.starts_with('/') => below.trim_start_matches('/'),
        Some(_) => return Err(format!("{text:?}: only `~/` is understood, not the home of another user")),
        None => text,
    };
    if folder.is_empty() || Path::new(folder).components().any(|part| part == Component::ParentDir) {
        return Err(format!("{text:?} must name a folder, without `..`"));
    }
    Ok(PathBuf::from(folder))
}

/// `VAR`, or `VAR/suffix`.
pub(super) fn home_variable(text: &str) -> Result<(String, String), String> {
    let (variable, suffix) = text.split_once('/').unwrap_or((text, ""));
    if !is_variable(variable) {
        return Err(format!("{text:?} does not begin with the name of an environment variable"));
    }
    if text.contains('/') {
        below(suffix)?;
    }
    Ok((variable.to_owned(), suffix.to_owned()))
}

/// `VAR`.
pub(super) fn variable(text: &str) -> Result<String, String> {
    if is_variable(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is no name of an environment variable")) }
}

fn is_variable(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(fits)
}

/// A pattern for the command line of what a CLI starts.
pub(super) fn helper(text: &str) -> Result<ProgramPattern, String> {
    ProgramPattern::parse(text)
}

/// A pattern for the command line of the CLI itself.
pub(super) fn program(text: &str) -> Result<ProgramPattern, String> {
    let pattern = ProgramPattern::parse(text)?;
    if pattern.names_program() {
        Ok(pattern)
    } else {
        Err(format!("{text:?} would take every program for the CLI: its first word must name one"))
    }
}

/// A relative path that does not lead out of its folder.
pub(super) fn below(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if text.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{text:?} must be a relative path without `..`"));
    }
    Ok(path.to_path_buf())
}

/// A dotted path of keys inside a record.
pub(super) fn field_path(text: &str) -> Result<Vec<String>, String> {
    let keys: Vec<String> = text.split('.').map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) {
        return Err(format!("{text:?} must be a field, or fields with a `.` between them"));
    }
    Ok(keys)
}

/// A file relative to the transcript's folder; it may lie above it.
pub(super) fn file_beside(text: String) -> Result<String, String> {
    let path = Path::new(&text);
    let inside = |part| matches!(part, Component::Normal(_) | Component::ParentDir);
    if path.file_name().is_some() && path.components().all(inside) {
        Ok(text)
    } else {
        Err(format!("{text:?} must be a file's path relative to the transcript's folder"))
    }
}

/// A query that reads. (That it cannot write is the doing of whoever opens the database; this catches slips.)
pub(super) fn query(text: String) -> Result<String, String> {
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if matches!(first.as_str(), "SELECT" | "WITH") { Ok(text) } else { Err("must begin with SELECT".to_owned()) }
}

/// An argument vector with `{id}` inside and `{prompt}` at the end of its last one; or an empty one.
pub(super) fn arguments(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let Some((last, others)) = arguments.split_last() else { return Ok(arguments) };
    let before = last.strip_suffix("{prompt}");
    if before.is_none_or(|before| before.contains("{prompt}")) || others.iter().any(|one| one.contains("{prompt}")) {
        return Err("the last element must end with {prompt}, and no other may hold it".to_owned());
    }
    match others.split_first() {
        Some((program, rest)) if !program.is_empty() && !program.contains("{id}") => {
            if rest.iter().any(|argument| argument.contains("{id}")) {
                Ok(arguments)
            } else {
                Err("no element holds {id}, so it would continue some other session".to_owned())
            }
        }
        _ => Err("the first element must be the program".to_owned()),
    }
}
