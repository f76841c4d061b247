//! `artifacts prune` and `restore`: what goes, what stays, and that what was archived comes back.

use std::os::unix::fs::MetadataExt as _;

use serde_json::json;

use crate::artifacts_world::{Disk, contents, id};
use crate::killing::{is_changing, kill_everywhere};
use crate::machine::{on_terminal, strace};
use crate::window::Window;
use crate::world::Ran;

const PRUNE: [&str; 3] = ["artifacts", "prune", "--yes"];
const TRANSCRIPTS: &str = "[artifacts.claude.transcripts]\nretention = \"30d\"\n";

/// Old sessions of Claude Code with all that belongs to one, and young ones enough that the old ones are not most.
fn sessions() -> Disk {
    let disk = Disk::new();
    disk.configure(&format!("[artifacts]\nkeep_last = 1\n{TRANSCRIPTS}"));
    disk.claude(1, 100);
    let of = |name: &str| format!(".claude/projects/-work/{}/{name}", id(1));
    disk.file(&of("tool-results/a b.txt"), "result\n".repeat(3_000), 101);
    disk.file(&of("subagents/agent-1.jsonl"), disk.line(1, 102), 102);
    (5..8).for_each(|number| drop(disk.claude(number, 1)));
    disk
}

#[test]
fn what_is_archived_comes_back_to_the_byte_and_the_nanosecond() {
    let disk = sessions();
    let odd = filetime::FileTime::from_unix_time(1_600_000_000, 123_456_789);
    let transcript = disk.home().join(format!(".claude/projects/-work/{}.jsonl", id(1)));
    filetime::set_file_mtime(&transcript, odd).unwrap();
    let projects = disk.home().join(".claude/projects");
    let before = contents(&projects);
    let ran = disk.run(&PRUNE).ends_with(0);
    assert!(ran.stdout.contains("1 item removed"), "{ran:?}");
    assert_eq!(contents(&projects).len(), 3);
    assert!(!disk.home().join(format!(".claude/projects/-work/{}", id(1))).exists());
    let list = disk.json(&["artifacts", "restore"]);
    assert_eq!(list["entries"][0]["session"], json!(id(1)));
    let ran = disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
    assert!(ran.stdout.contains("put back session"), "{ran:?}");
    // The CLI's own clean-up goes by the old time as well.
    assert!(ran.stderr.contains("claude may delete it itself"), "{ran:?}");
    assert_eq!(contents(&projects), before);
    let ran = disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
    assert!(ran.stdout.contains("was there"), "{ran:?}");
    // It stays until it has been idle anew.
    let (goes, kept) = disk.planned(&[]);
    assert!(goes.is_empty(), "{goes:?}");
    assert!(kept[0].1.starts_with("put back from the archive"), "{kept:?}");
    disk.run(&["artifacts", "restore", "0856b851-9"]).ends_with(1);
}

#[test]
fn what_went_of_a_session_that_goes_on_comes_back() {
    let disk = sessions();
    let projects = disk.home().join(".claude/projects");
    let before = contents(&projects);
    disk.run(&PRUNE).ends_with(0);
    // As where a run could remove only some of the files before the session went on.
    let grown = disk.line(1, 100) + &disk.line(1, 1);
    let transcript = disk.file(&format!(".claude/projects/-work/{}.jsonl", id(1)), &grown, 1);
    let ran = disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
    assert!(ran.stdout.contains("2 missing files, 21.1 kB; the transcript has grown since"), "{ran:?}");
    assert_eq!(ran.stderr, "");
    let mut after = contents(&projects);
    let stayed = after.insert(transcript.clone(), before[&transcript].clone()).unwrap();
    assert_eq!((stayed.0, after), (grown.into_bytes(), before));
    let ran = disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
    assert!(ran.stdout.contains(": 3 files; the transcript has grown since"), "{ran:?}");
}

