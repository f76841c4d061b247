use super::stat::KERNEL_THREAD;
use super::*;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::{Child, Command};

fn sleeping() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

fn write(path: PathBuf, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    io::Write::write_all(&mut fs::File::create(path).unwrap(), content.as_bytes()).unwrap();
}

#[test]
fn a_real_process_has_its_start_until_it_ends() {
    let proc = Proc::default();
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let mut child = sleeping();
    let pid = child.id();
    assert!(proc.pids().unwrap().contains(&pid));
    let started = proc.start_time(pid).unwrap().unwrap().timestamp();
    assert!((started - before).abs() <= 3, "{started} {before}");
    assert_eq!(proc.start_ticks(pid).unwrap(), proc.start_ticks(pid).unwrap());
    child.kill().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while proc.start_ticks(pid).unwrap().is_some() {
        assert!(std::time::Instant::now() < deadline, "a zombie counts as running");
        std::thread::yield_now();
    }
    child.wait().unwrap();
    assert_eq!(proc.start_ticks(pid).unwrap(), None);
    assert_eq!(proc.start_time(pid).unwrap(), None);
    assert_eq!(proc.open_files(pid, |_| ()).unwrap(), None);
}

#[test]
fn a_process_name_cannot_forge_a_start_time() {
    let root = tempfile::tempdir().unwrap();
    let stat = |name: &str, state: char, flags: u64| {
        format!("77 ({name}) {state} 1 77 77 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9\n")
    };
    write(root.path().join("77/stat"), &stat("a) R 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 666 (b", 'S', 0));
    write(root.path().join("78/stat"), &stat("gone", 'Z', 0));
    write(root.path().join("79/stat"), &stat("kworker/0:1", 'I', 0x0420_8060 | KERNEL_THREAD));
    write(root.path().join("80/stat"), "80 (torn");
    let proc = Proc::new(root.path());
    assert_eq!(proc.start_ticks(77).unwrap(), Some(4242));
    assert_eq!(proc.start_ticks(78).unwrap(), None);
    assert_eq!(proc.start_ticks(79).unwrap(), None);
    assert!(proc.start_ticks(80).is_err());
    assert_eq!(proc.start_ticks(81).unwrap(), None);
}

#[test]
fn what_the_kernel_tells_of_itself_is_read() {
    let proc = Proc::default();
    assert!(proc.boot_time().unwrap().timestamp() > 1_600_000_000);
    assert_eq!(proc.boot_id().unwrap().len(), 36);
    assert_eq!(proc.pid_namespace().unwrap(), fs::metadata("/proc/self/ns/pid").unwrap().ino());
}

#[test]
fn a_held_lock_is_found_by_device_and_inode() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let holder = || {
        let metadata = file.as_file().metadata().unwrap();
        let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        let found = FileOnDevice { major, minor, inode: metadata.ino() };
        Proc::default().flock_holders().unwrap().get(&found).copied()
    };
    assert_eq!(holder(), None);
    rustix::fs::flock(file.as_file(), rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(holder(), Some(std::process::id()));
}

#[test]
fn only_exclusive_flocks_that_are_held_count() {
    let root = tempfile::tempdir().unwrap();
    let locks = "1: FLOCK  ADVISORY  WRITE 4711 fe:1a:1835 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 5 fe:1a:1836 0 EOF\n\
                 2: POSIX  ADVISORY  WRITE 6 00:1a:7 0 EOF\n3: FLOCK  ADVISORY  READ  7 00:1a:8 0 EOF\n4: FLOCK\n";
    write(root.path().join("locks"), locks);
    let holders = Proc::new(root.path()).flock_holders().unwrap();
    let expected = FileOnDevice { major: 0xfe, minor: 0x1a, inode: 1835 };
    assert_eq!(holders.into_iter().collect::<Vec<_>>(), [(expected, 4711)]);
}

#[test]
fn open_files_are_told_with_deleted_ones() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("77/fd");
    fs::create_dir_all(&folder).unwrap();
    symlink("/a/b.jsonl (deleted)", folder.join("3")).unwrap();
    symlink("socket:[7]", folder.join("4")).unwrap();
    let mut paths = Vec::new();
    Proc::new(root.path()).open_files(77, |file| paths.push(file.path().to_owned())).unwrap().unwrap();
    paths.sort();
    assert_eq!(paths, [Path::new("/a/b.jsonl"), Path::new("socket:[7]")]);
}

#[test]
fn an_open_file_is_known_by_device_and_inode() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let metadata = file.as_file().metadata().unwrap();
    let mut found = false;
    let visit = |open: &OpenFile<'_>| found |= open.identity().is_ok_and(|id| id == (metadata.dev(), metadata.ino()));
    Proc::default().open_files(std::process::id(), visit).unwrap().unwrap();
    assert!(found);
}

#[test]
fn a_proc_that_is_not_there_is_an_error() {
    let proc = Proc::new("/nonexistent");
    assert!(proc.pids().is_err() && proc.boot_time().is_err() && proc.flock_holders().is_err());
}
