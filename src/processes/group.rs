//! Where a process belongs: the unit or container that its control group names, and whether somebody still has that.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::table::Table;
use crate::filesystem::read_regular;
use crate::policy::orphan::{Group, Scope};

/// More than any list of a scope's processes, and any file of a login, that is looked at.
const LONGEST: u64 = 4 << 20;

/// What a line of `/proc/<pid>/cgroup` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    None,
    Service(String),
    Container(String),
    /// A scope and its control group, relative to the root of the hierarchy.
    Scope {
        name: String,
        group: String,
    },
}

/// Reads control groups for one run, and remembers which scopes are closed.
pub(crate) struct Groups {
    /// Where `sys/fs/cgroup` and `run/systemd/sessions` are looked up.
    root: PathBuf,
    /// The container that this run is in itself.
    own_container: Option<String>,
    scopes: RefCell<FxHashMap<String, Scope>>,
}

impl Groups {
    /// `own` is this run's own `/proc/self/cgroup`.
    pub(crate) fn new(root: &Path, own: &str) -> Self {
        let own_container = match unit_of(own) {
            Unit::Container(name) => Some(name),
            _ => None,
        };
        Self { root: root.to_owned(), own_container, scopes: RefCell::default() }
    }

    /// Where a process with these control groups belongs. `is_adrift` says of a process whether nobody has it: it was
    /// adopted, or a process of the same scope started it, and it has no terminal.
    pub(crate) fn of(&self, pid: u32, groups: &str, table: &Table, is_adopter: &dyn Fn(u32) -> bool) -> Group {
        match unit_of(groups) {
            Unit::None => Group::None,
            Unit::Service(name) => Group::Service(name),
            // Whoever runs inside a container sees its processes as others see a machine's.
            Unit::Container(name) if self.own_container.as_ref() == Some(&name) => Group::None,
            Unit::Container(name) => Group::Container(name),
            Unit::Scope { name, group } => {
                let known = self.scopes.borrow().get(&group).cloned();
                let state = known.unwrap_or_else(|| {
                    let state = self.state(pid, &name, &group, table, is_adopter);
                    self.scopes.borrow_mut().insert(group, state.clone());
                    state
                });
                Group::Scope { name, state }
            }
        }
    }

    fn state(&self, pid: u32, name: &str, group: &str, table: &Table, is_adopter: &dyn Fn(u32) -> bool) -> Scope {
        match name.strip_prefix("session-").and_then(|rest| rest.strip_suffix(".scope")) {
            Some(session) => self.login(session),
            None => self.members(pid, group, table, is_adopter),
        }
    }

