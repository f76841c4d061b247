//! What a replacement does when others act between its steps.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::names::rename_over;
use super::super::snapshot::Snapshot;
use super::{Prepared, Protection, ReplaceError, Replaced, Step};

const NO_HOLD: Duration = Duration::ZERO;

struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        put(&path, "old");
        Self { folder, path }
    }

    fn prepare(&self) -> (Snapshot, Prepared) {
        let snapshot = Snapshot::open(&self.path, 1_000_000).unwrap();
        let prepared = Prepared::write(&snapshot, &[b"n", b"ew"]).unwrap();
        (snapshot, prepared)
    }

    /// Commits while `act` acts at `moment`, the first time it comes.
    fn commit_while(&self, moment: Step, act: impl FnOnce()) -> Result<Replaced, ReplaceError> {
        let (snapshot, prepared) = self.prepare();
        let mut act = Some(act);
        prepared.commit_watched(&snapshot, NO_HOLD, &mut |step| {
            if let Some(act) = act.take_if(|_| step == moment) {
                act();
            }
        })
    }

    fn rename_over(&self, text: &str) {
        put(&self.folder.path().join("theirs"), text);
        let folder = File::open(self.folder.path()).unwrap();
        rename_over(std::os::fd::AsFd::as_fd(&folder), "theirs".as_ref(), "map".as_ref()).unwrap();
    }

    /// The file's content, after checking that nothing else is left.
    fn text(&self) -> String {
        assert_eq!(fs_err::read_dir(self.folder.path()).unwrap().count(), 1, "something was left behind");
        fs_err::read_to_string(&self.path).unwrap()
    }
}

fn put(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Returns when a thread waits (in the open that it is about to do) or has ended.
fn until_waiting(thread: &std::thread::ScopedJoinHandle<'_, ()>, task: &std::sync::mpsc::Receiver<PathBuf>) {
    let stat = PathBuf::from("/proc").join(task.recv().unwrap()).join("stat");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut asleep = 0;
    // More than once: it may also wait for a moment on its way there.
    while asleep < 50 && !thread.is_finished() {
        let state = fs_err::read_to_string(&stat).unwrap_or_default();
        let sleeps = state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['S', 'D']));
        asleep = if sleeps { asleep + 1 } else { 0 };
        assert!(Instant::now() < deadline, "the opener neither waits nor ends");
        std::thread::yield_now();
    }
}

fn done_under_lease() -> Replaced {
    Replaced::Done(Protection::Lease)
}

#[test]
fn new_content_takes_the_place_with_the_old_mode_and_attributes() {
    let place = Place::new();
    fs_err::set_permissions(&place.path, PermissionsExt::from_mode(0o640)).unwrap();
    let xattr = rustix::fs::setxattr(&place.path, "user.note", b"kept", rustix::fs::XattrFlags::empty());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&place.path, Some(1234), Some(1235)).unwrap();
    }
    let before = fs_err::metadata(&place.path).unwrap();
    let (snapshot, prepared) = place.prepare();
    assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), done_under_lease());
    assert_eq!(place.text(), "new");
    let after = fs_err::metadata(&place.path).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino());
    if xattr.is_ok() {
        let mut value = [0; 16];
        let count = rustix::fs::getxattr(&place.path, "user.note", &mut value).unwrap();
        assert_eq!(&value[..count], b"kept");
    }
}

#[test]
fn a_symlink_stays_one() {
    let place = Place::new();
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    fs_err::os::unix::fs::symlink(&place.path, &link).unwrap();
    let snapshot = Snapshot::open(&link, 100).unwrap();
    Prepared::write(&snapshot, &[b"new"]).unwrap().commit(&snapshot, NO_HOLD).unwrap();
    assert_eq!(place.text(), "new");
    assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs_err::read_dir(links.path()).unwrap().count(), 1);
}

#[test]
fn rewritten_replaced_or_removed_since_it_was_read_is_changed() {
    for act in [
        (|place: &Place| put(&place.path, "OLD")) as fn(&Place),
        |place| place.rename_over("old"),
        |place| fs_err::set_permissions(&place.path, PermissionsExt::from_mode(0o600)).unwrap(),
    ] {
        let place = Place::new();
        fs_err::set_permissions(&place.path, PermissionsExt::from_mode(0o644)).unwrap();
        let (snapshot, prepared) = place.prepare();
        act(&place);
        assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), Replaced::Changed);
        assert_eq!(place.text().to_lowercase(), "old");
    }
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    super::super::remove::remove_file(&place.path).unwrap();
    assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), Replaced::Changed);
    assert_eq!(fs_err::read_dir(place.folder.path()).unwrap().count(), 0);
}

