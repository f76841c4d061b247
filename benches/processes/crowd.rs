//! Thousands of real processes, which end with the benchmark.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::common::program::hidden;
use crate::contenders::home;
use crate::stand_in::{DESK, FOLDER, PROGRAMS, Role, with_role};

/// A process that does not tell in this time that it was started has died.
const LONGEST: Duration = Duration::from_secs(60);

/// Processes that were started.
pub(crate) struct Crowd {
    /// The first of them. Its stdin holds all of them: when that is closed they end.
    leader: Child,
    roles: BTreeMap<u32, Role>,
}

impl Crowd {
    /// Starts so many processes, or as many as there may be.
    pub(crate) fn start(count: usize, scratch: &Path) -> Self {
        link_programs(scratch);
        let mut command = hidden("leader");
        // The home of who scans.
        command.env_clear().env("HOME", home(scratch)).stdin(Stdio::piped()).stdout(Stdio::piped());
        with_role(&mut command, Role::Leader, (count / DESK).max(1));
        let mut leader = command.spawn().expect("the first process must start");
        let output = leader.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| sender.send(line.ok())));
        let mut crowd = Self { leader, roles: BTreeMap::new() };
        let (mut awaited, mut is_full) = (1, false);
        while awaited > 0 {
            let line = lines.recv_timeout(LONGEST).ok().flatten().expect("every process must tell that it was started");
            awaited = if line == "+" { awaited + 1 } else { awaited - 1 };
            is_full |= line == "-";
            if let Some((role, pid)) = line.split_once(' ') {
                crowd.roles.insert(pid.parse().unwrap(), Role::named(role).unwrap());
            }
        }
        // They are gone by now.
        crowd.roles.retain(|_, role| *role != Role::Parent);
        if is_full {
            eprintln!("this machine allows no more than {} processes", crowd.len());
        }
        crowd
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.roles.len()
    }

    /// The role of a process, if it is one of these.
    pub(crate) fn role(&self, pid: u32) -> Option<Role> {
        self.roles.get(&pid).copied()
    }

    /// Those of this role.
    pub(crate) fn with_role(&self, role: Role) -> impl Iterator<Item = u32> {
        self.roles.iter().filter(move |(_, one)| **one == role).map(|(pid, _)| *pid)
    }

    /// Ends all of them. The leader goes last.
    pub(crate) fn end(mut self) {
        drop(self.leader.stdin.take());
        self.leader.wait().unwrap();
    }
}

/// This program under the stand-ins' names.
fn link_programs(scratch: &Path) {
    let folder = scratch.join(FOLDER);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for name in PROGRAMS {
        fs::hard_link(hidden("leader").get_program(), folder.join(name)).unwrap();
    }
}
