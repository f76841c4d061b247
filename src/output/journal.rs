//! Levels for journald: it takes them from a number before each line, where stderr leads to it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;

use log::Level;

/// Whether `stream` is the one that `JOURNAL_STREAM` names by device and inode: it stays set where stderr was led elsewhere.
pub(crate) fn is_journal(named: Option<&OsStr>, stream: impl AsFd) -> bool {
    let named = named.and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?)));
    named.is_some_and(|named| rustix::fs::fstat(stream).is_ok_and(|stat| named == (stat.st_dev, stat.st_ino)))
}

/// Writes a message as syslog's levels have it, each of its lines.
pub(crate) fn write_line(out: &mut dyn Write, level: Level, message: &str) -> io::Result<()> {
    let number = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    message.lines().try_for_each(|line| writeln!(out, "<{number}>{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let is = |text: String| is_journal(Some(OsStr::new(&text)), &file);
        assert!(is(format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is(format!("{}:{}", stat.st_dev, stat.st_ino + 1)));
        assert!(!is(stat.st_ino.to_string()) && !is(String::new()) && !is_journal(None, &file));
    }

    #[test]
    fn every_line_has_its_level() {
        let mut out = Vec::new();
        write_line(&mut out, Level::Warn, "one\ntwo").unwrap();
        write_line(&mut out, Level::Info, "three").unwrap();
        assert_eq!(out, b"<4>one\n<4>two\n<6>three\n");
    }
}
