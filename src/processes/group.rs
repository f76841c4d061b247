//! Where a process belongs: the unit or container that its control group names, and whether somebody still has that.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};

use super::table::Table;
use crate::filesystem::proc::Stat;
use crate::filesystem::read_regular;
use crate::policy::orphan::{Group, Scope};

/// More than any list of a scope's processes, and any file of a login, that is looked at.
const LONGEST: u64 = 4 << 20;

/// What the lines of `/proc/<pid>/cgroup` name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    None,
    Service(String),
    /// A scope and its control group, relative to the root of the hierarchy.
    Scope {
        name: String,
        group: String,
    },
}

/// What a run needs to know of other processes to tell whether somebody still has a scope.
pub(crate) struct Company<'c> {
    pub(crate) table: &'c Table,
    /// Whether a process takes over others whose parent has ended.
    pub(crate) is_adopter: &'c dyn Fn(u32) -> bool,
    /// Whether people come back to what a process holds: a multiplexer, an editor, a login.
    pub(crate) is_guardian: &'c dyn Fn(&Stat) -> bool,
    /// Whether a process looks like a CLI's.
    pub(crate) is_of_cli: &'c dyn Fn(&Stat) -> bool,
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
        let own_container = paths(own).find_map(|(_, path)| container_in(path)).map(|container| container.name);
        Self { root: root.to_owned(), own_container, scopes: RefCell::default() }
    }

    /// Where a process with these control groups belongs.
    pub(crate) fn of(&self, pid: u32, groups: &str, company: &Company<'_>) -> Group {
        let container = paths(groups).find_map(|(_, path)| container_in(path));
        // Whoever runs inside a container sees its processes as others see a machine's.
        if let Some(container) = container.filter(|container| self.own_container.as_ref() != Some(&container.name)) {
            return Group::Container(container.name);
        }
        match unit_of(groups) {
            Unit::None => Group::None,
            Unit::Service(name) => Group::Service(name),
            Unit::Scope { name, group } => {
                let known = self.scopes.borrow().get(&group).cloned();
                let state = known.unwrap_or_else(|| {
                    let state = self.state(pid, &name, &group, company);
                    self.scopes.borrow_mut().insert(group, state.clone());
                    state
                });
                Group::Scope { name, state }
            }
        }
    }

    /// A login's scope is closed when its login is, any other one when nobody but what CLIs left is in it. Neither is while
    /// somebody in it may be come back to.
    fn state(&self, pid: u32, name: &str, group: &str, company: &Company<'_>) -> Scope {
        let login = name.strip_prefix("session-").and_then(|rest| rest.strip_suffix(".scope"));
        let state = login.map_or(Scope::Closed, |session| self.login(session));
        match state {
            Scope::Closed => self.members(pid, group, company, login.is_some()),
            state => state,
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

    /// Whether any of a scope's processes is at a terminal, is held from outside, or holds what people come back to. What
    /// logins leave running otherwise (agents, servers) is nobody's; where there was no login, only what looks like a CLI's
    /// is known to be left.
    fn members(&self, pid: u32, group: &str, company: &Company<'_>, was_login: bool) -> Scope {
        let pids = match self.pids_of(group) {
            Ok(pids) => pids,
            Err(why) => return Scope::Unknown(why),
        };
        if !pids.contains(&pid) {
            return Scope::Unknown(format!("its list of processes does not have process {pid}"));
        }
        for member in &pids {
            let Some(process) = company.table.get(*member) else {
                return Scope::Unknown(format!("process {member} in it cannot be seen"));
            };
            if !process.runs() {
                continue;
            }
            let is_adopted = (company.is_adopter)(process.parent);
            let is_left = is_adopted || pids.contains(&process.parent);
            let is_known = was_login || !is_adopted || (company.is_of_cli)(process);
            if process.terminal != 0 || !is_left || !is_known || (company.is_guardian)(process) {
                return Scope::Open;
            }
        }
        Scope::Closed
    }

    fn pids_of(&self, group: &str) -> Result<FxHashSet<u32>, String> {
        let mut why = String::new();
        // One hierarchy; systemd's own of several; both at once.
        for hierarchy in ["", "systemd", "unified"] {
            let folder = self.root.join("sys/fs/cgroup").join(hierarchy).join(group.trim_start_matches('/'));
            // Those below are not on its own list.
            let has_more = |entry: std::io::Result<fs_err::DirEntry>| {
                entry.is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            };
            if fs_err::read_dir(&folder).is_ok_and(|mut entries| entries.any(has_more)) {
                return Err(format!("{} is divided further", folder.display()));
            }
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

/// The lines of `/proc/<pid>/cgroup`, each with its path: `0::/user.slice/…` and, in older hierarchies,
/// `1:name=systemd:/…` and one line per controller.
fn paths(groups: &str) -> impl Iterator<Item = (&str, &str)> {
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2).map(|path| (line, path)))
}

/// The unit in those lines that systemd makes. Inside a container that is what follows its own part.
fn unit_of(groups: &str) -> Unit {
    let is_of_systemd = |line: &str| line.starts_with("0::") || line.contains(":name=systemd:");
    let units = paths(groups).filter(|(line, _)| is_of_systemd(line)).map(|(_, path)| systemd_unit(path));
    units.max_by_key(|unit| *unit != Unit::None).unwrap_or(Unit::None)
}

/// The innermost unit: a user's own services and scopes are inside `user@1000.service`. What is below any other service is
/// that service's.
fn systemd_unit(path: &str) -> Unit {
    let begin = container_in(path).map_or(0, |container| container.end);
    let parts: Vec<&str> = path.split('/').collect();
    let is_manager = |part: &str| part.starts_with("user@");
    let is = |part: &str, kind: &str| part.strip_suffix(kind).is_some();
    let services = parts[begin..].iter().filter(|part| is(part, ".service"));
    if let Some(service) = services.clone().find(|part| !is_manager(part)) {
        return Unit::Service((*service).to_owned());
    }
    let is_unit = |part: &&str| is(part, ".service") || is(part, ".scope");
    let Some(place) = parts[begin..].iter().rposition(is_unit).map(|place| begin + place) else { return Unit::None };
    let name = parts[place].to_owned();
    // That of a manager's own processes.
    if is(&name, ".service") || name == "init.scope" {
        return Unit::Service(name);
    }
    Unit::Scope { name, group: parts[..=place].join("/") }
}

/// A container in a path.
struct Container {
    name: String,
    /// Behind which part of the path its own control groups begin.
    end: usize,
}

/// Control groups below which every one is a container's: Docker, LXC, `BuildKit`, nerdctl, Garden, Amazon ECS.
const HOLDERS: [&str; 6] = ["docker", "lxc", "buildkit", "nerdctl", "garden", "ecs"];

/// How the control groups of containers begin: Docker, Podman, containerd, CRI-O, nerdctl, LXC, Kubernetes, nspawn.
const BEGINNINGS: [&str; 9] =
    ["docker-", "libpod-", "libpod_pod", "cri-containerd-", "crio-", "nerdctl-", "lxc.payload", "kubepods", "machine-"];

/// What watches over a container from outside.
const MONITORS: [&str; 2] = ["libpod-conmon-", "crio-conmon-"];

/// The part of a path that names a container; `..` is what lies around the container that looks.
fn container_in(path: &str) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').collect();
    // The innermost one: containers are made inside of others.
    parts.iter().enumerate().rev().find_map(|(place, part)| {
        let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| part.starts_with(beginning));
        let is_service = part.strip_suffix(".service").is_some();
        if *part == ".." {
            Some(Container { name: "around this one".to_owned(), end: parts.len() })
        } else if HOLDERS.contains(part) {
            parts.get(place + 1).map(|name| Container { name: format!("{part}/{name}"), end: place + 2 })
        } else {
            let is_one = begins(&BEGINNINGS) && !begins(&MONITORS) && !is_service;
            is_one.then(|| Container { name: (*part).to_owned(), end: place + 1 })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_containers_are_told_apart() {
        let service = |name: &str| Ok(Unit::Service(name.to_owned()));
        let container = |name: &str| Err(name.to_owned());
        let scope = |group: &str| {
            Ok(Unit::Scope { name: group.rsplit('/').next().unwrap().to_owned(), group: group.to_owned() })
        };
        let login = "/user.slice/user-1000.slice/session-3.scope";
        let window = "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-1.scope";
        for (groups, unit) in [
            ("0::/\n".to_owned(), Ok(Unit::None)),
            ("0::/user.slice\n".to_owned(), Ok(Unit::None)),
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
                container("cri-containerd-7.scope"),
            ),
            ("0::/lxc.payload.box/user.slice\n".to_owned(), container("lxc.payload.box")),
            ("0::/machine.slice/machine-debian.scope/payload\n".to_owned(), container("machine-debian.scope")),
            ("0::/../../system.slice/x.service\n".to_owned(), container("around this one")),
            ("0::/user.slice/docker-desktop.service\n".to_owned(), service("docker-desktop.service")),
            ("0::/system.slice/agent.service/payload.scope\n".to_owned(), service("agent.service")),
            (String::new(), Ok(Unit::None)),
        ] {
            let container = paths(&groups).find_map(|(_, path)| container_in(path));
            assert_eq!(container.map_or_else(|| Ok(unit_of(&groups)), |found| Err(found.name)), unit, "{groups}");
        }
    }

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            // pid, parent, terminal
            for (pid, parent, terminal) in
                [(1, 0, 0), (5, 1, 0), (6, 5, 0), (7, 1, 34816), (8, 3, 0), (3, 1, 0), (9, 5, 0)]
            {
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
            let company = Company {
                table: &table,
                is_adopter: &|pid| pid == 1,
                is_guardian: &|process| process.pid == 9,
                is_of_cli: &|process| process.pid == 5,
            };
            Groups::new(self.0.path(), "0::/system.slice/docker-own.scope\n").of(pid, groups, &company)
        }
    }

    fn state(group: Group) -> Option<Scope> {
        match group {
            Group::Scope { state, .. } => Some(state),
            _ => None,
        }
    }

    #[test]
    fn a_login_is_closed_when_logind_says_so_and_nobody_can_come_back_to_it() {
        let world = World::new();
        let group = "/user.slice/user-1000.slice/session-c3.scope";
        let look = || state(world.group(5, &format!("0::{group}\n"))).unwrap();
        let members = |list: &str| world.write(&format!("sys/fs/cgroup{group}/cgroup.procs"), list);
        members("5\n6\n3\n");
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
        world.write("run/systemd/sessions/c3", "STATE=closing\n");
        for (list, expected) in [("5\n7\n", Scope::Open), ("5\n9\n", Scope::Open), ("5\n3\n", Scope::Closed)] {
            members(list);
            assert_eq!(look(), expected, "{list}");
        }
        members("5\n99\n");
        assert!(matches!(look(), Scope::Unknown(_)));
    }

    #[test]
    fn another_scope_is_closed_when_nobody_but_what_clis_left_is_in_it() {
        let group = "/user.slice/user@1.service/app.slice/run-1.scope";
        for (hierarchy, members, expected) in [
            ("", "5\n6\n", Some(Scope::Closed)),
            ("systemd/", "5\n6\n", Some(Scope::Closed)),
            ("", "5\n6\n7\n", Some(Scope::Open)),
            ("", "5\n6\n8\n", Some(Scope::Open)),
            ("", "5\n3\n", Some(Scope::Open)),
            ("", "5\n9\n", Some(Scope::Open)),
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
        let service = world.group(5, "0::/system.slice/docker-own.scope/system.slice/agent.service\n");
        assert_eq!(service, Group::Service("agent.service".to_owned()));
        assert_eq!(
            world.group(5, "0::/system.slice/docker-other.scope\n"),
            Group::Container("docker-other.scope".to_owned())
        );
    }
}
