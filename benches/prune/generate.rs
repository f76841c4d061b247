//! The trees: a home folder with the stores of three CLIs, a session map, and the map that is right after pruning.
//!
//! ```text
//! home/.claude/projects/<folder>/<uuid>.jsonl            and <uuid>/subagents/agent-*.jsonl, agent-*.jsonl
//! home/.gemini/tmp/<project>/chats/session-<time>-<first 8 of the id>.json
//! home/.codex/sessions/YYYY/MM/DD/rollout-<time>-<uuid v7>.jsonl, one in twenty sessions/<uuid>.jsonl
//! ```
//! Same size, same tree, apart from times, which are relative to the moment of making. Active sessions were written to in
//! the hour before it, idle ones eight hours or longer before: with the cutoff four hours before it, the answer stays the
//! same while the tree is younger than three hours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::options::Size;
use crate::common::random::Random;
use crate::transcripts::{Folder, Kind, Role, Session, time, working_folder};
use crate::tree::Counts;

const DAY: f64 = 86_400.0;
const HOUR: f64 = 3_600.0;

/// A mapped session: id, role (`None`: it has no transcript), working folder.
type Mapped = (String, Option<Role>, String);

/// Everything that will be in a tree, before anything is written.
pub(crate) struct Plan {
    generated: f64,
    folders: Vec<Folder>,
    /// The mapped sessions of each model.
    mapped: BTreeMap<&'static str, Vec<Mapped>>,
    random: Random,
}

impl Plan {
    /// What a tree of this size holds when it is made at `generated` (Unix seconds).
    pub(crate) fn of_size(size: Size, generated: f64) -> Self {
        let [files, mapped, claude_projects, gemini_projects] = size.numbers();
        let random = Random::new(0x5E55_1045 + files as u64);
        let mut plan = Self { generated, folders: Vec::new(), mapped: BTreeMap::new(), random };
        let agents = files / 10;
        let (claude, codex) = (files * 45 / 100, files * 20 / 100);
        let (mapped_claude, mapped_codex) = (mapped * 60 / 100, mapped * 20 / 100);
        plan.claude(claude, mapped_claude, claude_projects, agents);
        plan.gemini(files - agents - claude - codex, mapped - mapped_claude - mapped_codex, gemini_projects);
        plan.codex(codex, mapped_codex);
        plan
    }

    fn claude(&mut self, count: usize, mapped: usize, projects: usize, agents: usize) {
        let sessions = self.sessions("claude-cli", count, mapped, |random, _| random.uuid_v4());
        for (number, sessions) in self.projects(sessions, projects).into_iter().enumerate() {
            let agents = agents * sessions.len() / count;
            for session in &sessions {
                self.map("claude-cli", session, working_folder(number));
            }
            let path = Path::new(".claude/projects").join(working_folder(number).replace('/', "-"));
            self.folder(path, Kind::Claude { agents }, sessions);
        }
    }

    fn gemini(&mut self, count: usize, mapped: usize, projects: usize) {
        let mut sessions = self.sessions("gemini-cli", count, mapped, |random, _| random.uuid_v4());
        // A file name holds eight characters of the id: now and then two sessions share them.
        for start in (0..count.saturating_sub(1)).step_by(100) {
            let shared = sessions[start].id[..8].to_owned();
            sessions[start + 1].id.replace_range(..8, &shared);
        }
        for (number, sessions) in self.projects(sessions, projects).into_iter().enumerate() {
            for session in &sessions {
                self.map("gemini-cli", session, working_folder(number));
            }
            // Older versions named the folder by a hash.
            let name = if number % 2 == 0 { format!("project-{number:04}") } else { self.random.hex(64) };
            self.folder(Path::new(".gemini/tmp").join(name), Kind::Gemini, sessions);
        }
    }

    fn codex(&mut self, count: usize, mapped: usize) {
        let mut sessions = self.sessions("codex-cli", count, mapped, |random, created| {
            if random.chance(0.05) { random.uuid_v4() } else { random.uuid_v7(created) }
        });
        sessions.sort_by(|a, b| a.created.total_cmp(&b.created));
        let mut days = BTreeMap::<String, Vec<Session>>::new();
        for session in sessions {
            self.map("codex-cli", &session, working_folder(0));
            let flat = session.id.as_bytes()[14] == b'4';
            days.entry(if flat { String::new() } else { time(session.created, "%Y/%m/%d") }).or_default().push(session);
        }
        for (day, sessions) in days {
            let kind = if day.is_empty() { Kind::CodexFlat } else { Kind::CodexDay };
            self.folder(Path::new(".codex/sessions").join(day), kind, sessions);
        }
    }

