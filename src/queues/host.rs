//! Whether the original host runs: then its rows are its own to change.

use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::central::HostRow;
use super::installation::Installation;
use crate::filesystem::proc::Proc;
use crate::filesystem::walk::open_folder_path;
use crate::policy::timestamp::Timestamp;

/// What runs a host: the programs that can.
const ENGINES: [&str; 4] = ["node", "nodejs", "bun", "deno"];

/// Whether a host of an installation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// Nothing shows that one does.
    Stopped,
    /// What shows that it does.
    Running(String),
    /// What keeps it from being known.
    Unknown(String),
}

impl Host {
    /// Looks for one: by its lease, then by the socket that it answers, then by its process.
    pub(crate) fn look(installation: &Installation, leases: &[HostRow], proc: &Proc, now: DateTime<Utc>) -> Self {
        let by_lease = of_leases(leases, now);
        if let Self::Running(_) = by_lease {
            return by_lease;
        }
        let by_socket = of_socket(&installation.root.join("data"));
        if let Self::Running(_) = by_socket {
            return by_socket;
        }
        let by_process = of_process(installation, proc);
        // A process is proof; of what could not be told, the first is said.
        let mut found = [by_process, by_lease, by_socket].into_iter().filter(|host| *host != Self::Stopped);
        found.next().unwrap_or(Self::Stopped)
    }

    /// In one word, for people and programs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running(_) => "running",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What shows it.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Stopped => None,
            Self::Running(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// A host of the newest generation renews a lease.
fn of_leases(leases: &[HostRow], now: DateTime<Utc>) -> Host {
    if let Some((host, until)) = leases.iter().find_map(|host| Some((host, host.lease.filter(|until| *until > now)?))) {
        return Host::Running(format!("host {} has a lease until {}", host.name, Timestamp(until)));
    }
    match leases.iter().find(|host| host.lease.is_none()) {
        Some(host) => Host::Unknown(format!("the lease of host {} cannot be read", host.name)),
        None => Host::Stopped,
    }
}

/// An older one answers `data/ncl.sock` as long as it runs. Nothing is said to it.
fn of_socket(data: &Path) -> Host {
    match std::fs::symlink_metadata(data.join("ncl.sock")) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) | Err(_) => return Host::Stopped,
    }
    match answers(data) {
        Ok(()) | Err(Errno::AGAIN) => Host::Running("data/ncl.sock is answered".to_owned()),
        // Left behind by one that ended.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Host::Stopped,
        Err(error) => Host::Unknown(format!("data/ncl.sock cannot be asked: {error}")),
    }
}

fn answers(data: &Path) -> rustix::io::Result<()> {
    // By the folder's descriptor: a socket's path may have 107 bytes, and an installation's may be longer.
    let folder = open_folder_path(data)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/ncl.sock", folder.as_raw_fd()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)
}

/// A process that runs JavaScript in the installation's folder, of the user whose it is.
fn of_process(installation: &Installation, proc: &Proc) -> Host {
    let owner = match fs_err::metadata(installation.central()) {
        Ok(metadata) => metadata.uid(),
        Err(error) => return Host::Unknown(error.to_string()),
    };
    let pids = match proc.pids() {
        Ok(pids) => pids,
        Err(error) => return Host::Unknown(format!("processes cannot be listed: {error}")),
    };
    let mut unseen = None;
    for pid in pids.into_iter().filter(|pid| *pid != std::process::id()) {
        match proc.working_folder(pid) {
            Ok(Some(folder)) if folder == installation.root => {
                if let Some(program) = engine(proc, pid) {
                    return Host::Running(format!("process {pid} ({program}) works in its folder"));
                }
            }
            Err(_) if may_be_one(proc, pid, owner) => unseen = Some(pid),
            Ok(_) | Err(_) => {}
        }
    }
    unseen.map_or(Host::Stopped, |pid| Host::Unknown(format!("where process {pid} works cannot be seen")))
}

/// The JavaScript engine that a process runs, or might: the name of the program.
fn engine(proc: &Proc, pid: u32) -> Option<String> {
    let Ok(program) = proc.executable(pid) else { return Some("its program cannot be seen".to_owned()) };
    let program = program?;
    let name = program.file_name()?.as_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    ENGINES.into_iter().find(|engine| is_engine(name, engine)).map(str::to_owned)
}

