//! What the tests of artifacts act on: a home of Claude Code, an archive and a `/proc`, made for each.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::apply::{Applied, Remover};
use super::claims::{Known, Speakers};
use super::homes::homes;
use super::plan::{Plan, Terms};
use crate::artifacts::archive::{Archive, Entry};
use crate::artifacts::kinds::row_named;
use crate::config::setting::ArtifactsSettings;
use crate::config::{Dirs, Environment, load};
use crate::context::clock;
use crate::filesystem::proc::Proc;
use crate::policy::artifact::{Reason, Verdict};
use crate::policy::byte_size::Budget;
use crate::policy::duration::Limit;
use crate::providers::{Catalogue, Located, builtin};

/// In seconds.
pub(super) const DAY: u64 = 86_400;
/// No names.
pub(super) const NONE: [&str; 0] = [];

/// A home of Claude Code, an archive, and what a prune is told.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) catalogue: Catalogue,
    pub(super) settings: ArtifactsSettings,
    pub(super) proc: Proc,
    pub(super) now: DateTime<Utc>,
    pub(super) mapped: Vec<String>,
    pub(super) restorable: Vec<String>,
    pub(super) roots: Vec<PathBuf>,
    pub(super) state: PathBuf,
}

pub(super) fn id(number: usize) -> String {
    format!("0856b851-1111-4222-8333-{number:012}")
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        fs_err::create_dir_all(home.join(".claude")).unwrap();
        let environment = Environment::from_iter([("HOME", home.to_str().unwrap())]);
        let dirs = Dirs::find(&environment).unwrap();
        let settings = load(&dirs, &environment, Some(Path::new("/dev/null")), &[], builtin::rows()).unwrap().settings;
        let rows = settings.providers.iter().map(|provider| {
            let home = dirs.provider_home(&provider.home, &environment);
            Located { provider: provider.clone(), live_home: home.clone(), home }
        });
        let catalogue = Catalogue::new(rows.collect());
        // Processes of this machine are none of a test's: nothing in it runs.
        let proc = folder.path().join("proc");
        fs_err::create_dir_all(proc.join("self/ns")).unwrap();
        fs_err::write(proc.join("stat"), "btime 1700000000\n").unwrap();
        Self {
            catalogue,
            settings: settings.artifacts,
            proc: Proc::new(proc),
            now: clock(),
            mapped: Vec::new(),
            restorable: Vec::new(),
            roots: Vec::new(),
            state: folder.path().join("state"),
            folder,
        }
    }

    pub(super) fn retention(mut self, kind: &str, days: u64) -> Self {
        let limit = Limit::After(std::time::Duration::from_secs(days * DAY));
        self.settings.kinds[row_named(kind).unwrap()].retention = limit;
        self
    }

    pub(super) fn max_size(mut self, kind: &str, bytes: u64) -> Self {
        self.settings.kinds[row_named(kind).unwrap()].max_size = Budget::AtMost(bytes);
        self
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home/.claude")
    }

    /// Writes a file that was last changed so many days ago.
    pub(super) fn file(&self, path: &str, text: &str, days: i64) -> PathBuf {
        let path = self.home().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        self.touch(&path, days);
        path
    }

    pub(super) fn touch(&self, path: &Path, days: i64) {
        let at = self.now - TimeDelta::days(days);
        filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(at.timestamp(), 0)).unwrap();
    }

    /// Writes a transcript that was last used so many days ago.
    pub(super) fn transcript(&self, number: usize, days: i64) -> PathBuf {
        let at = (self.now - TimeDelta::days(days)).to_rfc3339();
        let line = format!("{{\"sessionId\":\"{}\",\"timestamp\":\"{at}\"}}\n", id(number));
        self.file(&format!("projects/-work/{}.jsonl", id(number)), &line, days)
    }

    /// Where the tests are root's: gives all of it to the user as whom [`as_nobody`] acts.
    pub(super) fn give_to_nobody(&self) {
        for entry in walkdir::WalkDir::new(self.folder.path()) {
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::lchown(entry.unwrap().path(), Some(65_534), Some(65_534)).unwrap();
            }
        }
    }

    pub(super) fn archive(&self) -> Archive {
        Archive::below(&self.state)
    }

    pub(super) fn plan(&self) -> Plan<'_> {
        self.plan_with(false)
    }

    pub(super) fn plan_with(&self, may_take_most: bool) -> Plan<'_> {
        let (homes, problems) = homes(&self.catalogue, &self.roots).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        let (archived, _) = self.archive().entries().unwrap();
        let speakers = self.speakers_with(&archived);
        let terms = Terms { settings: &self.settings, kinds: Vec::new(), may_take_most, now: self.now };
        Plan::make(homes, &speakers, (&archived, &self.proc), &terms)
    }

    pub(super) fn speakers(&self) -> Speakers<'_> {
        self.speakers_with(&[])
    }

    fn speakers_with(&self, archive: &[Entry]) -> Speakers<'_> {
        let (mapped, restorable) = (self.mapped.clone(), self.restorable.clone());
        let known = Known { mapped, restorable, archive, trouble: None, state: self.state.clone() };
        Speakers::gather((&self.catalogue, &self.proc), known)
    }

    pub(super) fn apply(&self, plan: &Plan<'_>) -> Applied {
        let entries = self.archive().entries().unwrap().0;
        let (archive, look_again) = (self.archive(), || Ok(self.speakers()));
        let remover =
            Remover { archive: &archive, entries: &entries, proc: &self.proc, now: self.now, look_again: &look_again };
        remover.apply(plan)
    }

    pub(super) fn sessions_in_archive(&self) -> Vec<String> {
        self.archive().entries().unwrap().0.into_iter().map(|entry| entry.manifest.session).collect()
    }
}

/// In a thread that is no longer root's, who may do everything.
pub(super) fn as_nobody<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        if rustix::process::geteuid().is_root() {
            let user = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        }
        act()
    });
    thread.join().unwrap()
}

/// A session that is to go, with what belongs to it.
pub(super) fn one_session() -> World {
    let mut world = World::new().retention("claude.transcripts", 30);
    world.settings.keep_last = 1;
    world.transcript(1, 100);
    for (name, text) in [("tool-results/a.txt", "result"), ("subagents/agent-1.jsonl", "{}")] {
        world.file(&format!("projects/-work/{}/{name}", id(1)), text, 101);
    }
    let loose = format!("{{\"sessionId\":\"{}\",\"isSidechain\":true}}\n", id(1));
    world.file("projects/-work/agent-0123abcd.jsonl", &loose, 101);
    world.file("projects/-work/memory/MEMORY.md", "mine", 500);
    world.transcript(2, 1);
    world
}

/// What a file takes on the disk.
pub(super) fn disk_of(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&fs_err::metadata(path).unwrap()) * 512
}

/// What goes, by its name, and what is past its limit and stays, with its reason.
pub(super) fn decided(plan: &Plan<'_>) -> (Vec<String>, Vec<(String, Reason)>) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let gone = plan.removed().map(|(_, item)| name(item.unit.path())).collect();
    let kept = plan.kept().map(|(_, item)| match &item.verdict {
        Verdict::Keep(reason) => (name(item.unit.path()), reason.clone()),
        Verdict::Remove(_) => unreachable!(),
    });
    (gone, kept.collect())
}

pub(super) fn goes(plan: &Plan<'_>) -> Vec<String> {
    decided(plan).0
}
