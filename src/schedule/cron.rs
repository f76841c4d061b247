//! Lines for cron: the user's own crontab, `/etc/crontab` and `/etc/cron.d`.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::calendar::When;
use super::crontab::{Form, Line, names_original, runs};
use super::{Kind, PROGRAM, Reach, Schedule, Schedules, State, Surroundings};
use crate::filesystem::proc::Proc;
use crate::filesystem::read_regular;
use crate::programs::Answer;

/// What the programs are called that run such lines. One called busybox may be any of its own, cron among them.
const DAEMONS: [&str; 6] = ["cron", "crond", "fcron", "bcron-sched", "mcron", "busybox"];
/// No table is larger.
const LARGEST: u64 = 1 << 20;
/// Makes timers of the lines, and has no process of its own.
const GENERATOR: &str = "/usr/lib/systemd/system-generators/systemd-crontab-generator";

/// Adds what cron runs. Crontabs of other users are their own: root does not read them either.
pub(super) fn look(surroundings: &Surroundings, schedules: &mut Schedules) {
    let own = format!("crontab of {}", surroundings.login.name);
    match surroundings.programs.ask("crontab", &["-l"]) {
        Answer::Said(text) => {
            add(surroundings, schedules, &text, Form::OfOneUser, (&own, crontabs_changed(surroundings)));
        }
        Answer::Failed(why) if !is_empty(&why) => schedules.failed(&own, &why),
        Answer::NotInstalled | Answer::Failed(_) => {}
    }
    look_at_files(surroundings, schedules);
}

/// The machine's own files. Where they may not be read, what was found elsewhere counts; another program's file is not
/// expected to run ours.
fn look_at_files(surroundings: &Surroundings, schedules: &mut Schedules) {
    let (folder, table) = (surroundings.root.join("etc/cron.d"), surroundings.root.join("etc/crontab"));
    let mut unread = Vec::new();
    let mut files = vec![table.clone()];
    match fs_err::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => files.extend(entries.iter().map(fs_err::DirEntry::path).filter(|path| is_read_by_cron(path))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => unread.push((folder, error.to_string())),
    }
    files.sort();
    for file in files {
        match read_regular(&file, LARGEST) {
            Ok(bytes) => {
                let since = std::fs::metadata(&file).ok().and_then(|metadata| changed(&metadata));
                let place = (&*file.to_string_lossy(), since);
                add(surroundings, schedules, &String::from_utf8_lossy(&bytes), Form::WithUsers, place);
            }
            // What is no file is nothing for cron.
            Err(_) if file.metadata().is_ok_and(|metadata| !metadata.is_file()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => unread.push((file, error.to_string())),
        }
    }
    let is_known = schedules.of(&surroundings.login).next().is_some();
    for (path, why) in unread {
        let name = path.file_name().map(std::ffi::OsStr::to_string_lossy).unwrap_or_default();
        let may_be_ours = name.starts_with(PROGRAM) || name == "cron.d" || path == table;
        let tell = if may_be_ours && !is_known { Schedules::failed } else { Schedules::pass_over };
        tell(schedules, &path.to_string_lossy(), &why);
    }
}

/// When anybody's crontab was written last: one's own cannot be looked at, the folder with all of them can.
fn crontabs_changed(surroundings: &Surroundings) -> Option<DateTime<Utc>> {
    let folders = ["var/spool/cron/crontabs", "var/spool/cron"].map(|folder| surroundings.root.join(folder));
    folders.iter().find_map(|folder| changed(&std::fs::metadata(folder).ok()?))
}

/// When a file was changed, which includes being put there.
fn changed(metadata: &std::fs::Metadata) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(metadata.ctime(), 0)
}

/// Whether something on this machine runs lines for cron; nothing where other users' processes cannot be seen.
pub(super) fn is_running(surroundings: &Surroundings) -> Option<bool> {
    let proc = surroundings.root.join("proc");
    let name = |pid: u32| std::fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
    // Where processes are hidden, this one is.
    name(1)?;
    let pids = Proc::new(&proc).pids().ok()?;
    let mut names = pids.into_iter().filter_map(name);
    Some(names.any(|name| DAEMONS.contains(&name.trim_end())) || Path::new(GENERATOR).exists())
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

fn add(
    surroundings: &Surroundings,
    schedules: &mut Schedules,
    text: &str,
    form: Form,
    (place, since): (&str, Option<DateTime<Utc>>),
) {
    // Whose home another user's line means is not known here.
    let home = Some(surroundings.home.as_path()).filter(|_| form == Form::OfOneUser);
    if names_original(text) {
        schedules.other_pruners.push(place.to_owned());
    }
    for Line { expression, user, program, arguments } in runs(text, form, home, &Path::is_file) {
        let when = When::of_cron(expression);
        let due = when.first_two(surroundings.now, &surroundings.programs);
        schedules.found.push(Schedule {
            kind: Kind::Cron,
            state: State::On,
            user: user.unwrap_or_else(|| surroundings.login.name.clone()),
            place: place.to_owned(),
            since,
            next: due.first().copied(),
            interval: if let [one, other] = due[..] { Some(other - one) } else { None },
            when,
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

    use super::super::Login;
    use super::*;
    use crate::programs::Programs;

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
            root: folder.path().to_owned(),
            home: "/home/anna".into(),
            now: DateTime::from_timestamp(1_795_176_000, 0).unwrap(),
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
        let files =
            [("etc/cron.d/session-sweep", LINES), ("etc/crontab", "1 2 * * * root /usr/bin/session-sweep prune\n")];
        let (_folder, root) = machine(&files, 0);
        assert_eq!(seen(&root), of(&[("anna", "session-sweep"), ("bert", "session-sweep"), ("root", "crontab")]));
        let (_folder, anna) = machine(&files, 1000);
        assert_eq!(seen(&anna), of(&[("anna", "session-sweep")]));
    }

    #[test]
    fn files_that_cron_passes_over_are_passed_over() {
        let names = ["etc/cron.d/session-sweep.dpkg-old", "etc/cron.d/.session-sweep", "etc/cron.d/session-sweep~"];
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
    fn what_cannot_be_read_is_told_where_nothing_was_found() {
        let (_folder, anna) = machine(&[("etc/cron.d", "a file, no folder")], 1000);
        let [problem] = &anna.schedules().not_looked_at[..] else { panic!("one problem") };
        assert!(problem.contains("cron.d"), "{problem}");
        let (_folder, anna) = machine(&[("etc/cron.d", "a file, no folder"), ("etc/crontab", LINES)], 1000);
        let schedules = anna.schedules();
        assert_eq!((schedules.not_looked_at.len(), schedules.passed_over.len()), (0, 1));
    }

    #[test]
    fn whether_cron_runs_is_known_where_processes_can_be_seen() {
        let (_folder, hidden) = machine(&[("proc/7/comm", "sh\n")], 1000);
        assert_eq!(is_running(&hidden), None);
        let without = [("proc/1/comm", "init\n"), ("proc/7/comm", "crontab\n"), ("proc/8/stat", "cron\n")];
        let (_folder, without) = machine(&without, 1000);
        assert_eq!(is_running(&without), Some(Path::new(GENERATOR).exists()));
        let (_folder, with) = machine(&[("proc/1/comm", "init\n"), ("proc/7/comm", "crond\n")], 1000);
        assert_eq!(is_running(&with), Some(true));
    }
}