#[test]
fn a_session_of_two_homes_is_put_back_by_the_name_of_its_entry() {
    let disk = sessions();
    disk.run(&PRUNE).ends_with(0);
    let second = disk.home().join("second");
    fs_err::create_dir(&second).unwrap();
    fs_err::rename(disk.home().join(".claude/projects"), second.join("projects")).unwrap();
    disk.file(&format!("second/projects/-work/{}.jsonl", id(1)), disk.line(1, 99), 99);
    Ran::of(disk.command(&PRUNE).env("CLAUDE_CONFIG_DIR", &second)).ends_with(0);
    // The beginning of an id is no other question than the id.
    for asked in [id(1), id(1)[..30].to_owned()] {
        let ran = disk.run(&["artifacts", "restore", &asked]).ends_with(2);
        assert!(ran.stderr.contains(" was archived from 2 homes; give the name of one: 20"), "{ran:?}");
        assert!(ran.stderr.contains(&format!("-{} (of {})", id(1), second.display())), "{ran:?}");
    }
    let entries = disk.json(&["artifacts", "restore"])["entries"].clone();
    let first = entries[1]["entry"].as_str().unwrap();
    disk.run(&["artifacts", "restore", first]).ends_with(0);
    assert!(disk.home().join(format!(".claude/projects/-work/{}.jsonl", id(1))).exists());
    assert!(!second.join(format!("projects/-work/{}.jsonl", id(1))).exists());
}

#[test]
fn a_damaged_archive_is_told_with_what_to_do() {
    let disk = sessions();
    disk.run(&PRUNE).ends_with(0);
    let archive = contents(&disk.archive()).into_keys().find(|path| path.extension().unwrap() == "zst").unwrap();
    let whole = fs_err::read(&archive).unwrap();
    for (damage, why) in [("checksum", "its checksum is that of another content"), ("end", "it cannot be decompressed")]
    {
        let mut bytes = whole.clone();
        if damage == "end" {
            bytes.truncate(whole.len() / 2);
        } else {
            *bytes.last_mut().unwrap() ^= 1;
        }
        fs_err::write(&archive, bytes).unwrap();
        let ran = disk.run(&["artifacts", "restore", &id(1)]).ends_with(1);
        let said =
            format!("nothing was put back: {} is damaged: {why}; put a copy of it from a backup", archive.display());
        assert!(ran.stderr.contains(&said), "{ran:?}");
        assert_eq!(contents(&disk.home().join(".claude/projects")).len(), 3);
    }
    fs_err::write(&archive, whole).unwrap();
    disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
}

#[test]
fn a_full_disk_in_the_middle_of_archiving_deletes_nothing() {
    let disk = sessions();
    // More than fits into one write, however well it is compressed.
    let noise: Vec<u8> = (0_u64..60_000).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    disk.file(&format!(".claude/projects/-work/{}/tool-results/noise.txt", id(1)), noise, 101);
    disk.claude(2, 100);
    let projects = disk.home().join(".claude/projects");
    let before = contents(&projects);
    let mut refused = 0;
    for number in 1..=12 {
        // The lock's holder and the archive are what is written before anything is removed.
        let inject = format!("inject=write:error=ENOSPC:when={number}+");
        let Some(mut command) = strace(&["-e", &inject], &disk.command(&PRUNE)) else { return };
        let ran = Ran::of(&mut command);
        assert_eq!(contents(&projects), before, "write number {number}: {ran:?}");
        assert_ne!(ran.status, 0, "{ran:?}");
        refused += usize::from(contents(&disk.archive()).is_empty());
    }
    assert_eq!(refused, 12);
    let inject = "inject=fsync:error=ENOSPC";
    let ran = Ran::of(&mut strace(&["-e", inject], &disk.command(&PRUNE)).unwrap()).ends_with(4);
    let why = format!("{}.jsonl: cannot write the archive: No space left on device", id(1));
    assert!(ran.stdout.contains(&why) && ran.stdout.contains("nothing of it was removed"), "{ran:?}");
    assert!(ran.stdout.contains(&format!("{}.jsonl: stays: the disk of the archive is full", id(2))), "{ran:?}");
    assert_eq!((contents(&projects), contents(&disk.archive()).len()), (before, 0));
    disk.run(&PRUNE).ends_with(0);
}

