use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

const GRACE: Duration = Duration::from_secs(20);

/// A process of this test, ended with it.
struct Ours(Child);

impl Ours {
    fn sleeping() -> Self {
        Self::saying("echo ready; exec sleep 600")
    }

    /// One that does not mind SIGTERM.
    fn stubborn() -> Self {
        Self::saying("trap '' TERM; echo ready; exec sleep 600")
    }

    /// Runs a script up to its first line of output, and until it runs what it said that it would.
    fn saying(script: &str) -> Self {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        let ours = Self(child);
        let deadline = Instant::now() + GRACE;
        let is_sleep = || ours.target().executable.file_name().is_some_and(|name| name != "sh" && name != "dash");
        while script.ends_with("exec sleep 600") && !is_sleep() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        ours
    }

    fn target(&self) -> Target {
        let (proc, pid) = (Proc::default(), self.0.id());
        Target {
            pid,
            start_ticks: proc.start_ticks(pid).unwrap().unwrap(),
            user: rustix::process::getuid().as_raw(),
            executable: proc.executable(pid).unwrap().unwrap(),
            groups: proc.control_groups(pid).unwrap().unwrap(),
        }
    }

    fn runs(&self) -> bool {
        Proc::default().start_ticks(self.0.id()).unwrap().is_some()
    }

    /// Kills it, up to where it has ended but for its parent, this test, noticing.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        let deadline = Instant::now() + GRACE;
        while self.runs() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn end(targets: &[Target], grace: Duration) -> Vec<End> {
    end_tree(&Proc::default(), targets, grace)
}

#[test]
fn a_process_ends_by_sigterm_and_a_stubborn_one_by_sigkill() {
    let (meek, stubborn) = (Ours::sleeping(), Ours::stubborn());
    assert_eq!(end(&[meek.target()], GRACE), [End::Terminated]);
    assert_eq!(end(&[stubborn.target()], Duration::from_millis(50)), [End::Killed]);
    assert!(!meek.runs() && !stubborn.runs());
}

#[test]
fn who_is_not_who_it_was_is_left_alone_with_its_whole_tree() {
    let (other, innocent) = (Ours::sleeping(), Ours::sleeping());
    let right = innocent.target();
    for (wrong, why) in [
        (Target { start_ticks: right.start_ticks - 1, ..right.clone() }, "another process's"),
        (Target { user: right.user + 1, ..right.clone() }, "its user"),
        (Target { executable: "/bin/another".into(), ..right.clone() }, "another program"),
        (Target { groups: "0::/another\n".to_owned(), ..right.clone() }, "control group"),
        (Target { pid: 1, ..right.clone() }, "no process that may be ended"),
        (Target { pid: 0, ..right.clone() }, "no process that may be ended"),
        (Target { pid: u32::MAX, ..right.clone() }, "no process that may be ended"),
    ] {
        let ends = end(&[other.target(), wrong], GRACE);
        for end in &ends {
            assert!(matches!(end, End::Refused(said) if said.contains(why)), "{ends:?}");
        }
        assert!(other.runs() && innocent.runs(), "{why}");
    }
}

#[test]
fn who_has_ended_is_no_matter() {
    let mut gone = Ours::sleeping();
    let target = gone.target();
    gone.kill();
    let other = Ours::sleeping();
    // A zombie at first, then nothing.
    let first = end(&[target.clone(), other.target()], GRACE);
    assert_eq!(first, [End::Before, End::Terminated]);
    gone.0.wait().unwrap();
    assert_eq!(end(&[target], GRACE), [End::Before]);
}

/// A /proc in which a number is another process's: root's, and of another start.
fn other_proc(pid: u32) -> (tempfile::TempDir, Proc) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(pid.to_string());
    fs_err::create_dir(&folder).unwrap();
    let line = format!("{pid} (sleep) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9\n");
    for (name, content) in [("stat", line.as_str()), ("status", "Uid:\t0\t0\t0\t0\n"), ("cgroup", "0::/\n")] {
        fs_err::write(folder.join(name), content).unwrap();
    }
    fs_err::os::unix::fs::symlink("/bin/sleep", folder.join("exe")).unwrap();
    let proc = Proc::new(root.path());
    (root, proc)
}

#[test]
fn a_number_is_looked_up_in_the_real_proc_too() {
    let innocent = Ours::sleeping();
    let right = innocent.target();
    let (_root, proc) = other_proc(right.pid);
    let target =
        Target { start_ticks: 4242, user: 0, executable: "/bin/sleep".into(), groups: "0::/\n".to_owned(), ..right };
    let ends = end_tree(&proc, &[target], GRACE);
    assert!(matches!(&ends[0], End::Refused(why) if why.contains("another process's")), "{ends:?}");
    assert!(innocent.runs());
}

#[test]
fn what_was_read_of_a_number_says_nothing_of_who_has_ended() {
    let mut gone = Ours::sleeping();
    let target = gone.target();
    // Its parent has not noticed, so that its number can still be opened.
    gone.kill();
    let (_root, proc) = other_proc(target.pid);
    assert_eq!(end_tree(&proc, &[target], GRACE), [End::Before]);
}

#[test]
fn who_is_ending_has_ended_and_is_not_taken_for_another_program() {
    // It has given up its program, as a process does first when it ends, and is gone a moment later.
    let ending = Ours::saying("echo ready; exec sleep 0.3");
    let staying = Ours::sleeping();
    let ends = [ending.target(), staying.target()].map(|target| {
        let (root, proc) = other_proc(target.pid);
        fs_err::remove_file(root.path().join(format!("{}/exe", target.pid))).unwrap();
        let real = PathBuf::from(format!("/proc/{}", target.pid));
        for name in ["stat", "status", "cgroup"] {
            let content = fs_err::read(real.join(name)).unwrap();
            fs_err::write(root.path().join(format!("{}/{name}", target.pid)), content).unwrap();
        }
        end_tree(&proc, &[target], GRACE)
    });
    assert_eq!(ends[0], [End::Before]);
    assert!(matches!(&ends[1][..], [End::Refused(why)] if why.contains("another program")), "{ends:?}");
    assert!(staying.runs());
}

#[test]
fn who_becomes_another_program_after_sigterm_gets_no_sigkill() {
    // However slow this machine is, it has run the other program by the last of these.
    for grace in [50, 500, 5000] {
        let changing = Ours::saying("trap 'exec sleep 600' TERM; echo ready; while :; do :; done");
        let ends = end(&[changing.target()], Duration::from_millis(grace));
        match &ends[0] {
            End::Survived(why) => {
                assert!(why.contains("was not sent SIGKILL: it runs another program"), "{why}");
                assert!(changing.runs());
                return;
            }
            end => assert_eq!(*end, End::Killed),
        }
    }
    panic!("SIGKILL was sent to another program");
}
