use std::path::PathBuf;

use super::*;
use crate::policy::path_pattern::PathPattern;

struct Home(tempfile::TempDir);

const ID: &str = "0856b851-1111-4222-8333-0123456789ab";

impl Home {
    fn new(files: &[&str]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for path in files {
            let path = home.path(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The pieces by their paths, with what each is to a session.
    fn pieces(&self) -> Vec<(String, Option<Part>, bool)> {
        let survey = self.survey();
        let piece = |piece: &Piece| (piece.path.to_str().unwrap().to_owned(), piece.part, piece.is_incomplete);
        let mut pieces: Vec<_> = survey.pieces.iter().map(piece).collect();
        pieces.sort_by(|one, other| one.0.cmp(&other.0));
        pieces
    }

    fn survey(&self) -> Survey {
        let pattern = |text: &str| PathPattern::parse(text).unwrap();
        let subagents = [pattern("projects/*/{id}/subagents/agent-*.jsonl"), pattern("projects/*/agent-*.jsonl")];
        let rules = Rules::new("claude", &[pattern("projects/*/{id}.jsonl")], &subagents).unwrap();
        let questions =
            vec![Question { listed: true, overdue_before: Some(i64::MAX), young_until: None }; rules.kinds.len()];
        Survey::of(self.0.path(), &rules, &questions)
    }
}

#[test]
fn what_belongs_to_a_session_is_told_from_what_only_lies_beside_it() {
    let transcript = format!("projects/-a/{ID}.jsonl");
    let result = format!("projects/-a/{ID}/tool-results/1.txt");
    let orphan = format!("projects/-b/{ID}/tool-results/1.txt");
    let home = Home::new(&[&transcript, &result, &orphan, "projects/-a/agent-1.jsonl", "projects/-a/memory/MEMORY.md"]);
    let companion = |project: &str| (format!("projects/{project}/{ID}"), Some(Part::Companion), false);
    assert_eq!(
        home.pieces(),
        [
            companion("-a"),
            (transcript, Some(Part::Transcript), false),
            ("projects/-a/agent-1.jsonl".to_owned(), Some(Part::Loose), false),
            companion("-b"),
        ]
    );
    let survey = home.survey();
    assert_eq!((survey.tallies[0].items, survey.tallies[0].sums.files, survey.other.files), (1, 4, 1));
    assert_eq!((survey.tallies[0].overdue, survey.present), (1, true));
}

#[test]
fn what_is_not_called_like_a_session_is_none_and_neither_is_what_is_called_like_it() {
    let home = Home::new(&["projects/-a/memory.jsonl", "projects/-a/memory/MEMORY.md", "projects/-a/notes.jsonl"]);
    assert_eq!(home.pieces(), []);
    assert_eq!((home.survey().tallies[0].items, home.survey().other.files), (0, 3));
}

#[test]
fn links_and_other_things_are_nobodys_and_keep_what_holds_them() {
    let home = Home::new(&["debug/a.txt", "session-env/x/file", "session-env/y/file", "elsewhere/old.txt"]);
    fs_err::os::unix::fs::symlink(home.path("elsewhere"), home.path("todos")).unwrap();
    fs_err::os::unix::fs::symlink("a.txt", home.path("debug/latest")).unwrap();
    fs_err::os::unix::fs::symlink("file", home.path("session-env/x/link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(home.path("debug/socket")).unwrap();
    let expected = [("debug/a.txt", false), ("session-env/x", true), ("session-env/y", false)];
    assert_eq!(home.pieces(), expected.map(|(path, incomplete)| (path.to_owned(), None, incomplete)));
}

#[test]
fn a_link_on_the_way_to_a_place_is_told_where_it_leads_to_a_folder() {
    let home = Home::new(&["session-env/x/file", "elsewhere/old.txt", "debug/a.txt"]);
    let link = |to: &str, path: &str| {
        fs_err::create_dir_all(home.path(path).parent().unwrap()).unwrap();
        fs_err::os::unix::fs::symlink(home.path(to), home.path(path)).unwrap();
    };
    // Ordinary: inside of a place, where nothing would be, and in the place of something that goes as a whole.
    for (to, path) in [
        ("debug/a.txt", "debug/latest"),
        ("elsewhere", "debug/folder"),
        ("elsewhere", "session-env/y"),
        ("elsewhere", "skills"),
        ("nowhere", "telemetry"),
        ("elsewhere/old.txt", "projects/link"),
    ] {
        link(to, path);
    }
    assert_eq!(home.survey().unseen(|_| true), Vec::<String>::new());
    link("elsewhere", "todos");
    link("elsewhere", "projects/-b");
    let mut told = home.survey().unseen(|_| true);
    told.sort();
    let why = "this is a link, and what it leads to is not looked at";
    assert_eq!(told, ["projects/-b", "todos"].map(|path| format!("{}: {why}", home.path(path).display())));
    // Transcripts alone are asked about.
    assert_eq!(home.survey().unseen(|kind| kind == 0).len(), 1);
}

#[test]
fn every_change_of_a_file_shows() {
    let home = Home::new(&["session-env/x/one", "session-env/x/two"]);
    let trace = || home.survey().pieces[0].sums.trace;
    let mut traces = vec![trace()];
    assert_eq!(traces[0], trace());
    let keep_time = |path: &str, change: &dyn Fn()| {
        let time = filetime::FileTime::from_last_modification_time(&fs_err::metadata(home.path(path)).unwrap());
        change();
        if home.path(path).exists() {
            filetime::set_file_mtime(home.path(path), time).unwrap();
        }
    };
    let one = home.path("session-env/x/one");
    keep_time("session-env/x/one", &|| fs_err::write(&one, "y").unwrap());
    traces.push(trace());
    fs_err::write(home.path("session-env/x/three"), "x").unwrap();
    traces.push(trace());
    fs_err::remove_file(home.path("session-env/x/two")).unwrap();
    traces.push(trace());
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 4);
}

#[test]
fn a_home_that_is_not_there_is_empty() {
    let home = Home::new(&[]);
    fs_err::remove_dir(home.0.path()).unwrap();
    let survey = home.survey();
    assert!(!survey.present && survey.unseen(|_| true).is_empty() && survey.pieces.is_empty());
}

#[test]
fn young_files_are_counted_and_not_listed() {
    let home = Home::new(&["debug/old", "debug/young", "debug/future"]);
    let times = [("old", 10), ("young", 20), ("future", 31)];
    for (name, seconds) in times {
        let time = filetime::FileTime::from_unix_time(seconds, 0);
        filetime::set_file_mtime(home.path(&format!("debug/{name}")), time).unwrap();
    }
    let rules = Rules::new("claude", &[], &[]).unwrap();
    let listed = |young_until: Option<i64>| {
        let question = Question { listed: true, overdue_before: Some(15_000_000_000), young_until };
        let survey = Survey::of(home.0.path(), &rules, &vec![question; rules.kinds.len()]);
        assert_eq!(survey.tallies.iter().map(|tally| (tally.items, tally.overdue)).max(), Some((3, 1)));
        let mut names: Vec<_> = survey.pieces.iter().map(|piece| piece.path.to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(listed(Some(30_000_000_000)), ["debug/future", "debug/old"]);
    assert_eq!(listed(None).len(), 3);
}