/// Whether a program is this engine: some have the version in their name.
fn is_engine(name: &[u8], engine: &str) -> bool {
    let version = name.strip_prefix(engine.as_bytes());
    version.is_some_and(|version| version.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')))
}

/// Whether a process that cannot be looked into might be a host: it is of the installation's user and called like one.
fn may_be_one(proc: &Proc, pid: u32, owner: u32) -> bool {
    let is_owners = proc.owner(pid).is_ok_and(|user| user == Some(owner));
    // What newer Node calls its main thread.
    let is_called =
        |name: String| ENGINES.into_iter().any(|engine| is_engine(name.as_bytes(), engine)) || name == "MainThread";
    is_owners && proc.program(pid).is_some_and(is_called)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn row(lease: Option<i64>) -> HostRow {
        HostRow { name: "h1".to_owned(), lease: lease.map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap()) }
    }

    #[test]
    fn a_lease_that_has_run_out_shows_nothing_and_one_that_cannot_be_read_is_not_known() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let of = |leases: &[HostRow]| of_leases(leases, now).name();
        assert_eq!(of(&[]), "stopped");
        assert_eq!(of(&[row(Some(1_000)), row(Some(1))]), "stopped");
        assert_eq!(of(&[row(Some(1)), row(Some(1_001))]), "running");
        assert_eq!(of(&[row(None), row(Some(1_001))]), "running");
        assert_eq!(of(&[row(None), row(Some(1))]), "unknown");
    }

    #[test]
    fn only_a_socket_that_is_answered_shows_a_host() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than the path of a socket may be.
        let data = folder.path().join("a".repeat(150));
        fs_err::create_dir(&data).unwrap();
        assert_eq!(of_socket(&data), Host::Stopped);
        let short = folder.path().join("ncl.sock");
        let listener = std::os::unix::net::UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, data.join("ncl.sock")).unwrap();
        assert_eq!(of_socket(&data).name(), "running");
        drop(listener);
        assert_eq!(of_socket(&data), Host::Stopped);
        std::fs::remove_file(data.join("ncl.sock")).unwrap();
        fs_err::write(data.join("ncl.sock"), "").unwrap();
        assert_eq!(of_socket(&data), Host::Stopped);
    }

    // Larger than any process id that a machine gives: none of them is the test's own.
    const ONE: u32 = 4_200_077;
    const TWO: u32 = 4_200_078;

    /// An installation, and the processes of the machine that it is on.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            fs_err::create_dir_all(world.root().join("data")).unwrap();
            fs_err::create_dir_all(world.0.path().join("proc")).unwrap();
            fs_err::write(world.root().join("data/v2.db"), "").unwrap();
            world
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("agents")
        }

        fn process(&self, pid: u32) -> PathBuf {
            let folder = self.0.path().join("proc").join(pid.to_string());
            fs_err::create_dir_all(&folder).unwrap();
            folder
        }

        /// A process that runs this program in this folder.
        fn with(self, pid: u32, program: &str, folder: &Path) -> Self {
            let process = self.process(pid);
            symlink(program, process.join("exe")).unwrap();
            symlink(folder, process.join("cwd")).unwrap();
            self
        }

        /// A process of which something cannot be read: what is no link is none.
        fn with_hidden(self, pid: u32, what: &str, name: &str) -> Self {
            let process = self.process(pid);
            fs_err::write(process.join(what), "").unwrap();
            fs_err::write(process.join("comm"), format!("{name}\n")).unwrap();
            self
        }

        fn look(&self, leases: &[HostRow]) -> Host {
            let installation = Installation { root: self.root(), slug: String::new(), sessions: self.root() };
            let now = DateTime::from_timestamp(1_000, 0).unwrap();
            Host::look(&installation, leases, &Proc::new(self.0.path().join("proc")), now)
        }
    }

    #[test]
    fn a_process_that_runs_javascript_in_its_folder_shows_a_host() {
        assert_eq!(World::new().look(&[]), Host::Stopped);
        for program in ["/usr/bin/node", "/opt/bun", "/usr/bin/node (deleted)"] {
            let world = World::new();
            let root = world.root();
            assert_eq!(world.with(ONE, program, &root).look(&[]).name(), "running", "{program}");
        }
        let world = World::new();
        let data = world.root().join("data");
        let root = world.root();
        let world = world.with(ONE, "/usr/bin/node", &data).with(TWO, "/usr/bin/vim", &root);
        assert_eq!(world.look(&[]), Host::Stopped);
    }

    #[test]
    fn a_process_in_its_folder_whose_program_cannot_be_seen_counts() {
        let world = World::new().with_hidden(ONE, "exe", "x");
        symlink(world.root(), world.process(ONE).join("cwd")).unwrap();
        assert_eq!(world.look(&[]).name(), "running");
    }

    #[test]
    fn a_process_of_which_nobody_sees_where_it_works_leaves_it_unknown_if_it_is_called_like_one() {
        for name in ["node", "MainThread", "deno"] {
            assert_eq!(World::new().with_hidden(ONE, "cwd", name).look(&[]).name(), "unknown", "{name}");
        }
        assert_eq!(World::new().with_hidden(ONE, "cwd", "vim").look(&[]), Host::Stopped);
        // What shows that one runs, counts more.
        let world = World::new().with_hidden(ONE, "cwd", "node");
        let root = world.root();
        assert_eq!(world.with(TWO, "/usr/bin/node", &root).look(&[]).name(), "running");
    }

    #[test]
    fn without_a_look_at_processes_or_at_its_user_it_is_unknown() {
        let world = World::new();
        fs_err::remove_dir(world.0.path().join("proc")).unwrap();
        assert_eq!(world.look(&[]).name(), "unknown");
        let world = World::new();
        fs_err::remove_file(world.root().join("data/v2.db")).unwrap();
        assert_eq!(world.look(&[]).name(), "unknown");
    }

    #[test]
    fn a_lease_counts_for_itself_and_so_does_a_socket() {
        let world = World::new();
        assert_eq!(world.look(&[row(Some(1_001))]).name(), "running");
        assert_eq!(world.look(&[row(None)]).name(), "unknown");
        let _listener = std::os::unix::net::UnixListener::bind(world.root().join("data/ncl.sock")).unwrap();
        assert_eq!(world.look(&[]).name(), "running");
    }

    #[test]
    fn a_socket_that_cannot_be_asked_leaves_it_unknown() {
        let world = World::new();
        // One that takes no connections.
        let _socket = std::os::unix::net::UnixDatagram::bind(world.root().join("data/ncl.sock")).unwrap();
        assert_eq!(world.look(&[]).name(), "unknown");
    }
}
