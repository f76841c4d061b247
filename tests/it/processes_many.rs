//! A made-up machine with five thousand processes: odd names, numbers that are no process, entries that cannot be read.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::processes_world::{OVER, Processes, document, in_an_hour, namespace, verdict_of};
use crate::world::Ran;

const NAMES: [&str; 8] = ["sleep", "a b", "a) S 1 1 1 (b", "x\ny", "((((", "))))", "claude's", "kworker/0:1"];

/// No process has such a number (the kernel gives none above 4,194,304): this run itself may have any other.
const BEYOND: u32 = 10_000_000;

/// A process that is nothing but files.
struct Entry<'e> {
    pid: u32,
    parent: u32,
    name: &'e str,
    /// Kernel threads and zombies are told by these.
    state: char,
    flags: u64,
    arguments: &'e [&'e str],
    environment: &'e [&'e str],
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self { pid: 0, parent: 1, name: "sleep", state: 'S', flags: 0, arguments: &["sleep", "600"], environment: &[] }
    }
}

impl Entry<'_> {
    fn write(&self, scene: &Processes) {
        let folder = scene.proc().join(self.pid.to_string());
        fs_err::create_dir(&folder).unwrap();
        let Self { pid, parent, name, state, flags, .. } = self;
        let stat = format!(
            "{pid} ({name}) {state} {parent} {pid} {pid} 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 7 9000 250 18446744073709551615\n"
        );
        let joined = |texts: &[&str]| texts.iter().flat_map(|text| [*text, "\0"]).collect::<String>();
        let user = rustix::process::getuid().as_raw();
        for (file, content) in [
            ("stat", stat),
            ("status", format!("Name:\tx\nUid:\t{user}\t{user}\t{user}\t{user}\n")),
            ("statm", "9 250 100 1 0 1 0\n".to_owned()),
            ("cmdline", joined(self.arguments)),
            ("environ", joined(self.environment)),
            ("cgroup", "0::/\n".to_owned()),
        ] {
            fs_err::write(folder.join(file), content).unwrap();
        }
        fs_err::create_dir(folder.join("ns")).unwrap();
        fs_err::create_dir(folder.join("fd")).unwrap();
        let link = |target: &str, name: &str| fs_err::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        link(&format!("pid:[{}]", namespace()), "ns/pid");
        link("/usr/bin/whatever", "exe");
        link("/", "cwd");
    }

    /// Replaces a file by a link to itself, which nobody can read, not even root.
    fn write_unreadable(&self, scene: &Processes, file: &str) {
        self.write(scene);
        let path = scene.proc().join(format!("{}/{file}", self.pid));
        fs_err::remove_file(&path).unwrap();
        fs_err::os::unix::fs::symlink(file.rsplit('/').next().unwrap(), &path).unwrap();
    }
}

fn scan(scene: &Processes, status: i32) -> Value {
    document(Ran::of(&mut scene.command(&["scan", "--json", "--at", &in_an_hour()])), status)
}

#[test]
fn among_five_thousand_processes_those_that_were_left_behind_are_found() {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    let (left, of_session) = (["mcp-server-x", "--stdio"], format!("CLAUDE_CODE_SESSION_ID={OVER}"));
    let environment = ["CLAUDECODE=1", of_session.as_str()];
    Entry { pid: 1, parent: 0, name: "init", arguments: &["/sbin/init"], ..Entry::default() }.write(&scene);
    let mut orphans = Vec::new();
    for pid in BEYOND..BEYOND + 5_000 {
        let name = NAMES[pid as usize % NAMES.len()];
        let plain = Entry { pid, parent: if pid % 10 == 0 { 1 } else { pid - 1 }, name, ..Entry::default() };
        match pid % 100 {
            // What an orphan started has it as its parent, and ends with it.
            50 => {
                orphans.push(pid);
                Entry { parent: 1, arguments: &left, environment: &environment, ..plain }.write(&scene);
            }
            60 => Entry { state: 'Z', ..plain }.write(&scene),
            70 => Entry { flags: 0x0020_0000, ..plain }.write(&scene),
            80 => Entry { parent: 1, name: "claude", arguments: &["claude"], ..plain }.write(&scene),
            90 => Entry { parent: 1, name: "vim", arguments: &["vim", "claude.md"], ..plain }.write(&scene),
            _ => plain.write(&scene),
        }
    }
    let found = scan(&scene, 1);
    assert_eq!(found["problems"], json!([]));
    assert_eq!((&found["summary"]["orphaned"], &found["summary"]["unknown"]), (&json!(50), &json!(50)));
    let all = found["processes"].as_array().unwrap();
    let told: Vec<u32> = all
        .iter()
        .filter(|item| item["verdict"] == "orphaned")
        .map(|item| item["pid"].as_u64().unwrap() as u32)
        .collect();
    assert_eq!(told, orphans);
    assert!(all.iter().all(|item| item["verdict"] == "unknown" || item["children"].as_array().unwrap().len() == 9));
}

#[test]
fn what_cannot_be_read_of_a_process_leaves_it_alone() {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    let of_session = format!("CLAUDE_CODE_SESSION_ID={OVER}");
    let environment = [of_session.as_str()];
    let entry = |pid: u32| Entry { pid, arguments: &["mcp-server-x"], environment: &environment, ..Entry::default() };
    Entry { pid: 1, parent: 0, name: "init", arguments: &["/sbin/init"], ..Entry::default() }.write(&scene);
    entry(BEYOND).write(&scene);
    let files = [
        ("status", "user-unknown"),
        ("ns/pid", "namespace-unknown"),
        ("cgroup", "group-unknown"),
        ("environ", "owner"),
    ];
    for (pid, (file, _)) in (BEYOND + 1..).zip(files) {
        entry(pid).write_unreadable(&scene, file);
    }
    // A link is read whatever it leads to: that it is none cannot be read.
    let other = BEYOND + 20;
    entry(other).write(&scene);
    let path = scene.proc().join(format!("{other}/exe"));
    fs_err::remove_file(&path).unwrap();
    fs_err::write(path, "").unwrap();
    let torn = BEYOND + 30;
    entry(torn).write_unreadable(&scene, "stat");
    // Numbers that are no process, and processes that are gone by now.
    for name in ["10000031", "99999999999", "40x"] {
        fs_err::create_dir(scene.proc().join(name)).unwrap();
    }
    let found = scan(&scene, 1);
    assert_eq!(verdict_of(&found, BEYOND).0, "orphaned");
    for (pid, (file, row)) in (BEYOND + 1..).zip(files) {
        let (verdict, rows) = verdict_of(&found, pid);
        assert!(verdict == "unknown" && rows.iter().any(|one| one == row), "{file}: {verdict} by {rows:?}");
    }
    assert_eq!(verdict_of(&found, other), ("unknown".to_owned(), vec!["executable-unknown".to_owned()]));
    let mut problems = String::new();
    for problem in found["problems"].as_array().unwrap() {
        writeln!(problems, "{problem}").unwrap();
    }
    assert!(problems.contains(&format!("process {torn} cannot be looked at")), "{problems}");
    assert_eq!(problems.lines().count(), 1, "{problems}");
}
