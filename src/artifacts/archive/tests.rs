use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::filesystem::walk;
use crate::policy::session_id::SessionId;

struct World {
    folder: tempfile::TempDir,
}

const ID: &str = "0856b851-1111-4222-8333-0123456789ab";

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for (path, text) in [("p/x.jsonl", "a line\n".repeat(9_000)), ("p/x/t/1.txt", String::new())] {
            let path = world.home().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
            filetime::set_file_times(
                &path,
                filetime::FileTime::from_unix_time(5, 7),
                filetime::FileTime::from_unix_time(9, 11),
            )
            .unwrap();
        }
        world
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn root(&self) -> OwnedFd {
        walk::open_folder_path(&self.home()).unwrap()
    }

    fn archive(&self) -> Archive {
        Archive::below(&self.folder.path().join("state"))
    }

    fn manifest(&self) -> Manifest {
        let file = |path: &str| {
            let metadata = fs_err::metadata(self.home().join(path)).unwrap();
            let attributes = crate::filesystem::Attributes {
                mode: metadata.mode() & 0o7777,
                owner: metadata.uid(),
                group: metadata.gid(),
                modified: 9_000_000_011,
                accessed: 5_000_000_007,
            };
            Archived::new(path.into(), metadata.len(), attributes)
        };
        let folders = vec![file("p/x"), file("p/x/t")];
        let files = vec![file("p/x.jsonl"), file("p/x/t/1.txt")];
        let id = SessionId::new(ID).unwrap();
        Manifest::new(id, "claude", &self.home(), DateTime::UNIX_EPOCH, files, folders)
    }

    fn names(&self) -> Vec<String> {
        let Ok(listing) = fs_err::read_dir(self.archive().folder()) else { return Vec::new() };
        listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn what_was_archived_comes_back_to_the_byte_and_the_nanosecond() {
    let world = World::new();
    let before = fs_err::read(world.home().join("p/x.jsonl")).unwrap();
    let disk = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap().disk;
    assert!(disk > 0 && disk < 60_000, "{disk}");
    fs_err::remove_dir_all(world.home().join("p")).unwrap();
    let (entries, problems) = world.archive().entries().unwrap();
    assert_eq!((entries.len(), problems), (1, Vec::new()));
    let restored = restore(&world.archive(), &entries[0]).unwrap();
    assert_eq!((restored.files.len(), restored.were_there.len()), (2, 0));
    for (path, size) in [("p/x.jsonl", before.len() as u64), ("p/x/t/1.txt", 0)] {
        let metadata = fs_err::metadata(world.home().join(path)).unwrap();
        let times = (metadata.mtime(), metadata.mtime_nsec(), metadata.atime(), metadata.atime_nsec());
        assert_eq!((times, metadata.len(), metadata.mode() & 0o7777), ((9, 11, 5, 7), size, 0o604), "{path}");
    }
    assert_eq!(fs_err::metadata(world.home().join("p/x")).unwrap().mtime(), 9);
    assert_eq!(fs_err::read(world.home().join("p/x.jsonl")).unwrap(), before);
    assert_eq!(restore(&world.archive(), &entries[0]).unwrap().were_there.len(), 2);
    // Another conversation goes on under this name: it stays, and so does everything else.
    fs_err::write(world.home().join("p/x/t/1.txt"), "newer").unwrap();
    fs_err::remove_file(world.home().join("p/x.jsonl")).unwrap();
    let why = format!("{:#}", restore(&world.archive(), &entries[0]).unwrap_err());
    assert!(why.contains("p/x/t/1.txt back: something else is there"), "{why}");
    assert!(!world.home().join("p/x.jsonl").exists());
    world.archive().note_restored(&entries[0], DateTime::UNIX_EPOCH).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    assert_eq!(entries[0].manifest.restored_at, Some(DateTime::UNIX_EPOCH));
    world.archive().remove(&entries[0]).unwrap();
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn a_file_that_is_not_what_was_planned_leaves_no_entry() {
    let world = World::new();
    let manifest = world.manifest();
    let path = world.home().join("p/x.jsonl");
    let whole = fs_err::read(&path).unwrap();
    fs_err::write(&path, &whole[1..]).unwrap();
    let why = world.archive().add(&manifest, world.root().as_fd()).unwrap_err();
    assert!(matches!(&why, ArchiveError::Changed(name) if name == "p/x.jsonl"), "{why}");
    fs_err::remove_file(&path).unwrap();
    fs_err::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(world.archive().add(&manifest, world.root().as_fd()).is_err());
    fs_err::rename(world.home().join("p"), world.home().join("q")).unwrap();
    fs_err::os::unix::fs::symlink("q", world.home().join("p")).unwrap();
    assert!(matches!(world.archive().add(&manifest, world.root().as_fd()), Err(ArchiveError::Changed(_))));
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn what_does_not_come_out_again_is_no_archive() {
    let world = World::new();
    let manifest = world.manifest();
    let text = manifest.text().unwrap();
    let made = |change: &dyn Fn(&mut Vec<u8>)| {
        let file = tempfile::tempfile().unwrap();
        write::write(&file, world.root().as_fd(), &manifest, &text).unwrap();
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut &file).unwrap();
        std::io::Read::read_to_end(&mut &file, &mut bytes).unwrap();
        change(&mut bytes);
        let changed = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &changed, &bytes).unwrap();
        write::verify(&changed, world.root().as_fd(), &manifest, Some(&text), &|_| true)
    };
    made(&|_| {}).unwrap();
    assert!(made(&|bytes| bytes.truncate(bytes.len() / 2)).is_err());
    let middle = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    assert!(made(&middle).is_err());
    // All that comes out is right, but its checksum is of another content.
    let checksum = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    assert!(made(&checksum).is_err());
    // Whole, but of another manifest, of other content, of fewer files, of more, under other names.
    let file = tempfile::tempfile().unwrap();
    write::write(&file, world.root().as_fd(), &manifest, &text).unwrap();
    let wrong = |change: &dyn Fn(&mut Vec<Archived>)| {
        let mut other = manifest.clone();
        change(&mut other.files);
        write::verify(&file, world.root().as_fd(), &other, None, &|_| true).unwrap_err()
    };
    let of_text = write::verify(&file, world.root().as_fd(), &manifest, Some(b"{}"), &|_| true);
    assert!(matches!(of_text, Err(ArchiveError::Unfaithful(name)) if name == "its manifest"));
    assert!(matches!(wrong(&|files| files.truncate(1)), ArchiveError::Unfaithful(_)));
    assert!(matches!(wrong(&|files| files.push(files[0].clone())), ArchiveError::Unfaithful(_)));
    let path = world.home().join("p/x.jsonl");
    fs_err::copy(&path, world.home().join("p/y.jsonl")).unwrap();
    let renamed = wrong(&|files| files[0].path = "p/y.jsonl".into());
    assert!(matches!(renamed, ArchiveError::Unfaithful(name) if name == "p/y.jsonl"));
    let mut whole = fs_err::read(&path).unwrap();
    whole[10_000] = b'#';
    fs_err::write(&path, whole).unwrap();
    assert!(matches!(wrong(&|_| {}), ArchiveError::Unfaithful(name) if name == "p/x.jsonl"));
}

#[test]
fn what_a_killed_run_left_goes_and_every_archive_stays() {
    let world = World::new();
    let _ = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    let folder = world.archive().folder().to_owned();
    for name in [".entry.session-sweep-999999999.tmp", "mine.tar.zst"] {
        fs_err::write(folder.join(name), "half").unwrap();
    }
    assert_eq!(world.archive().tidy().unwrap(), 1);
    assert_eq!(world.names().len(), 3);
    let (entries, problems) = world.archive().entries().unwrap();
    assert!(entries.len() == 1 && problems[0].contains("mine"), "{problems:?}");
    // A run was killed before it wrote the manifest, or that was lost: it is inside, too.
    let manifest = format!("{}.json", world.manifest().entry());
    fs_err::remove_file(folder.join(&manifest)).unwrap();
    assert_eq!(world.archive().tidy().unwrap(), 0);
    let (found, problems) = world.archive().entries().unwrap();
    assert_eq!((&found[0].manifest, problems.len()), (&entries[0].manifest, 1));
    assert_eq!(restore(&world.archive(), &found[0]).unwrap().were_there.len(), 2);
    // One that is damaged is told, and its archive used all the same.
    fs_err::write(folder.join(&manifest), "{").unwrap();
    let (found, problems) = world.archive().entries().unwrap();
    assert_eq!((found.len(), problems.len()), (1, 2));
    assert_eq!(Archive::below(Path::new("/nonexistent")).tidy().unwrap(), 0);
}

#[test]
fn one_session_of_two_homes_is_two_entries() {
    let world = World::new();
    let first = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    let second = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    assert_ne!(first.name, second.name);
    assert_eq!(world.archive().entries().unwrap().0.len(), 2);
    world.archive().discard(&second).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    assert_eq!(entries.iter().map(|entry| &entry.name).collect::<Vec<_>>(), [&first.name]);
}

#[test]
fn a_file_where_a_folder_was_is_in_the_way() {
    let world = World::new();
    let _ = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    fs_err::remove_dir_all(world.home().join("p/x")).unwrap();
    fs_err::remove_file(world.home().join("p/x.jsonl")).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    for link in [false, true] {
        if link {
            fs_err::remove_file(world.home().join("p/x")).unwrap();
            fs_err::os::unix::fs::symlink(world.folder.path(), world.home().join("p/x")).unwrap();
        } else {
            fs_err::write(world.home().join("p/x"), "").unwrap();
        }
        let why = format!("{:#}", restore(&world.archive(), &entries[0]).unwrap_err());
        assert!(why.contains("p/x back: something else is there"), "{why}");
        assert!(!world.home().join("p/x.jsonl").exists());
    }
}

#[test]
fn what_is_left_of_a_session_that_was_archived_whole_is_known() {
    let world = World::new();
    let whole = world.manifest();
    let holds = |manifest: &Manifest| {
        let (entries, _) = world.archive().entries().unwrap();
        world.archive().holding(&entries, manifest, world.root().as_fd()).is_some()
    };
    assert!(!holds(&whole));
    let _ = world.archive().add(&whole, world.root().as_fd()).unwrap();
    assert!(holds(&whole));
    // A run was killed when it had removed the first file.
    let mut rest = whole.clone();
    rest.files.remove(0);
    fs_err::remove_file(world.home().join("p/x.jsonl")).unwrap();
    assert!(holds(&rest) && !holds(&whole));
    // What the session got since is in no entry.
    let mut more = rest.clone();
    more.files[0].size += 1;
    assert!(!holds(&more));
    let mut other = rest.clone();
    "b".clone_into(&mut other.session);
    assert!(!holds(&other));
    // And an entry that does not come out whole holds nothing.
    let content = fs_err::read_dir(world.archive().folder()).unwrap().map(|entry| entry.unwrap().path());
    let content = content.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "zst")).unwrap();
    let bytes = fs_err::read(&content).unwrap();
    fs_err::write(&content, &bytes[..bytes.len() - 9]).unwrap();
    assert!(!holds(&rest));
}

