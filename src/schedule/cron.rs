//! Lines for cron: the user's own crontab, `/etc/crontab` and `/etc/cron.d`.

use std::io::ErrorKind;
use std::path::Path;

use chrono::{Local, TimeDelta};

use super::calendar::next_of_cron;
use super::crontab::{Form, Line, runs};
use super::program::Answer;
use super::{Kind, Reach, Schedule, Schedules, State, Surroundings};

/// Adds what cron runs. Crontabs of other users are their own: root does not read them either.
pub(super) fn look(surroundings: &Surroundings, schedules: &mut Schedules) {
    let own = format!("crontab of {}", surroundings.login.name);
    match surroundings.programs.ask("crontab", &["-l"]) {
        Answer::Said(text) => add(surroundings, schedules, &text, Form::OfOneUser, &own),
        Answer::Failed(why) if !is_empty(&why) => schedules.failed(&own, &why),
        Answer::NotInstalled | Answer::Failed(_) => {}
    }
    let folder = surroundings.etc.join("cron.d");
    let mut files = vec![surroundings.etc.join("crontab")];
    match fs_err::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => files.extend(entries.iter().map(fs_err::DirEntry::path).filter(|path| is_read_by_cron(path))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => schedules.failed(&folder.to_string_lossy(), &error.to_string()),
    }
    files.sort();
    for file in files {
        let place = file.to_string_lossy();
        match std::fs::read(&file) {
            Ok(bytes) => {
                add(surroundings, schedules, &String::from_utf8_lossy(&bytes), Form::WithUsers, &place);
            }
            // A folder's entry of that kind is no file for cron.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {}
            Err(error) => schedules.failed(&place, &error.to_string()),
        }
    }
}

/// Whether a failure of `crontab -l` says that there is none: of vixie-cron and cronie, and of busybox.
fn is_empty(why: &str) -> bool {
    why.contains("no crontab for") || why.contains("can't open")
}

/// Debian's cron passes over names with anything else in them, such as a package's `.dpkg-old`.
fn is_read_by_cron(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn add(surroundings: &Surroundings, schedules: &mut Schedules, text: &str, form: Form, place: &str) {
    // Whose home another user's line means is not known here.
    let home = Some(surroundings.home.as_path()).filter(|_| form == Form::OfOneUser);
    for Line { expression, user, program, arguments } in runs(text, form, home, &Path::is_file) {
        let due = next_of_cron(&expression, &Local, surroundings.now);
        schedules.found.push(Schedule {
            kind: Kind::Cron,
            state: State::On,
            user: user.unwrap_or_else(|| surroundings.login.name.clone()),
            place: place.to_owned(),
            next: due.map(|(next, _)| next),
            interval: due.map(|(_, interval)| interval),
            delay: TimeDelta::zero(),
            last: None,
            program,
            arguments,
            reach: Reach::default(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::super::{Login, Programs};
    use super::*;

    fn machine(files: &[(&str, &str)], user: u32) -> (tempfile::TempDir, Surroundings) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let name = if user == 0 { "root" } else { "anna" }.to_owned();
        let surroundings = Surroundings {
            login: Login { id: user, name },
            programs: Programs { path: OsString::new(), variables: Vec::new() },
            user_units: PathBuf::new(),
            runtime: folder.path().join("run"),
            etc: folder.path().to_owned(),
            home: "/home/anna".into(),
            now: chrono::DateTime::from_timestamp(1_795_176_000, 0).unwrap(),
        };
        (folder, surroundings)
    }

    const LINES: &str = "17 * * * * anna /usr/bin/session-sweep sweep\n18 * * * * bert /usr/bin/session-sweep sweep\n";

    fn seen(surroundings: &Surroundings) -> Vec<(String, String)> {
        let found = surroundings.schedules().found.into_iter();
        found.map(|schedule| (schedule.user, schedule.place.rsplit('/').next().unwrap().to_owned())).collect()
    }

    fn of(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(user, file)| ((*user).to_owned(), (*file).to_owned())).collect()
    }

    #[test]
    fn root_sees_every_users_lines_and_everybody_else_his_own() {
        let files = [("cron.d/session-sweep", LINES), ("crontab", "1 2 * * * root /usr/bin/session-sweep prune\n")];
        let (_folder, root) = machine(&files, 0);
        assert_eq!(seen(&root), of(&[("anna", "session-sweep"), ("bert", "session-sweep"), ("root", "crontab")]));
        let (_folder, anna) = machine(&files, 1000);
        assert_eq!(seen(&anna), of(&[("anna", "session-sweep")]));
    }

    #[test]
    fn files_that_cron_passes_over_are_passed_over() {
        let names = ["cron.d/session-sweep.dpkg-old", "cron.d/.session-sweep", "cron.d/session-sweep~"];
        let (_folder, anna) = machine(&names.map(|name| (name, LINES)), 1000);
        assert_eq!(seen(&anna), []);
    }

    #[test]
    fn a_machine_without_cron_has_no_lines_and_nothing_that_could_not_be_looked_at() {
        let (_folder, anna) = machine(&[], 1000);
        let schedules = anna.schedules();
        assert!(schedules.found.is_empty() && schedules.not_looked_at.is_empty(), "{schedules:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let (_folder, anna) = machine(&[("cron.d", "a file, no folder")], 1000);
        let [problem] = &anna.schedules().not_looked_at[..] else { panic!("one problem") };
        assert!(problem.contains("cron.d"), "{problem}");
    }
}
