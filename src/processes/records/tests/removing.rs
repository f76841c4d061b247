use std::ffi::OsString;

use super::*;
use crate::processes::records::{Removal, Source};

fn names(world: &World) -> Vec<String> {
    let entries = fs_err::read_dir(world.records.folder()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_record_goes_with_its_folder_and_nothing_else() {
    let world = World::new();
    world.metadata(ID, "{\"pid\": 5}");
    world.file(&format!("{ID}/heartbeat.pid"), "7\n");
    world.file(&format!("{ID}/{}", left_by_a_dead_run()), "{");
    world.file(&format!("{ID}.lock.dir/pid"), "7\n");
    world.file("registry.jsonl", format!("{{\"session_id\": \"{ID}\"}}"));
    world.file("4711.json", "{}");
    world.metadata("other", "{}");
    world.file("other/heartbeat.pid", "8\n");
    let record = world.records.read().0.into_iter().find(|record| record.session_id == id(ID)).unwrap();
    assert_eq!(world.hold().remove(&record), Ok(Removal::Gone));
    assert_eq!(names(&world), [&format!("{ID}.lock.dir"), "4711.json", "other", "registry.jsonl"]);
    assert!(world.path(&format!("{ID}.lock.dir/pid")).exists() && world.path("other/heartbeat.pid").exists());
    assert_eq!(world.hold().remove(&record), Ok(Removal::Changed));
}

#[test]
fn what_is_not_known_stays_with_its_folder_and_is_named() {
    let world = World::new();
    world.metadata(ID, "{\"pid\": 5}");
    world.file("registry.jsonl", format!("{{\"session_id\": \"{ID}\", \"pid\": 5}}"));
    world.file(&format!("{ID}/notes.md"), "theirs");
    fs_err::create_dir(world.path(&format!("{ID}/heartbeat.pid"))).unwrap();
    let elsewhere = world.file("elsewhere", "theirs");
    fs_err::os::unix::fs::symlink(&elsewhere, world.path(&format!("{ID}/link"))).unwrap();
    let record = world.only();
    let rest = ["heartbeat.pid", "link", "notes.md"].map(OsString::from);
    assert_eq!(world.hold().remove(&record), Ok(Removal::FolderStays(rest.into())));
    assert!(!world.metadata_path(ID).exists() && elsewhere.exists());
    fs_err::remove_dir(world.path(&format!("{ID}/heartbeat.pid"))).unwrap();
    assert_eq!(world.records.read(), (Vec::new(), Vec::new()), "it does not come back by its entry in the registry");
}

#[test]
fn a_record_that_was_changed_since_it_was_read_stays() {
    let world = World::new();
    let (session, process) = (id(ID), process(500, 77));
    let held = world.hold();
    held.register(&registration(&session, Some(&process), noon(0))).unwrap();
    world.file(&format!("{ID}/heartbeat.pid"), "7\n");
    let record = world.only();
    held.beat(&sign(&session, Some(&process), noon(90)), std::time::Duration::ZERO).unwrap();
    assert_eq!(held.remove(&record), Ok(Removal::Changed));
    assert!(world.metadata_path(ID).exists() && world.path(&format!("{ID}/heartbeat.pid")).exists());
    assert_eq!(held.remove(&world.only()), Ok(Removal::Gone));
}

#[test]
fn a_link_in_place_of_the_folder_or_the_file_is_not_followed() {
    let world = World::new();
    let elsewhere = world.folder.path().join("elsewhere");
    world.metadata(ID, "{\"pid\": 5}");
    let record = world.only();
    fs_err::rename(world.path(ID), &elsewhere).unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, world.path(ID)).unwrap();
    // It is the very same file, in a folder that is not there any more.
    assert_eq!(world.hold().remove(&record), Ok(Removal::Changed));
    assert!(elsewhere.join("metadata.json").exists() && world.path(ID).is_symlink());
    fs_err::remove_file(world.path(ID)).unwrap();
    fs_err::create_dir(world.path(ID)).unwrap();
    fs_err::os::unix::fs::symlink(elsewhere.join("metadata.json"), world.metadata_path(ID)).unwrap();
    assert_eq!(world.hold().remove(&record), Ok(Removal::Changed));
    assert!(world.metadata_path(ID).is_symlink());
}

#[test]
fn a_record_in_doubt_stays() {
    let world = World::new();
    world.metadata(ID, "{\"pid\": \"5\"}");
    let error = world.hold().remove(&world.only()).unwrap_err();
    assert!(error.contains("stays: its pid is no number"), "{error}");
    assert!(world.metadata_path(ID).exists());
}

#[test]
fn a_record_that_stands_in_the_registry_alone_goes_unless_it_has_metadata_by_then() {
    let world = World::new();
    world.file("registry.jsonl", format!("{{\"session_id\": \"{ID}\", \"pid\": 5}}"));
    world.file(&format!("{ID}/heartbeat.pid"), "7\n");
    let record = world.only();
    assert_eq!(record.source, Source::Registry);
    world.metadata(ID, "{\"pid\": 5}");
    assert_eq!(world.hold().remove(&record), Ok(Removal::Changed));
    fs_err::remove_file(world.metadata_path(ID)).unwrap();
    assert_eq!(world.hold().remove(&record), Ok(Removal::Gone));
    assert_eq!(names(&world), ["registry.jsonl"]);
}

#[test]
fn records_that_were_never_finished_are_tidied_away() {
    let world = World::new();
    assert!(world.hold().tidy().is_empty());
    let left = left_by_a_dead_run();
    world.file(&format!("unfinished/{left}"), "{");
    world.file(&format!("others/{left}"), "{");
    world.file("others/notes.md", "");
    world.file(&format!("not.an.id/{left}"), "{");
    world.metadata("finished", "{}");
    world.file(&format!("finished/{left}"), "{");
    fs_err::create_dir(world.path("empty")).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    fs_err::write(elsewhere.join(&left), "{").unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, world.path("link")).unwrap();
    assert!(world.hold().tidy().is_empty());
    assert_eq!(names(&world), ["empty", "finished", "link", "not.an.id", "others"]);
    assert!(!world.path("others").join(&left).exists() && world.path("finished").join(&left).exists());
    assert!(elsewhere.join(&left).exists());
}
