//! The processes of this machine at one moment, as a tree.

use rustc_hash::FxHashMap;

use crate::filesystem::proc::{Proc, Stat};

/// Nobody's family tree is deeper.
const MOST_ANCESTORS: usize = 64;

/// Every process that could be seen, from one pass over /proc.
#[derive(Debug, Default)]
pub(crate) struct Table {
    processes: Vec<Stat>,
    /// Where each process is in `processes`.
    places: FxHashMap<u32, u32>,
    /// The places of the processes that have a living parent, ordered by that.
    by_parent: Vec<u32>,
    /// Processes whose line could not be read, with the reason.
    pub(crate) unreadable: Vec<(u32, String)>,
}

impl Table {
    /// Looks at all processes once. Kernel threads are left out.
    pub(crate) fn look(proc: &Proc) -> std::io::Result<Self> {
        let mut processes = Vec::new();
        let mut unreadable = Vec::new();
        proc.stats(|pid, stat| match stat {
            Ok(stat) if stat.is_kernel_thread() => {}
            Ok(stat) => processes.push(stat),
            Err(error) => unreadable.push((pid, error.to_string())),
        })?;
        Ok(Self { unreadable, ..Self::of(processes) })
    }

    fn of(processes: Vec<Stat>) -> Self {
        let places = processes.iter().zip(0..).map(|(process, place)| (process.pid, place)).collect();
        let mut by_parent: Vec<u32> = (0..processes.len() as u32).collect();
        by_parent.sort_unstable_by_key(|place| processes[*place as usize].parent);
        Self { processes, places, by_parent, unreadable: Vec::new() }
    }

    /// All processes, zombies included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stat> {
        self.processes.iter()
    }

    /// The process of this number.
    pub(crate) fn get(&self, pid: u32) -> Option<&Stat> {
        self.places.get(&pid).map(|place| &self.processes[*place as usize])
    }

    /// What a process started and still has.
    pub(crate) fn children(&self, pid: u32) -> impl Iterator<Item = &Stat> {
        let parent = |place: &u32| self.processes[*place as usize].parent;
        let from = self.by_parent.partition_point(|place| parent(place) < pid);
        let children = self.by_parent[from..].iter().take_while(move |place| parent(place) == pid);
        children.map(|place| &self.processes[*place as usize])
    }

    /// A process's parent, the parent's parent and so on, as far as they can be seen.
    pub(crate) fn ancestors(&self, pid: u32) -> impl Iterator<Item = &Stat> {
        let parent = |process: &&Stat| self.get(process.parent);
        std::iter::successors(self.get(pid), parent).skip(1).take(MOST_ANCESTORS)
    }

    /// All that a process started, directly or not; who is deepest comes first.
    pub(crate) fn descendants(&self, pid: u32) -> Vec<&Stat> {
        let mut found: Vec<&Stat> = self.children(pid).collect();
        let mut next = 0;
        // No process is met twice in a tree; a table that was made up may be none.
        while next < found.len() && found.len() <= self.processes.len() {
            found.extend(self.children(found[next].pid));
            next += 1;
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(parents: &[(u32, u32)]) -> (tempfile::TempDir, Table) {
        let root = tempfile::tempdir().unwrap();
        for (pid, parent) in parents {
            let line = format!("{pid} (x) S {parent} 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {pid} 9 9\n");
            fs_err::create_dir(root.path().join(pid.to_string())).unwrap();
            fs_err::write(root.path().join(format!("{pid}/stat")), line).unwrap();
        }
        let table = Table::look(&Proc::new(root.path())).unwrap();
        (root, table)
    }

    fn pids<'s>(processes: impl Iterator<Item = &'s Stat>) -> Vec<u32> {
        let mut pids: Vec<u32> = processes.map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_tree_is_walked_up_and_down() {
        let (_root, table) = table(&[(1, 0), (20, 1), (3, 20), (4, 20), (50, 3), (6, 50), (7, 1)]);
        assert_eq!(pids(table.children(20)), [3, 4]);
        assert_eq!(pids(table.children(1)), [7, 20]);
        assert_eq!(table.children(6).count(), 0);
        assert_eq!(table.ancestors(6).map(|process| process.pid).collect::<Vec<_>>(), [50, 3, 20, 1]);
        let descendants: Vec<u32> = table.descendants(20).iter().map(|process| process.pid).collect();
        assert_eq!(descendants[..2], [6, 50]);
        assert_eq!(pids(table.descendants(20).into_iter()), [3, 4, 6, 50]);
        assert_eq!(table.get(5), None);
    }

    #[test]
    fn a_circle_and_an_unreadable_process_stop_nobody() {
        let (root, _) = table(&[(2, 3), (3, 2)]);
        fs_err::create_dir(root.path().join("9")).unwrap();
        fs_err::write(root.path().join("9/stat"), "9 (torn").unwrap();
        let table = Table::look(&Proc::new(root.path())).unwrap();
        assert!(table.ancestors(2).count() <= MOST_ANCESTORS);
        assert!(table.descendants(2).len() < 10);
        assert_eq!(table.unreadable.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [9]);
    }
}