#[test]
fn rewrite_that_keeps_length_and_time_is_seen_by_its_bytes() {
    let place = Place::new();
    let time = fs_err::metadata(&place.path).unwrap().modified().unwrap();
    let (snapshot, prepared) = place.prepare();
    put(&place.path, "OLD");
    OpenOptions::new().write(true).open(&place.path).unwrap().set_modified(time).unwrap();
    assert!(snapshot.looks_unchanged());
    assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), Replaced::Changed);
    assert_eq!(place.text(), "OLD");
}

#[test]
fn rename_while_comparing_is_changed() {
    let place = Place::new();
    let result = place.commit_while(Step::Guarded, || place.rename_over("theirs")).unwrap();
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "theirs"));
}

#[test]
fn rename_between_comparison_and_exchange_is_put_back() {
    let place = Place::new();
    let result = place.commit_while(Step::Compared, || place.rename_over("theirs")).unwrap();
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "theirs"));
}

#[test]
fn two_renames_around_the_exchange_leave_the_later_one() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let result = prepared
        .commit_watched(&snapshot, NO_HOLD, &mut |step| match step {
            Step::Compared => place.rename_over("first"),
            Step::Exchanged => place.rename_over("second"),
            _ => {}
        })
        .unwrap();
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "second"));
}

#[test]
fn rename_after_the_exchange_was_verified_wins() {
    let place = Place::new();
    let result = place.commit_while(Step::Verified, || place.rename_over("theirs")).unwrap();
    assert_eq!((result, place.text().as_str()), (done_under_lease(), "theirs"));
}

#[test]
fn path_removed_during_the_exchange_gets_their_last_content_back() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let result = prepared
        .commit_watched(&snapshot, NO_HOLD, &mut |step| match step {
            Step::Compared => place.rename_over("theirs"),
            Step::Exchanged => drop(super::super::remove::remove_file(&place.path).unwrap()),
            _ => {}
        })
        .unwrap();
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "theirs"));
}

/// A writer that found the old file and opens it at `moment`, to rewrite it in place.
fn rewriting_at(moment: Step) -> (Replaced, String, Vec<Step>) {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    // An open by descriptor stands for one whose path was resolved before the exchange.
    let resolved = rustix::fs::open(&place.path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let resolved = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&resolved)));
    let mut steps = Vec::new();
    let result = std::thread::scope(|threads| {
        prepared
            .commit_watched(&snapshot, NO_HOLD, &mut |step| {
                if step == moment && !steps.contains(&step) {
                    let (tell, task) = std::sync::mpsc::channel();
                    let resolved = resolved.clone();
                    let thread = threads.spawn(move || {
                        tell.send(fs_err::read_link("/proc/thread-self").unwrap()).unwrap();
                        put(&resolved, "old and their change");
                    });
                    until_waiting(&thread, &task);
                }
                steps.push(step);
            })
            .unwrap()
    });
    (result, place.text(), steps)
}

#[test]
fn in_place_writers_who_had_found_the_old_file_keep_it() {
    for moment in [Step::Guarded, Step::Compared, Step::Exchanged, Step::Verified, Step::Held] {
        let (result, text, steps) = rewriting_at(moment);
        // At `Held` the last look is still to come.
        assert_eq!((result, text.as_str()), (Replaced::Changed, "old and their change"), "{moment:?}: {steps:?}");
        let exchanged = matches!(moment, Step::Exchanged | Step::Verified | Step::Held);
        assert_eq!(steps.contains(&Step::PutBack), exchanged, "{moment:?}: {steps:?}");
        // Who waits already does not have to wait for the hold as well.
        assert_eq!(steps.contains(&Step::Held), moment == Step::Held, "{moment:?}: {steps:?}");
    }
}

#[test]
fn who_opens_the_new_file_before_it_is_put_back_reads_what_belongs_there() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let result = std::thread::scope(|threads| {
        let mut reader = None;
        let result = prepared
            .commit_watched(&snapshot, NO_HOLD, &mut |step| match step {
                Step::Compared => place.rename_over("theirs, and longer than ours"),
                Step::Exchanged => {
                    let (tell, task) = std::sync::mpsc::channel();
                    let path = place.path.clone();
                    let thread = threads.spawn(move || {
                        tell.send(fs_err::read_link("/proc/thread-self").unwrap()).unwrap();
                        assert_eq!(fs_err::read_to_string(&path).unwrap(), "theirs, and longer than ours");
                    });
                    until_waiting(&thread, &task);
                    reader = Some(thread);
                }
                _ => {}
            })
            .unwrap();
        reader.unwrap().join().unwrap();
        result
    });
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "theirs, and longer than ours"));
}