    /// A login's scope, as systemd-logind has it: `STATE=closing` from the end of the login's first process on, as long as
    /// others are left (systemd 252).
    fn login(&self, session: &str) -> Scope {
        let path = self.root.join("run/systemd/sessions").join(session);
        match read_regular(&path, LONGEST) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                match text.lines().find_map(|line| line.strip_prefix("STATE=")) {
                    Some("closing") => Scope::Closed,
                    Some(_) => Scope::Open,
                    None => Scope::Unknown(format!("{} tells no state", path.display())),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Scope::Unknown(format!("systemd-logind does not know the session {session}"))
            }
            Err(error) => Scope::Unknown(error.to_string()),
        }
    }

    /// Another scope is closed when nobody in it is held by anybody outside or at a terminal.
    fn members(&self, pid: u32, group: &str, table: &Table, is_adopter: &dyn Fn(u32) -> bool) -> Scope {
        let pids = match self.pids_of(group) {
            Ok(pids) => pids,
            Err(why) => return Scope::Unknown(why),
        };
        if !pids.contains(&pid) {
            return Scope::Unknown(format!("its list of processes does not have process {pid}"));
        }
        for member in &pids {
            let Some(process) = table.get(*member) else {
                return Scope::Unknown(format!("process {member} in it cannot be seen"));
            };
            let is_left = is_adopter(process.parent) || pids.contains(&process.parent);
            if process.runs() && (process.terminal != 0 || !is_left) {
                return Scope::Open;
            }
        }
        Scope::Closed
    }

    fn pids_of(&self, group: &str) -> Result<Vec<u32>, String> {
        let mut why = String::new();
        // One hierarchy; systemd's own of several; both at once.
        for hierarchy in ["", "systemd", "unified"] {
            let folder = self.root.join("sys/fs/cgroup").join(hierarchy).join(group.trim_start_matches('/'));
            // Its size is not known before it is read.
            match read_regular(&folder.join("cgroup.procs"), LONGEST) {
                Ok(text) => {
                    let text = String::from_utf8_lossy(&text);
                    return Ok(text.lines().filter_map(|line| line.parse().ok()).collect());
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

/// The unit or container in the lines of `/proc/<pid>/cgroup`: `0::/user.slice/…` and, in older hierarchies,
/// `1:name=systemd:/…` and one line per controller.
fn unit_of(groups: &str) -> Unit {
    let lines = || groups.lines().filter_map(|line| line.splitn(3, ':').nth(2).map(|path| (line, path)));
    if let Some(name) = lines().find_map(|(_, path)| container_in(path)) {
        return Unit::Container(name);
    }
    let is_of_systemd = |line: &str| line.starts_with("0::") || line.contains(":name=systemd:");
    let units = lines().filter(|(line, _)| is_of_systemd(line)).map(|(_, path)| systemd_unit(path));
    units.max_by_key(|unit| *unit != Unit::None).unwrap_or(Unit::None)
}

/// The innermost unit: a user's own services and scopes are inside `user@1000.service`.
fn systemd_unit(path: &str) -> Unit {
    let parts: Vec<&str> = path.split('/').collect();
    let is_unit = |part: &&str| [".service", ".scope"].iter().any(|kind| part.strip_suffix(kind).is_some());
    let Some(place) = parts.iter().rposition(is_unit) else { return Unit::None };
    let name = parts[place].to_owned();
    // That of a manager's own processes.
    if name.strip_suffix(".service").is_some() || name == "init.scope" {
        return Unit::Service(name);
    }
    Unit::Scope { name, group: parts[..=place].join("/") }
}

/// Control groups below which every one is a container's: Docker, LXC, `BuildKit`, nerdctl, Garden, Amazon ECS.
const HOLDERS: [&str; 6] = ["docker", "lxc", "buildkit", "nerdctl", "garden", "ecs"];

/// How the control groups of containers begin: Docker, Podman, containerd, CRI-O, nerdctl, LXC, Kubernetes, nspawn.
const BEGINNINGS: [&str; 9] =
    ["docker-", "libpod-", "libpod_pod", "cri-containerd-", "crio-", "nerdctl-", "lxc.payload", "kubepods", "machine-"];

/// What watches over a container from outside.
const MONITORS: [&str; 2] = ["libpod-conmon-", "crio-conmon-"];

/// The part of a path that names a container; `..` is what lies around the container that looks.
fn container_in(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.iter().enumerate().find_map(|(place, part)| {
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| part.starts_with(beginning));
        let is_service = part.strip_suffix(".service").is_some();
        if *part == ".." {
            Some("around this one".to_owned())
        } else if HOLDERS.contains(part) {
            parts.get(place + 1).map(|name| format!("{part}/{name}"))
        } else {
            (begins(&BEGINNINGS) && !begins(&MONITORS) && !is_service).then(|| (*part).to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_containers_are_told_apart() {
        let service = |name: &str| Unit::Service(name.to_owned());
        let container = |name: &str| Unit::Container(name.to_owned());
        let scope =
            |group: &str| Unit::Scope { name: group.rsplit('/').next().unwrap().to_owned(), group: group.to_owned() };
        let login = "/user.slice/user-1000.slice/session-3.scope";
        let window = "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope";
        for (groups, unit) in [
            ("0::/\n".to_owned(), Unit::None),
            ("0::/user.slice\n".to_owned(), Unit::None),
            ("0::/system.slice/cron.service\n".to_owned(), service("cron.service")),
            (format!("0::{login}\n"), scope(login)),
            (format!("0::{login}/below\n"), scope(login)),
            (format!("0::{window}\n"), scope(window)),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/claude.service\n".to_owned(),
                service("claude.service"),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n".to_owned(), service("init.scope")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service/b\n".to_owned(),
                service("a.service"),
            ),
            (format!("9:name=systemd:{login}\n8:pids:/x.service\n0::/\n"), scope(login)),
            ("0::/system.slice/docker-4f1.scope\n".to_owned(), container("docker-4f1.scope")),
            ("9:name=systemd:/docker/4f1\n0::/\n".to_owned(), container("docker/4f1")),
            ("4:memory:/docker/4f1\n0::/\n".to_owned(), container("docker/4f1")),
            ("0::/system.slice/docker.service\n".to_owned(), service("docker.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-9.scope/container\n".to_owned(),
                container("libpod-9.scope"),
            ),
            ("0::/user.slice/libpod-conmon-9.scope\n".to_owned(), scope("/user.slice/libpod-conmon-9.scope")),
            (
                "0::/kubepods.slice/kubepods-burstable.slice/x/cri-containerd-7.scope\n".to_owned(),
                container("kubepods.slice"),
            ),
            ("0::/lxc.payload.box/user.slice\n".to_owned(), container("lxc.payload.box")),
            ("0::/machine.slice/machine-debian.scope/payload\n".to_owned(), container("machine-debian.scope")),
            ("0::/../../system.slice/x.service\n".to_owned(), container("around this one")),
            ("0::/user.slice/docker-desktop.service\n".to_owned(), service("docker-desktop.service")),
            (String::new(), Unit::None),
        ] {
            assert_eq!(unit_of(&groups), unit, "{groups}");
        }
    }

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            // pid, parent, terminal
            for (pid, parent, terminal) in [(1, 0, 0), (5, 1, 0), (6, 5, 0), (7, 1, 34816), (8, 3, 0), (3, 1, 0)] {
                let line = format!("{pid} (x) S {parent} 1 1 {terminal} -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {pid} 9 9\n");
                world.write(&format!("proc/{pid}/stat"), &line);
            }
            world
        }

        fn write(&self, path: &str, content: &str) {
            let path = self.0.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }

        fn group(&self, pid: u32, groups: &str) -> Group {
            let table = Table::look(&crate::filesystem::proc::Proc::new(self.0.path().join("proc"))).unwrap();
            Groups::new(self.0.path(), "0::/system.slice/docker-own.scope\n").of(pid, groups, &table, &|pid| pid == 1)
        }
    }

    fn state(group: Group) -> Option<Scope> {
        match group {
            Group::Scope { state, .. } => Some(state),
            _ => None,
        }
    }

    #[test]
    fn a_login_is_closed_when_logind_says_so() {
        let world = World::new();
        let look = || state(world.group(5, "0::/user.slice/user-1000.slice/session-c3.scope\n")).unwrap();
        assert!(matches!(look(), Scope::Unknown(why) if why.contains("does not know the session c3")));
        for (content, expected) in [
            ("UID=1000\nSTATE=active\n", Scope::Open),
            ("STATE=closing\n", Scope::Closed),
            ("STATE=online\n", Scope::Open),
        ] {
            world.write("run/systemd/sessions/c3", content);
            assert_eq!(look(), expected);
        }
        world.write("run/systemd/sessions/c3", "UID=1000\n");
        assert!(matches!(look(), Scope::Unknown(_)));
    }

    #[test]
    fn another_scope_is_closed_when_nobody_has_any_of_its_processes() {
        let group = "/user.slice/user@1.service/app.slice/run-1.scope";
        for (hierarchy, members, expected) in [
            ("", "5\n6\n", Some(Scope::Closed)),
            ("systemd/", "5\n6\n", Some(Scope::Closed)),
            ("", "5\n6\n7\n", Some(Scope::Open)),
            ("", "5\n6\n8\n", Some(Scope::Open)),
            ("", "6\n", None),
            ("", "5\n6\n99\n", None),
        ] {
            let world = World::new();
            world.write(&format!("sys/fs/cgroup/{hierarchy}{group}/cgroup.procs"), members);
            let found = state(world.group(5, &format!("0::{group}\n"))).unwrap();
            match expected {
                Some(expected) => assert_eq!(found, expected, "{members}"),
                None => assert!(matches!(found, Scope::Unknown(_)), "{members}: {found:?}"),
            }
        }
        assert!(matches!(state(World::new().group(5, &format!("0::{group}\n"))), Some(Scope::Unknown(_))));
    }

    #[test]
    fn who_runs_in_a_container_sees_it_as_a_machine() {
        let world = World::new();
        assert_eq!(world.group(5, "0::/system.slice/docker-own.scope\n"), Group::None);
        assert_eq!(
            world.group(5, "0::/system.slice/docker-other.scope\n"),
            Group::Container("docker-other.scope".to_owned())
        );
    }
}