#[test]
fn a_run_that_is_killed_anywhere_loses_nothing_and_the_next_one_finishes() {
    kill_everywhere(&sessions, &PRUNE, is_changing, |disk, moment| {
        let projects = disk.home().join(".claude/projects");
        // What can be resumed is whole.
        let is_there = projects.join(format!("-work/{}.jsonl", id(1))).exists();
        assert!(!is_there || contents(&projects).len() == 6, "{moment}");
        disk.run(&PRUNE).ends_with(0);
        assert_eq!(contents(&projects).len(), 3, "{moment}");
        assert!(!projects.join("-work").join(id(1)).exists(), "{moment}");
        let entries = disk.json(&["artifacts", "restore"])["entries"].clone();
        assert_eq!(entries.as_array().unwrap().len(), 1, "{moment}");
        disk.run(&["artifacts", "restore", &id(1)]).ends_with(0);
        let after = contents(&projects);
        assert_eq!(after.len(), 6, "{moment}");
        // What was written when the world was made.
        let folder = projects.join("-work").join(id(1));
        for (path, text, days) in [
            (projects.join(format!("-work/{}.jsonl", id(1))), disk.line(1, 100), 100),
            (folder.join("tool-results/a b.txt"), "result\n".repeat(3_000), 101),
            (folder.join("subagents/agent-1.jsonl"), disk.line(1, 102), 102),
        ] {
            assert_eq!(after[&path], (text.into_bytes(), disk.ago(days)), "{moment}");
        }
        let litter = fs_err::read_dir(disk.archive()).unwrap().count();
        assert_eq!(litter, 2, "{moment}");
    });
}

#[test]
fn nothing_is_removed_without_a_yes_and_nothing_in_a_rehearsal() {
    let disk = Disk::new();
    let old = disk.file(".claude/debug/old.txt", "x", 10);
    let ran = disk.run(&["artifacts", "prune"]).ends_with(2);
    assert!(ran.stderr.contains("add --yes"), "{ran:?}");
    let ran = disk.run(&["artifacts", "prune", "--yes", "--at", "2030-01-01T00:00:00Z"]).ends_with(2);
    assert!(ran.stderr.contains("add --dry-run"), "{ran:?}");
    disk.run(&["artifacts", "prune", "--dry-run", "--exit-code"]).ends_with(10);
    disk.run(&["artifacts", "prune", "--dry-run", "--yes"]).ends_with(0);
    assert!(old.exists());
    disk.run(&PRUNE).ends_with(0);
    assert!(!old.exists());
    disk.run(&["artifacts", "prune", "--dry-run", "--exit-code"]).ends_with(0);
    // With nothing to do nobody is asked.
    disk.run(&["artifacts", "prune"]).ends_with(0);
}

#[test]
fn a_size_budget_that_cannot_be_met_is_told() {
    let disk = Disk::new();
    disk.configure("[artifacts.claude.paste_cache]\nmax_size = \"10kb\"\n");
    disk.file(".claude/paste-cache/old.txt", "x".repeat(20_480), 10);
    let young = disk.file(".claude/paste-cache/young.txt", "x".repeat(20_480), 0);
    let left = fs_err::metadata(young).unwrap().blocks() * 512;
    let ran = disk.run(&["artifacts", "prune", "--dry-run"]).ends_with(0);
    assert!(ran.stdout.contains("\nover budget: claude paste_cache in ~/.claude: "), "{ran:?}");
    assert!(ran.stdout.contains(" stay where 10.0 kB are allowed; the rest is kept, or was"), "{ran:?}");
    let over = disk.json(&["artifacts", "prune", "--dry-run"])["over_budget"].clone();
    let home = disk.home().join(".claude");
    let paste_cache = json!({"provider": "claude", "home": home, "kind": "paste_cache", "left_disk_bytes": left,
        "max_size_bytes": 10_000});
    assert_eq!(over, json!([paste_cache]));
    // That not more may go is no failure.
    disk.run(&PRUNE).ends_with(0);
    disk.configure(&format!("[artifacts.claude.paste_cache]\nmax_size = \"{left}b\"\n"));
    assert_eq!(disk.json(&PRUNE)["over_budget"], json!([]));
}