#[test]
fn a_waiting_reader_of_the_old_file_costs_nobody_what_was_written_into_the_new_one() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let resolved = rustix::fs::open(&place.path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let found = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&resolved)));
    let mut put_back = false;
    let result = std::thread::scope(|threads| {
        prepared
            .commit_watched(&snapshot, NO_HOLD, &mut |step| {
                put_back |= step == Step::PutBack;
                if step == Step::Verified {
                    let (tell, task) = std::sync::mpsc::channel();
                    let found = found.clone();
                    let thread = threads.spawn(move || {
                        tell.send(fs_err::read_link("/proc/thread-self").unwrap()).unwrap();
                        assert_eq!(fs_err::read_to_string(found).unwrap(), "old");
                    });
                    until_waiting(&thread, &task);
                    put(&place.path, "new and their change");
                }
            })
            .unwrap()
    });
    assert!(!put_back, "their next change would have started from the old file");
    assert_eq!((result, place.text().as_str()), (done_under_lease(), "new and their change"));
}

#[test]
fn a_reader_is_waited_for() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let mut reader = File::open(&place.path).unwrap();
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), done_under_lease());
    assert_eq!((read.join().unwrap().as_str(), place.text().as_str()), ("old", "new"));
}

#[test]
fn a_reader_that_never_ends_does_not_stop_us() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let _reader = File::open(&place.path).unwrap();
    assert_eq!(prepared.commit(&snapshot, NO_HOLD).unwrap(), done_under_lease());
    assert_eq!(place.text(), "new");
}

#[test]
fn a_file_that_stays_open_for_writing_is_replaced_by_comparison() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let writer = OpenOptions::new().write(true).open(&place.path).unwrap();
    let result = prepared.commit(&snapshot, NO_HOLD).unwrap();
    assert!(matches!(result, Replaced::Done(Protection::NoLease { .. })), "{result:?}");
    assert_eq!(place.text(), "new");
    drop(writer);
}

#[test]
fn without_a_lease_a_write_after_the_exchange_is_seen_and_put_back() {
    let place = Place::new();
    let (snapshot, prepared) = place.prepare();
    let mut writer = OpenOptions::new().write(true).open(&place.path).unwrap();
    let result = prepared
        .commit_watched(&snapshot, NO_HOLD, &mut |step| {
            if step == Step::Verified {
                writer.write_all(b"OLD").unwrap();
            }
        })
        .unwrap();
    assert_eq!((result, place.text().as_str()), (Replaced::Changed, "OLD"));
}

#[test]
fn what_is_not_committed_leaves_no_trace() {
    let place = Place::new();
    drop(place.prepare());
    assert_eq!(place.text(), "old");
}

#[test]
fn a_folder_that_cannot_be_written_leaves_the_old_file() {
    if rustix::process::geteuid().is_root() {
        return; // Nothing is read-only for root.
    }
    let place = Place::new();
    let snapshot = Snapshot::open(&place.path, 100).unwrap();
    fs_err::set_permissions(place.folder.path(), PermissionsExt::from_mode(0o555)).unwrap();
    let message = Prepared::write(&snapshot, &[b"new"]).unwrap_err().to_string();
    fs_err::set_permissions(place.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert!(message.contains("must be writable"), "{message}");
    assert_eq!(place.text(), "old");
}

/// Named in the environment of the child that is killed at a step.
const KILL_AT: &str = "SESSION_SWEEP_TEST_KILL";

#[test]
fn killed_at_any_step_the_path_names_old_or_new() {
    if let Ok(request) = std::env::var(KILL_AT) {
        let (step, path) = request.split_once(' ').unwrap();
        return die_at(step, Path::new(path));
    }
    for (step, expected) in
        [("Guarded", "old"), ("Compared", "old"), ("Exchanged", "new"), ("Verified", "new"), ("Held", "new")]
    {
        let place = Place::new();
        let status = std::process::Command::new("/proc/self/exe")
            .args(["--exact", "filesystem::replace::tests::killed_at_any_step_the_path_names_old_or_new"])
            .env(KILL_AT, format!("{step} {}", place.path.display()))
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL), "{step}");
        assert_eq!(fs_err::read_to_string(&place.path).unwrap(), expected, "{step}");
        let removed = super::super::remove_leftovers(place.folder.path(), &["map".as_ref()]).unwrap();
        assert_eq!((removed, place.text().as_str()), (1, expected), "{step}");
    }
}

fn die_at(name: &str, path: &Path) {
    let snapshot = Snapshot::open(path, 100).unwrap();
    let prepared = Prepared::write(&snapshot, &[b"new"]).unwrap();
    prepared
        .commit_watched(&snapshot, NO_HOLD, &mut |step| {
            if format!("{step:?}") == name {
                let us = rustix::process::getpid();
                rustix::process::kill_process(us, rustix::process::Signal::KILL).unwrap();
            }
        })
        .unwrap();
}
