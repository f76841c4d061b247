//! Which CLI sessions an agent host goes on with: nanoclaw v1's `store/messages.db`, and in v2 what every session of an
//! agent group says in its `outbound.db`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::installation::is_folder_name;
use crate::sqlite::{Reader, Trouble, open_untrusted, trouble};

/// The ids that v1 goes on with: `sessions.session_id` in the database at `path`.
///
/// # Errors
/// They cannot be read. That there is no database is no proof that nobody goes on.
pub(crate) fn of_v1(path: &Path, patience: Duration) -> Result<Vec<String>> {
    let read = || -> Result<Vec<String>> {
        let Some(reader) = Reader::open(path, patience)? else { bail!("it is not there") };
        let ids = {
            let mut statement = reader.connection().prepare("SELECT session_id FROM sessions")?;
            let ids = statement.query_map([], |row| row.get(0))?;
            ids.collect::<rusqlite::Result<Vec<String>>>()?
        };
        reader.finish()?;
        Ok(ids)
    };
    read().with_context(|| format!("which sessions go on is not known: {}", path.display()))
}

/// The ids that the agent group whose sessions are in `folder` goes on with.
///
/// # Errors
/// One of its sessions cannot be read.
pub(crate) fn of_group(folder: &Path, patience: Duration) -> Result<Vec<String>> {
    let unknown = || format!("which sessions go on is not known: {}", folder.display());
    let mut ids = Vec::new();
    for entry in fs_err::read_dir(folder).with_context(unknown)? {
        let entry = entry.with_context(unknown)?;
        let is_session = entry.file_name().to_str().is_some_and(is_folder_name);
        let kind = entry.file_type().with_context(unknown)?;
        if is_session && kind.is_symlink() {
            bail!("which sessions go on is not known: {} is a link, which is not followed", entry.path().display());
        }
        if !is_session || !kind.is_dir() {
            continue;
        }
        let path = entry.path().join("outbound.db");
        // Its container has run, and there was one.
        let has_run = || [".heartbeat", "outbox"].iter().any(|name| entry.path().join(name).symlink_metadata().is_ok());
        match of_session(&path, patience) {
            Ok(found) => ids.extend(found),
            Err(Trouble::Missing) if !has_run() => {}
            Err(why) => bail!("which sessions go on is not known: {} {why}", path.display()),
        }
    }
    Ok(ids)
}

/// The values of `continuation:<provider>` and, as it was called before, `sdk_session_id`.
fn of_session(path: &Path, patience: Duration) -> Result<Vec<String>, Trouble> {
    let connection = open_untrusted(path, patience)?;
    let read = || -> rusqlite::Result<Vec<String>> {
        if !connection.table_exists(None, "session_state")? {
            return Ok(Vec::new());
        }
        let text =
            "SELECT value FROM session_state WHERE substr(key, 1, 13) = 'continuation:' OR key = 'sdk_session_id'";
        let mut statement = connection.prepare(text)?;
        let mut rows = statement.query([])?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next()? {
            // What is no text names somebody, and nobody can tell whom.
            ids.push(row.get_ref(0)?.as_str()?.to_owned());
        }
        Ok(ids)
    };
    read().map_err(|error| trouble(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn database(path: &Path, sql: &str) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    }

    #[test]
    fn what_goes_on_is_told_by_every_session_of_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let at = |session: &str| folder.path().join(session).join("outbound.db");
        let table = "CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);";
        let values =
            "INSERT INTO session_state VALUES ('continuation:claude', 'a'), ('sdk_session_id', 'b'), ('x', 'c');";
        database(&at("sess-1"), &format!("{table}{values}"));
        database(&at("sess-2"), "CREATE TABLE other (x TEXT)");
        database(&at(".claude-shared"), "CREATE TABLE session_state (wrong TEXT)");
        fs_err::create_dir(folder.path().join("sess-3")).unwrap();
        assert_eq!(of_group(folder.path(), PATIENCE).unwrap(), ["a", "b"]);
        // One that has run has such a database.
        fs_err::write(folder.path().join("sess-3/.heartbeat"), "").unwrap();
        assert!(of_group(folder.path(), PATIENCE).is_err());
        fs_err::remove_file(folder.path().join("sess-3/.heartbeat")).unwrap();
        fs_err::os::unix::fs::symlink("sess-1", folder.path().join("sess-4")).unwrap();
        assert!(of_group(folder.path(), PATIENCE).unwrap_err().to_string().contains("is a link"));
        fs_err::remove_file(folder.path().join("sess-4")).unwrap();
        database(&at("sess-5"), &format!("{table}INSERT INTO session_state VALUES ('continuation:claude', x'00ff')"));
        assert!(of_group(folder.path(), PATIENCE).unwrap_err().to_string().contains("sess-5"));
        fs_err::remove_dir_all(folder.path().join("sess-5")).unwrap();
        fs_err::write(at("sess-3"), "no database, but long enough to be told from one that is empty").unwrap();
        let why = of_group(folder.path(), PATIENCE).unwrap_err().to_string();
        assert!(why.contains("sess-3"), "{why}");
        assert!(of_group(&folder.path().join("none"), PATIENCE).is_err());
    }

    #[test]
    fn without_its_database_v1_may_go_on_with_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store/messages.db");
        assert!(of_v1(&path, PATIENCE).is_err());
        database(
            &path,
            "CREATE TABLE sessions (group_folder TEXT PRIMARY KEY, session_id TEXT NOT NULL); INSERT INTO sessions VALUES ('g', 'a')",
        );
        assert_eq!(of_v1(&path, PATIENCE).unwrap(), ["a"]);
        fs_err::write(&path, "broken").unwrap();
        assert!(of_v1(&path, PATIENCE).is_err());
    }
}
