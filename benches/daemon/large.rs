//! A home of many files, none of which goes: all are past the retention, and the brake holds them.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Files of one session.
const PER_SESSION: u64 = 20;
/// Sessions of one project.
const PER_PROJECT: u64 = 100;
const OLD: Duration = Duration::from_secs(60 * 86_400);

/// Fills the home with so many files.
pub(crate) fn fill(home: &Path, files: u64) {
    let old = SystemTime::now() - OLD;
    for number in 0..files / PER_SESSION {
        let project = home.join(format!("projects/-srv-work-project-{:03}", number / PER_PROJECT));
        let id = format!("{number:08x}-2222-4333-8444-0123456789ab");
        let own = project.join(&id);
        for part in ["subagents", "tool-results"] {
            fs::create_dir_all(own.join(part)).unwrap();
        }
        let write = |path: &Path| {
            fs::write(path, "{}\n").unwrap();
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        };
        write(&project.join(format!("{id}.jsonl")));
        for part in 1..PER_SESSION {
            let folder = if part % 2 == 0 { "subagents/agent" } else { "tool-results/toolu" };
            write(&own.join(format!("{folder}-{part:04}.jsonl")));
        }
    }
}
