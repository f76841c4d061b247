//! The home: what Claude Code leaves, each in its place.
//!
//! ```text
//! projects/<project>/<id>.jsonl                      of one session in fifty it is gone, and the rest is there
//! projects/<project>/<id>/tool-results/*.txt         none to sixteen
//! projects/<project>/<id>/subagents/agent-*.jsonl    two, of every fourth session
//! projects/<project>/agent-*.jsonl                   one in each project, of older versions
//! projects/<project>/memory/MEMORY.md                no session's
//! debug/<id>.txt, debug/latest                       the latter a link
//! todos, telemetry, file-history, tasks, session-env and others
//! plugins/cache/…                                    of no kind: as many as are missing
//! ```
//! The files are holes: they have a size, and nothing is in them. Their ages are days and a half, so that none comes to a limit
//! while the home is in use.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::answer::Content;
use crate::common::random::Random;

/// Files per session: more than there are, because what is missing in the end goes to nobody.
const PER_SESSION: u64 = 20;
/// Sessions per project, about.
const PER_PROJECT: u64 = 30;
/// No file is older, in days.
const OLDEST: usize = 60;
/// From this age on, in days, Claude Code deletes a session within a week.
const ENDING: u64 = 23;
const DAY: Duration = Duration::from_secs(86_400);

/// Kinds of which each file goes by itself, and the days they are kept.
const KEPT: [(&str, u64); 6] =
    [("debug", 3), ("todos", 3), ("telemetry", 7), ("shell_snapshots", 7), ("statsig", 30), ("backups", 30)];

/// Whose a file is.
#[derive(Clone, Copy)]
enum Of {
    /// An item of this kind.
    Item(&'static str),
    /// Of an item of this kind that is counted already, or not at all.
    Part(&'static str),
    Nobody,
}

/// Writes a home.
pub(crate) struct Writer<'a> {
    tree: &'a Path,
    generated: SystemTime,
    random: Random,
    content: Content,
}

impl<'a> Writer<'a> {
    /// One that writes below `tree`, at this Unix time.
    pub(crate) fn new(tree: &'a Path, generated: f64) -> Self {
        let generated = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(generated);
        Self { tree, generated, random: Random::new(1), content: Content::default() }
    }

    /// Writes so many files.
    pub(crate) fn write(mut self, files: u64) -> Content {
        let sessions = files / PER_SESSION;
        let projects: Vec<String> = (0..sessions.div_ceil(PER_PROJECT))
            .map(|number| format!("projects/-srv-work-project-{number:03}"))
            .collect();
        for project in &projects {
            let agent = self.hex(8);
            self.file(Of::Part("transcripts"), &self.tree.join(project), &format!("agent-{agent}.jsonl"), 20_000);
            self.file(Of::Nobody, &self.tree.join(project).join("memory"), "MEMORY.md", 2_000);
        }
        let mut last = String::new();
        for number in 0..sessions {
            let project = &projects[self.random.below(projects.len())];
            last = self.id();
            self.session(number, project, &last);
        }
        let link = format!("{last}.txt");
        symlink(&link, self.tree.join("debug/latest")).unwrap();
        self.content.link = link.len() as u64;
        self.singles();
        // The one file that is read.
        fs::write(self.tree.join("settings.json"), "{}").unwrap();
        (self.content.other.files, self.content.other.bytes) =
            (self.content.other.files + 1, self.content.other.bytes + 2);
        let missing = files.checked_sub(self.content.total().files).expect("no more files than asked for");
        for number in 0..missing {
            let plugin = format!("plugins/cache/plugin-{:02}/skills/skill-{}", number % 40, number / 40 % 10);
            self.file(Of::Nobody, &self.tree.join(plugin), &format!("page-{number}.md"), 5_000);
        }
        self.content
    }