#[test]
fn only_the_same_bytes_were_there() {
    let world = World::new();
    let path = world.home().join("p/x.jsonl");
    let text = fs_err::read_to_string(&path).unwrap();
    let _ = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    fs_err::remove_file(world.home().join("p/x/t/1.txt")).unwrap();
    // The same size and time, a shorter file, and one that went on from an earlier line.
    let other = text.replace("a line", "b line");
    for wrong in [other.clone(), text[1..].to_owned(), text[7..].to_owned() + &other, String::new()] {
        fs_err::write(&path, &wrong).unwrap();
        filetime::set_file_mtime(&path, filetime::FileTime::from_unix_time(9, 11)).unwrap();
        let why = format!("{:#}", restore(&world.archive(), &entries[0]).unwrap_err());
        assert!(why.contains("p/x.jsonl back: something else is there"), "{why}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), wrong);
        assert!(!world.home().join("p/x/t/1.txt").exists());
    }
    fs_err::write(&path, &text).unwrap();
    let restored = restore(&world.archive(), &entries[0]).unwrap();
    assert_eq!((restored.files.len(), restored.were_there.len(), restored.grown.len()), (1, 1, 0));
}

#[test]
fn what_is_missing_of_a_session_that_went_on_is_put_back() {
    let world = World::new();
    let path = world.home().join("p/x.jsonl");
    let (part, text) = (world.home().join("p/x/t/1.txt"), fs_err::read_to_string(&path).unwrap() + "more\n");
    fs_err::write(&part, "result").unwrap();
    let _ = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    fs_err::remove_file(&part).unwrap();
    fs_err::write(&path, &text).unwrap();
    let modified = || fs_err::metadata(world.home().join("p/x")).unwrap().modified().unwrap();
    let before = modified();
    let restored = restore(&world.archive(), &entries[0]).unwrap();
    assert_eq!((restored.files, restored.bytes), (vec![PathBuf::from("p/x/t/1.txt")], 6));
    assert_eq!(restored.grown, [Path::new("p/x.jsonl")]);
    assert_eq!(
        (fs_err::read_to_string(&path).unwrap(), fs_err::read_to_string(&part).unwrap()),
        (text, "result".into())
    );
    assert_eq!(modified(), before);
    // Only transcripts are written at their ends.
    fs_err::write(&part, "results").unwrap();
    let why = format!("{:#}", restore(&world.archive(), &entries[0]).unwrap_err());
    assert!(why.contains("p/x/t/1.txt back: something else is there"), "{why}");
}

/// Every byte of the archive of a small session, damaged in turn.
#[test]
fn a_damaged_archive_is_never_put_back() {
    let world = World::new();
    // Random text is stored as it is, and the decoder does not notice a wrong letter in it.
    let noise: Vec<u8> = (0_u64..150).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    fs_err::write(world.home().join("p/x/t/1.txt"), &noise).unwrap();
    let before = fs_err::read(world.home().join("p/x.jsonl")).unwrap();
    let _ = world.archive().add(&world.manifest(), world.root().as_fd()).unwrap();
    let (entries, _) = world.archive().entries().unwrap();
    let content = world.archive().path(&entries[0].name, CONTENT);
    let whole = fs_err::read(&content).unwrap();
    let (mut refused, mut read) = (0, 0);
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs_err::write(&content, bytes).unwrap();
        fs_err::remove_dir_all(world.home().join("p")).unwrap_or_default();
        match restore(&world.archive(), &entries[0]) {
            Ok(_) => {
                read += 1;
                assert_eq!(fs_err::read(world.home().join("p/x.jsonl")).unwrap(), before, "{place}");
                assert_eq!(fs_err::read(world.home().join("p/x/t/1.txt")).unwrap(), noise, "{place}");
            }
            Err(error) => {
                refused += 1;
                let why = format!("{error:#}");
                assert!(why.starts_with("nothing was put back: ") && why.contains(" is damaged: "), "{place}: {why}");
                assert!(why.contains("a copy of it from a backup") && why.contains("zstd -dc "), "{why}");
                assert!(!world.home().join("p").exists(), "{place}");
            }
        }
    }
    // A few bits say nothing about the content.
    assert!(read < 20 && refused > 1_000, "{read} {refused}");
}