    /// `count` sessions, `mapped` mappings: one in ten of these has no transcript, 15 % of the others are active.
    fn sessions(
        &mut self,
        model: &'static str,
        count: usize,
        mapped: usize,
        mut id: impl FnMut(&mut Random, f64) -> String,
    ) -> Vec<Session> {
        let (random, now) = (&mut self.random, self.generated);
        let missing = mapped / 10;
        let gone = (0..missing).map(|_| {
            let created = now - random.unit() * 90.0 * DAY;
            (id(random, created), None, working_folder(random.below(12)))
        });
        let gone = gone.collect();
        self.mapped.insert(model, gone);
        let chosen = random.choose(count, mapped - missing).into_iter();
        let session = |chosen| {
            let role = match (chosen, random.chance(0.15)) {
                (false, _) => Role::Unmapped,
                (true, true) => Role::Active,
                (true, false) => Role::Idle,
            };
            let recent = role == Role::Active || role == Role::Unmapped && random.chance(0.01);
            let age =
                if recent { random.unit() * HOUR } else { 8.0 * HOUR + random.unit() * (90.0 * DAY - 8.0 * HOUR) };
            let resumed = if random.chance(0.1) { random.unit() * 10.0 * DAY } else { 0.0 };
            let created = now - age - random.exponential(HOUR) - resumed;
            Session { id: id(random, created), created, modified: now - age, role }
        };
        chosen.map(session).collect()
    }

    /// Spreads sessions over projects: few large ones, many small ones.
    fn projects(&mut self, sessions: Vec<Session>, count: usize) -> Vec<Vec<Session>> {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-0.8);
                sum
            })
            .collect();
        let mut projects: Vec<Vec<Session>> = (0..count).map(|_| Vec::new()).collect();
        for session in sessions {
            let point = self.random.unit() * sum;
            projects[sums.partition_point(|end| *end < point)].push(session);
        }
        projects
    }

    fn map(&mut self, model: &'static str, session: &Session, folder: String) {
        if session.role != Role::Unmapped {
            self.mapped.entry(model).or_default().push((session.id.clone(), Some(session.role), folder));
        }
    }

    fn folder(&mut self, path: PathBuf, kind: Kind, sessions: Vec<Session>) {
        let seed = self.random.bits();
        self.folders.push(Folder { path, kind, sessions, seed });
    }

    /// Writes the stores and the maps; returns what the map holds.
    pub(crate) fn write(mut self, root: &Path) -> Counts {
        let home = root.join("home");
        for store in [".claude/projects", ".gemini/tmp", ".codex/sessions"] {
            fs::create_dir_all(home.join(store)).unwrap();
        }
        // Two threads: beyond that the file system's journal is the limit.
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(folder) = self.folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                        folder.write(&home, self.generated);
                    }
                });
            }
        });
        self.write_map(root)
    }

    fn write_map(&mut self, root: &Path) -> Counts {
        let (mut map, mut pruned, mut counts) = (Vec::new(), Vec::new(), Counts::default());
        for (model, mut sessions) in std::mem::take(&mut self.mapped) {
            let random = &mut self.random;
            random.shuffle(&mut sessions);
            let (mut all, mut kept) = (Vec::new(), Vec::new());
            for (id, role, folder) in sessions {
                let value = if random.chance(0.2) {
                    let created = (self.generated - 91.0 * DAY) as i64;
                    format!(r#"{{"session_id": "{id}", "cwd": "{folder}", "created_at": {created}}}"#)
                } else {
                    format!(r#""{id}""#)
                };
                let member = format!(r#""{}": {value}"#, random.uuid_v4());
                counts.checked += 1;
                match role {
                    None => counts.missing += 1,
                    Some(Role::Idle) => counts.idle += 1,
                    Some(_) => counts.active += 1,
                }
                if role != Some(Role::Idle) {
                    kept.push(member.clone());
                }
                all.push(member);
            }
            map.push(format!(r#""{model}": {{{}}}"#, all.join(", ")));
            pruned.push(format!(r#""{model}": {{{}}}"#, kept.join(", ")));
        }
        fs::write(root.join("map.json"), format!("{{{}}}", map.join(", "))).unwrap();
        fs::write(root.join("pruned.json"), format!("{{{}}}", pruned.join(", "))).unwrap();
        counts
    }
}