#[test]
fn a_map_that_was_named_and_is_not_there_is_no_map_without_mappings() {
    let disk = sessions();
    let elsewhere = disk.home().join("elsewhere");
    let map = elsewhere.join("session_map.json");
    let before = contents(&disk.home().join(".claude"));
    let named = [&PRUNE[..], &["--map", map.to_str().unwrap()]].concat();
    let ran = disk.run(&named).ends_with(1);
    assert!(ran.stderr.contains(&format!("{}", map.display())), "{ran:?}");
    let mut command = disk.command(&["artifacts", "prune", "--dry-run"]);
    let ran = Ran::of(command.env("CLAUDE_SESSION_DIR", &elsewhere)).ends_with(4);
    assert!(ran.stdout.contains("note: which sessions are mapped is not known"), "{ran:?}");
    let mut command = disk.command(&PRUNE);
    Ran::of(command.env("CLAUDE_SESSION_DIR", &elsewhere)).ends_with(4);
    assert_eq!(contents(&disk.home().join(".claude")), before);
    // Where its folder is there, there is no mapping yet.
    fs_err::create_dir(&elsewhere).unwrap();
    Ran::of(disk.command(&PRUNE).env("CLAUDE_SESSION_DIR", &elsewhere)).ends_with(0);
    assert_ne!(contents(&disk.home().join(".claude")), before);
}