    /// All that one session leaves.
    fn session(&mut self, number: u64, project: &str, id: &str) {
        let tree = self.tree;
        let project = tree.join(project);
        let own = project.join(id);
        if !number.is_multiple_of(50) {
            let days = self.file(Of::Item("transcripts"), &project, &format!("{id}.jsonl"), 1_000_000);
            self.content.ending += u64::from(days >= ENDING);
        }
        for _ in 0..number % 17 {
            let name = format!("toolu_{}.txt", self.hex(12));
            self.file(Of::Part("transcripts"), &own.join("tool-results"), &name, 60_000);
        }
        if number.is_multiple_of(4) {
            for _ in 0..2 {
                let name = format!("agent-{}.jsonl", self.hex(8));
                self.file(Of::Part("transcripts"), &own.join("subagents"), &name, 100_000);
            }
        }
        self.file(Of::Item("debug"), &tree.join("debug"), &format!("{id}.txt"), 200_000);
        for _ in 0..3 {
            let name = format!("{id}-agent-{}.json", self.id());
            self.file(Of::Item("todos"), &tree.join("todos"), &name, 1_000);
        }
        if number.is_multiple_of(2) {
            let name = format!("1p_failed_events.{id}.{}.json", self.id());
            self.file(Of::Item("telemetry"), &tree.join("telemetry"), &name, 10_000);
        }
        self.entry("file_history", &tree.join("file-history").join(id), "@v1", number % 8);
        self.entry("tasks", &tree.join("tasks").join(id), ".json", number % 3);
        // Empty, as most are.
        fs::create_dir_all(tree.join("session-env").join(id)).unwrap();
        self.content.kinds.entry("session_env".to_owned()).or_default().items += 1;
    }

    /// A folder that goes as a whole, with so many files; none without.
    fn entry(&mut self, kind: &'static str, folder: &Path, ending: &str, files: u64) {
        for number in 0..files {
            let name = format!("{}{ending}", self.hex(16));
            self.file(if number == 0 { Of::Item(kind) } else { Of::Part(kind) }, folder, &name, 8_000);
        }
    }

    /// What there is little of.
    fn singles(&mut self) {
        let tree = self.tree;
        for number in 0..30 {
            let name = format!("snapshot-bash-{}-{}.sh", 1_763_000_000_000_u64 + number, self.hex(6));
            self.file(Of::Item("shell_snapshots"), &tree.join("shell-snapshots"), &name, 100_000);
            let name = format!("{}.txt", self.hex(16));
            self.file(Of::Item("paste_cache"), &tree.join("paste-cache"), &name, 3_000);
            self.file(Of::Item("plans"), &tree.join("plans"), &format!("calm-river-{number}.md"), 5_000);
        }
        for number in 0..5 {
            self.file(Of::Item("statsig"), &tree.join("statsig"), &format!("cached.evaluations.{number}"), 30_000);
            let name = format!(".claude.json.backup.{}", 1_763_000_000_000_u64 + number);
            self.file(Of::Item("backups"), &tree.join("backups"), &name, 40_000);
        }
        self.file(Of::Nobody, tree, "history.jsonl", 500_000);
    }

    /// Makes a file of at most this size, counts it, and tells its age in whole days.
    fn file(&mut self, of: Of, folder: &Path, name: &str, most: usize) -> u64 {
        let path: PathBuf = folder.join(name);
        let file = File::create(&path).or_else(|_| {
            fs::create_dir_all(folder)?;
            File::create(&path)
        });
        let file = file.unwrap();
        let (bytes, days) = (self.random.below(most) as u64, self.random.below(OLDEST) as u64);
        file.set_len(bytes).unwrap();
        file.set_modified(self.generated - DAY * days as u32 - DAY / 2).unwrap();
        let amount = match of {
            Of::Item(kind) | Of::Part(kind) => self.content.kinds.entry(kind.to_owned()).or_default(),
            Of::Nobody => &mut self.content.other,
        };
        (amount.files, amount.bytes) = (amount.files + 1, amount.bytes + bytes);
        if let Of::Item(kind) = of {
            amount.items += 1;
            amount.overdue += u64::from(KEPT.iter().any(|(name, kept)| *name == kind && days >= *kept));
        }
        days
    }

    fn hex(&mut self, digits: usize) -> String {
        format!("{:016x}", self.random.bits())[..digits].to_owned()
    }

    /// An id, as sessions have them.
    fn id(&mut self) -> String {
        let (a, b) = (self.hex(16), self.hex(16));
        format!("{}-{}-4{}-8{}-{}", &a[..8], &a[8..12], &a[13..], &b[1..4], &b[4..])
    }
}
