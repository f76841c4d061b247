//! Programs that do not know our lock change the file all the time while it is replaced again and again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::names::rename_over;
use super::super::snapshot::{Snapshot, folder_of};
use super::{HOLD, Prepared, Replaced, Step};

const BEGIN: &str = "begin\n";
const END: &str = "end\n";

/// How the other program writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Writer {
    Renames,
    RewritesInPlace,
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    lost: usize,
    replaced: usize,
    changed: usize,
    torn: usize,
    steps: BTreeMap<String, usize>,
}

fn is_complete(text: &str) -> bool {
    text.starts_with(BEGIN) && text.ends_with(END)
}

/// Reads, adds one change and something to prune, writes: what a bridge does.
fn change(path: &Path, number: usize, how: Writer) {
    let text = fs_err::read_to_string(path).unwrap();
    assert!(is_complete(&text), "the writer saw an incomplete file: {text}");
    let body = text.strip_suffix(END).unwrap();
    let text = format!("{body}change {number}\nidle {number}\n{END}");
    match how {
        Writer::Renames => {
            let beside = path.with_extension("theirs");
            File::create(&beside).unwrap().write_all(text.as_bytes()).unwrap();
            let folder = File::open(folder_of(path)).unwrap();
            rename_over(folder.as_fd(), beside.file_name().unwrap(), path.file_name().unwrap()).unwrap();
        }
        Writer::RewritesInPlace => {
            let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }
}

/// One attempt to remove what is idle.
fn prune(path: &Path, hold: Duration, tally: &mut Tally) {
    let snapshot = Snapshot::open(path, 100_000_000).unwrap();
    let text = String::from_utf8_lossy(snapshot.bytes());
    if !is_complete(&text) {
        tally.torn += 1;
        std::thread::sleep(Duration::from_micros(500));
        return;
    }
    let kept: String = text.split_inclusive('\n').filter(|line| !line.starts_with("idle")).collect();
    if kept == text {
        std::thread::yield_now();
        return;
    }
    let prepared = Prepared::write(&snapshot, &[kept.as_bytes()]).unwrap();
    let mut held = "at once";
    let result = prepared.commit_watched(&snapshot, hold, &mut |step| {
        held = match step {
            Step::Guarded => "at once",
            Step::Held => "after the hold",
            _ => held,
        };
        let name = if step == Step::PutBack { format!("PutBack {held}") } else { format!("{step:?}") };
        *tally.steps.entry(name).or_default() += 1;
    });
    match result.unwrap() {
        Replaced::Done(_) => tally.replaced += 1,
        Replaced::Changed => tally.changed += 1,
    }
}

/// Lets a writer make `changes`, up to `pause` microseconds apart, while the file is pruned, read by `readers` and, with `busy` threads, the processor is
/// wanted elsewhere.
fn contend(how: Writer, changes: usize, pause: u64, hold: Duration, readers: usize, busy: usize) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    fs_err::File::create(&path).and_then(|mut file| file.write_all(format!("{BEGIN}{END}").as_bytes())).unwrap();
    let mut tally = Tally::default();
    let running = AtomicBool::new(true);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            for number in 0..changes {
                change(&path, number, how);
                // Uneven on purpose, so that writes meet every step of a replacement.
                let pause = Duration::from_micros((number as u64 * 7919) % pause);
                let until = Instant::now() + pause;
                if number % 2 == 0 {
                    std::thread::sleep(pause);
                }
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
        });
        for _ in 0..readers {
            threads.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    let text = fs_err::read_to_string(&path).unwrap();
                    assert!(how == Writer::RewritesInPlace || is_complete(&text), "a reader saw: {text}");
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for _ in 0..busy {
            threads.spawn(|| {
                while running.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        while !writer.is_finished() {
            prune(&path, hold, &mut tally);
        }
        running.store(false, Ordering::Relaxed);
        writer.join().unwrap();
    });
    let text = fs_err::read_to_string(&path).unwrap();
    let there: std::collections::HashSet<&str> = text.lines().collect();
    tally.lost = (0..changes).filter(|number| !there.contains(format!("change {number}").as_str())).count();
    tally
}

#[test]
fn a_program_that_renames_loses_no_change_and_readers_see_whole_files() {
    let tally = contend(Writer::Renames, 1000, 1000, HOLD, 4, 0);
    assert_eq!(tally.lost, 0, "{tally:?}");
    assert!(tally.replaced > 0, "{tally:?}");
}

#[test]
fn a_program_that_rewrites_in_place_loses_no_change() {
    let tally = contend(Writer::RewritesInPlace, 1000, 1000, HOLD, 4, 0);
    assert_eq!(tally.lost, 0, "{tally:?}");
    assert!(tally.replaced > 0, "{tally:?}");
}

/// `STRESS="CHANGES PAUSE READERS BUSY HOLD…" cargo test measure_losses -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: minutes, both cores"]
fn measure_losses() {
    let request = std::env::var("STRESS").unwrap_or_else(|_| "4000 1000 0 2 1000 500 200 0".to_owned());
    let numbers: Vec<usize> = request.split(' ').map(|number| number.parse().unwrap()).collect();
    let [changes, pause, readers, busy, holds @ ..] = numbers.as_slice() else { panic!("STRESS={request}") };
    for hold in holds {
        for how in [Writer::Renames, Writer::RewritesInPlace] {
            let started = Instant::now();
            let tally = contend(how, *changes, *pause as u64, Duration::from_micros(*hold as u64), *readers, *busy);
            let mut out = std::io::stdout().lock();
            writeln!(out, "hold {hold} us, {how:?}, {:?}: {tally:?}", started.elapsed()).unwrap();
        }
    }
}