#[test]
fn what_the_archive_forgets_is_shown_before_it_is_asked_about() {
    let disk = sessions();
    disk.claude(2, 100);
    disk.run(&PRUNE).ends_with(0);
    disk.configure(&format!("[artifacts]\nkeep_last = 1\narchive_retention = \"60d\"\n{TRANSCRIPTS}"));
    let manifest = |number: usize| {
        let ending = format!("{}.json", id(number));
        contents(&disk.archive()).into_keys().find(|path| path.to_str().unwrap().ends_with(&ending)).unwrap()
    };
    let entry = manifest(1).file_stem().unwrap().to_str().unwrap().to_owned();
    let make_old = |number: usize| {
        let text = fs_err::read_to_string(manifest(number)).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["archived_at"] = json!(disk.time(90));
        fs_err::write(manifest(number), value.to_string()).unwrap();
    };
    make_old(1);
    let is_shown = |shown: &str, verb: &str| {
        let line = shown.lines().find(|line| line.starts_with("archive ")).unwrap_or_else(|| panic!("{shown}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..3], ["sessions", "1"], "{line}");
        assert_eq!(words[5..], [verb, "older", "than", "60d;", "for", "good"], "{line}");
    };
    let ran = disk.run(&["artifacts", "prune", "--dry-run"]).ends_with(0);
    is_shown(&ran.stdout, "remove");
    assert!(
        !ran.stdout.contains(&entry) && ran.stdout.contains("\n1 session of the archive would go for good\n"),
        "{ran:?}"
    );
    if let Some(mut command) = on_terminal(&disk.command(&["artifacts", "prune", "-v"])) {
        let ran = Ran::of(&mut command).ends_with(1);
        let asked = ran.stdout.split("Remove them? [y/N]").next().unwrap().replace('\r', "");
        is_shown(&asked, "remove");
        assert!(asked.contains(&entry) && ran.stdout.contains("the question was not answered"), "{ran:?}");
    }
    let ran = disk.run(&PRUNE).ends_with(0);
    is_shown(&ran.stdout, "removed");
    assert!(ran.stdout.contains("\n1 session of the archive went for good\n"), "{ran:?}");
    // The other one is all that is left.
    make_old(2);
    let ran = disk.run(&PRUNE).ends_with(4);
    assert!(ran.stdout.contains("1 of 1 archived sessions would go for good, which is more than half"), "{ran:?}");
    assert_eq!(contents(&disk.archive()).len(), 2);
    disk.run(&["artifacts", "prune", "--yes", "--yes-most"]).ends_with(0);
    assert_eq!(contents(&disk.archive()).len(), 0);
}

#[test]
fn what_is_removed_is_looked_at_in_its_own_file_system_first() {
    let disk = sessions();
    let log = disk.home().join("calls");
    let options = ["-o", log.to_str().unwrap(), "-e", "trace=statx,unlinkat"];
    let Some(mut command) = strace(&options, &disk.command(&PRUNE)) else { return };
    Ran::of(&mut command).ends_with(0);
    let calls = fs_err::read_to_string(log).unwrap();
    let name = format!("\"{}.jsonl\"", id(1));
    let calls: Vec<&str> = calls.lines().filter(|line| line.contains(&name)).collect();
    let removed = calls.iter().position(|line| line.contains("unlinkat(")).unwrap();
    // Network file systems answer from memory unless they are told not to.
    assert!(calls[removed - 1].contains("AT_STATX_FORCE_SYNC"), "{calls:#?}");
    assert!(calls[0].contains("AT_STATX_DONT_SYNC"), "a walk does not wait: {calls:#?}");
}

#[test]
fn one_kind_can_be_pruned_alone() {
    let disk = Disk::new();
    disk.file(".claude/debug/old.txt", "x", 10);
    disk.file(".claude/todos/old.json", "x", 10);
    assert_eq!(disk.planned(&["--kind", "claude.todos"]).0, ["old.json"]);
    let ran = disk.run(&["artifacts", "prune", "--kind", "claude.debugs"]).ends_with(2);
    assert!(ran.stderr.contains("did you mean claude.debug?"), "{ran:?}");
}

#[test]
fn a_running_session_keeps_its_files() {
    let mut disk = Disk::new();
    disk.see_processes();
    for number in [1, 2] {
        disk.file(&format!(".claude/debug/{}.txt", id(number)), "x", 10);
    }
    let mut command = std::process::Command::new("sleep");
    let pid = disk.world.child(command.arg("600"));
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let record = format!("{{\"pid\":{pid},\"procStart\":\"{start}\",\"sessionId\":\"{}\"}}", id(1));
    disk.file(&format!(".claude/sessions/{pid}.json"), record, 0);
    let (goes, kept) = disk.planned(&[]);
    assert_eq!(goes, [format!("{}.txt", id(2))]);
    assert_eq!(kept, [(format!("{}.txt", id(1)), format!("process {pid} has it open"))]);
    disk.world.end_child(pid);
    assert_eq!(disk.planned(&[]).0.len(), 2);
}

#[test]
fn a_log_that_a_process_holds_open_stays() {
    let mut disk = Disk::new();
    disk.see_processes();
    let log = disk.file(".claude/debug/log.txt", "x", 10);
    let mut command = std::process::Command::new("sleep");
    let held = std::fs::File::options().append(true).open(&log).unwrap();
    let pid = disk.world.child(command.arg("600").stdout(held));
    drop(command);
    disk.touch(&log, 10);
    let (goes, kept) = disk.planned(&[]);
    assert_eq!((goes.len(), &kept[0].1), (0, &format!("process {pid} has it open")));
    disk.world.end_child(pid);
    assert_eq!(disk.planned(&[]).0.len(), 1);
}

#[test]
fn a_cli_that_does_not_say_which_session_it_has_open_keeps_what_changed_since_it_began() {
    let mut disk = Disk::new();
    disk.configure(&format!("[artifacts]\nkeep_last = 1\n{TRANSCRIPTS}[artifacts.claude.debug]\nretention = \"1s\"\n"));
    disk.see_processes();
    (0..3).for_each(|number| drop(disk.claude(number, 100)));
    (5..9).for_each(|number| drop(disk.claude(number, 1)));
    let program = disk.home().join("bin/claude");
    fs_err::create_dir_all(program.parent().unwrap()).unwrap();
    fs_err::copy(crate::machine::installed("sleep").unwrap(), &program).unwrap();
    let pid = disk.world.child(std::process::Command::new(&program).arg("600"));
    // A minute ago: older than the limit, and younger than the process is, but for the clock's grain.
    let log = disk.file(".claude/debug/snapshot.txt", "x", 0);
    let soon = std::time::SystemTime::now() - std::time::Duration::from_secs(20);
    filetime::set_file_mtime(&log, filetime::FileTime::from_system_time(soon)).unwrap();
    let (goes, kept) = disk.planned(&[]);
    assert_eq!(goes.len(), 3, "{goes:?} {kept:?}");
    let why = format!("process {pid} runs and does not say which session it has open");
    assert!(kept.contains(&("snapshot.txt".to_owned(), why)), "{kept:?}");
    disk.world.end_child(pid);
    assert_eq!(disk.planned(&[]).0.len(), 4);
}

#[test]
fn a_mapping_keeps_its_session_and_so_does_one_that_can_be_put_back() {
    let disk = sessions();
    (2..4).for_each(|number| drop(disk.claude(number, 100)));
    assert_eq!(disk.planned(&[]).0.len(), 3);
    disk.world.map(&json!({ "claude-cli": { "chat": id(1), "idle": id(2) } }).to_string());
    let (goes, kept) = disk.planned(&[]);
    assert_eq!(goes, [format!("{}.jsonl", id(3))]);
    assert!(kept.iter().all(|(_, why)| why == "a bridge's map leads to it"), "{kept:?}");
    disk.run(&["prune"]).ends_with(0);
    let (goes, kept) = disk.planned(&[]);
    assert_eq!(goes.len(), 1);
    assert!(kept.iter().all(|(_, why)| why == "its pruned mapping can still be put back"), "{kept:?}");
    // A map that cannot be read may lead to any of them.
    disk.world.map("{\"claude-cli\": 7");
    let before = contents(&disk.home().join(".claude"));
    let ran = disk.run(&PRUNE).ends_with(1);
    assert!(ran.stderr.contains("nothing was touched"), "{ran:?}");
    assert_eq!(contents(&disk.home().join(".claude")), before);
}

#[test]
fn where_live_sessions_cannot_be_told_nothing_goes_and_the_exit_code_says_so() {
    let mut disk = Disk::new();
    disk.see_processes();
    let old = disk.file(".claude/debug/old.txt", "x", 10);
    let pid = disk.world.child(std::process::Command::new("sleep").arg("600"));
    disk.file(&format!(".claude/sessions/{pid}.json"), "{", 0);
    let ran = disk.run(&PRUNE).ends_with(4);
    assert!(ran.stdout.contains("which sessions are open is not known"), "{ran:?}");
    assert!(old.exists());
    let ran = disk.run(&["artifacts", "prune", "--yes", "--quiet"]).ends_with(4);
    assert!(ran.stderr.contains("which sessions are open is not known"), "{ran:?}");
}

#[test]
fn more_than_half_of_all_transcripts_go_only_where_that_is_meant() {
    let disk = Disk::new();
    disk.configure(&format!("[artifacts]\nenabled = true\nkeep_last = 1\n{TRANSCRIPTS}"));
    (0..5).for_each(|number| drop(disk.claude(number, 100)));
    disk.file(".claude/debug/old.txt", "x", 10);
    let before = contents(&disk.home().join(".claude"));
    let ran = disk.run(&PRUNE).ends_with(4);
    assert!(ran.stdout.contains("4 of 5 transcripts would go"), "{ran:?}");
    assert_eq!(contents(&disk.home().join(".claude")), before);
    let audit = disk.run(&["audit"]).ends_with(4);
    assert!(audit.stdout.contains("\nartifacts    held: 4 of 5 transcripts would go (--yes-most)\n"), "{audit:?}");
    disk.run(&["artifacts", "prune", "--yes", "--yes-most"]).ends_with(0);
    assert_eq!(contents(&disk.home().join(".claude")).len(), 1);
}

#[test]
fn two_runs_at_once_are_one_after_the_other() {
    let disk = sessions();
    disk.run(&PRUNE).ends_with(0);
    let lock = disk.home().join(".local/state/session-sweep/artifacts.lock");
    let held = fs_err::File::options().append(true).open(&lock).unwrap();
    rustix::fs::flock(held.file(), rustix::fs::FlockOperation::LockExclusive).unwrap();
    for arguments in [&PRUNE[..], &["artifacts", "restore", &id(1)]] {
        let ran = disk.run(&[arguments, &["--wait", "never"]].concat()).ends_with(3);
        assert!(ran.stderr.contains("artifacts.lock"), "{ran:?}");
    }
    // To look needs no lock.
    disk.run(&["artifacts", "prune", "--dry-run"]).ends_with(0);
}

#[test]
fn while_a_question_stands_others_prune_and_restore() {
    let disk = sessions();
    let mut window = Window::open();
    let mut talk = window.talk(&disk.command(&["artifacts", "prune"]));
    talk.expect("Remove them?");
    disk.run(&[&PRUNE[..], &["--wait", "never"]].concat()).ends_with(0);
    disk.run(&["artifacts", "restore", &id(1), "--wait", "never"]).ends_with(0);
    talk.answer("y");
    // What was put back meanwhile stays.
    let said = talk.ends_with(0);
    assert!(said.stdout.contains("nothing to remove"), "{said:?}");
    assert_eq!(contents(&disk.home().join(".claude/projects")).len(), 6);
    // After the yes the lock counts.
    let lock = disk.home().join(".local/state/session-sweep/artifacts.lock");
    disk.file(".claude/debug/old.txt", "x", 10);
    let held = fs_err::File::options().append(true).open(&lock).unwrap();
    rustix::fs::flock(held.file(), rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut talk = window.talk(&disk.command(&["artifacts", "prune", "--wait", "never"]));
    talk.expect("Remove them?").answer("y");
    talk.ends_with(3);
}

#[test]
fn a_sweep_prunes_artifacts_where_that_is_enabled_and_writes_it_down() {
    let disk = Disk::new();
    let old = disk.file(".claude/debug/old.txt", "x", 10);
    disk.run(&["sweep"]).ends_with(0);
    assert!(old.exists());
    disk.configure("[artifacts]\nenabled = true\n");
    let ran = disk.run(&["audit"]).ends_with(0);
    assert!(ran.stdout.contains("1 item (") && ran.stdout.contains("would be removed"), "{ran:?}");
    let dry = disk.json(&["sweep", "--dry-run"]);
    assert_eq!(dry["artifacts"]["items"][0]["action"], json!("remove"));
    assert!(old.exists());
    disk.run(&["sweep"]).ends_with(0);
    assert!(!old.exists());
    let status = disk.json(&["status"]);
    assert_eq!(status["last_run"]["artifacts"]["removed"], json!(1));
    let ran = disk.run(&["status"]);
    assert!(ran.stdout.contains("1 removed from the disk, "), "{ran:?}");
}
