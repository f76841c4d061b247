//! When a session's last record was written, by the record's own word.
//!
//! File times say when a CLI touched a file, which is not when something was said in it: Claude Code sets the time of
//! every session it opens, Gemini CLI appends to the session before the one it starts. The records carry their own
//! times, and the newest is near the end.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde_json::de::{IoRead, SliceRead};

use super::record_time::RecordTime;
use super::transcript::{CHUNK, Decompressed, Records, is_compressed, is_one_document, open_regular, parse};

/// How far from the end we look, and how large a single document may be.
const FARTHEST: u64 = 256 << 20;
/// How much of a compressed transcript we read; it can be read only from the front.
const LONGEST_DECOMPRESSED: u64 = 4 << 30;

/// What the end of a transcript says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LastRecord {
    /// The time of the last record that has one.
    pub(crate) time: Option<DateTime<Utc>>,
    /// Records without a readable time that should have had one: no JSON, or something that is no time. An incomplete
    /// last line is normal while the CLI writes and does not count.
    pub(crate) records_skipped: usize,
    /// Whether the search ended at its limit, so that an older record may have a time.
    pub(crate) gave_up: bool,
}

/// Finds the time of the last dated record of a transcript: records per line, one document, or compressed lines.
///
/// # Errors
/// The file cannot be opened or read, is no regular file, or its compressed content is damaged.
pub(crate) fn last_record_time(path: &Path) -> Result<LastRecord> {
    read(path).with_context(|| format!("could not read {}", path.display()))
}

fn read(path: &Path) -> io::Result<LastRecord> {
    let (file, length) = open_regular(path)?;
    if is_compressed(path.as_os_str().as_bytes()) {
        return from_the_front(Decompressed::new(file), LONGEST_DECOMPRESSED);
    }
    if length <= FARTHEST && is_one_document(&file)? {
        match parse(IoRead::new(BufReader::with_capacity(CHUNK, &file)), PhantomData::<RecordTime>) {
            Ok(time) => {
                let records_skipped = usize::from(time.newest.is_none() && time.unparsable);
                return Ok(LastRecord { time: time.newest, records_skipped, gave_up: false });
            }
            Err(error) if error.is_io() => return Err(error.into()),
            Err(_) => {} // A first line that was cut off, and lines after it.
        }
    }
    Backwards { file: &file, length, farthest: FARTHEST }.find()
}

/// What one record adds to the search.
enum Finding {
    Time(DateTime<Utc>),
    Undated,
    Unreadable,
}

fn finding(record: serde_json::Result<RecordTime>) -> io::Result<Finding> {
    Ok(match record {
        Ok(RecordTime { newest: Some(time), .. }) => Finding::Time(time),
        Ok(RecordTime { unparsable: false, .. }) => Finding::Undated,
        Err(error) if error.is_io() => return Err(error.into()),
        Ok(_) | Err(_) => Finding::Unreadable,
    })
}

fn from_the_front(source: impl Read, longest: u64) -> io::Result<LastRecord> {
    let mut last = LastRecord::default();
    let mut limited = source.take(longest);
    let mut skipped_since = 0;
    let mut incomplete = false;
    {
        let mut records = Records::new(&mut limited);
        while let Some(record) = records.next(PhantomData::<RecordTime>)? {
            incomplete = record.as_ref().is_err_and(serde_json::Error::is_eof);
            match finding(record)? {
                Finding::Time(time) => (last.time, skipped_since) = (Some(time), 0),
                Finding::Undated => {}
                Finding::Unreadable => skipped_since += 1,
            }
        }
    }
    if limited.limit() == 0 {
        return Ok(LastRecord { time: None, records_skipped: 0, gave_up: true });
    }
    last.records_skipped = skipped_since - usize::from(incomplete && skipped_since > 0);
    Ok(last)
}

/// Lines from the end of a file, in constant memory.
struct Backwards<'f> {
    file: &'f File,
    length: u64,
    farthest: u64,
}

impl Backwards<'_> {
    fn find(&self) -> io::Result<LastRecord> {
        let mut last = LastRecord::default();
        let mut buffer = vec![0; CHUNK];
        let mut chunk = self.length..self.length;
        let mut line_end = self.length;
        while chunk.start > 0 {
            if self.length - chunk.start >= self.farthest {
                last.gave_up = true;
                return Ok(last);
            }
            chunk = chunk.start.saturating_sub(CHUNK as u64)..chunk.start;
            let content = &mut buffer[..(chunk.end - chunk.start) as usize];
            self.file.read_exact_at(content, chunk.start)?;
            let newlines = memchr::memrchr_iter(b'\n', content).map(|at| (chunk.start + at as u64, 1));
            let file_start = (chunk.start == 0).then_some((0, 0));
            for (position, width) in newlines.chain(file_start) {
                let line = position + width..line_end;
                let at_end = line.end == self.length;
                line_end = position;
                match self.line(line, content, &chunk)? {
                    Finding::Time(time) => {
                        last.time = Some(time);
                        return Ok(last);
                    }
                    Finding::Undated => {}
                    Finding::Unreadable => last.records_skipped += usize::from(!at_end),
                }
            }
        }
        Ok(last)
    }

    /// Parses one line: from the chunk that holds all of it, else from the file.
    fn line(&self, line: Range<u64>, content: &[u8], chunk: &Range<u64>) -> io::Result<Finding> {
        if line.end <= chunk.end {
            let text = content[(line.start - chunk.start) as usize..(line.end - chunk.start) as usize].trim_ascii();
            if text.is_empty() {
                return Ok(Finding::Undated);
            }
            return finding(parse(SliceRead::new(text), PhantomData));
        }
        let part = Part { file: self.file, rest: line };
        finding(parse(IoRead::new(BufReader::with_capacity(CHUNK, part)), PhantomData))
    }
}

/// A part of a file.
struct Part<'f> {
    file: &'f File,
    rest: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = target.len().min((self.rest.end - self.rest.start) as usize);
        let count = self.file.read_at(&mut target[..length], self.rest.start)?;
        if count == 0 && length > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.rest.start += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::transcript::tests::compress;
    use super::*;

    fn write(path: &Path, content: &[u8]) {
        io::Write::write_all(&mut File::create(path).unwrap(), content).unwrap();
    }

    fn last(name: &str, content: &[u8]) -> Result<LastRecord> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write(&path, content);
        last_record_time(&path)
    }

    fn time(name: &str, content: impl AsRef<[u8]>) -> Option<String> {
        last(name, content.as_ref()).unwrap().time.map(|time| time.format("%H:%M:%S").to_string())
    }

    fn record(time: &str, text: &str) -> String {
        format!("{{\"type\":\"user\",\"content\":\"{text}\",\"timestamp\":\"2026-11-20T{time}.174Z\"}}\n")
    }

    #[test]
    fn lines_without_a_time_at_the_end_are_stepped_over() {
        let undated = "{\"type\":\"last-prompt\",\"lastPrompt\":\"\\\"timestamp\\\":\\\"2030-01-01T00:00:00Z\\\"\"}\n";
        let content = record("09:00:00", "a") + &record("09:00:07", "b") + &undated.repeat(3000) + "\n\r\n";
        assert_eq!(time("x.jsonl", &content).as_deref(), Some("09:00:07"));
        assert_eq!(last("x.jsonl", content.as_bytes()).unwrap().records_skipped, 0);
    }

    #[test]
    fn a_torn_last_line_is_not_the_last_record() {
        let whole = record("09:00:00", "a");
        let torn = record("09:00:07", "b");
        for length in 0..torn.len() - 1 {
            let content = whole.clone() + &torn[..length];
            assert_eq!(time("x.jsonl", &content).as_deref(), Some("09:00:00"), "{length}");
            assert_eq!(last("x.jsonl", content.as_bytes()).unwrap().records_skipped, 0);
        }
        assert_eq!(time("x.jsonl", whole + torn.trim_end()).as_deref(), Some("09:00:07"));
    }

    #[test]
    fn records_longer_than_a_chunk_are_read() {
        for length in [CHUNK - 200, CHUNK - 100, CHUNK, 5 * CHUNK + 17] {
            let long = record("09:00:07", &"x".repeat(length));
            assert_eq!(time("x.jsonl", record("09:00:00", "a") + &long).as_deref(), Some("09:00:07"));
            let undated = format!("{{\"content\":\"{}\"}}\n", "x".repeat(length));
            assert_eq!(time("x.jsonl", long + &undated + "{\"to").as_deref(), Some("09:00:07"));
        }
    }

    #[test]
    fn every_line_is_found_wherever_the_chunks_end() {
        for padding in 0..200 {
            let content = record("09:00:07", "a") + &"{}\n".repeat(CHUNK / 3 - 40) + &" ".repeat(padding) + "{}\n";
            assert_eq!(time("x.jsonl", &content).as_deref(), Some("09:00:07"), "{padding}");
        }
    }

    #[test]
    fn records_that_cannot_be_read_are_counted() {
        let mut content = record("09:00:00", "a").into_bytes();
        content.extend(b"{\"timestamp\":\"soon\"}\n{\"a\":\"\xff\",\"timestamp\":\"\xff\"}\n\0\0\0\0\n");
        let last = last("x.jsonl", &content).unwrap();
        assert_eq!((last.time.is_some(), last.records_skipped), (true, 3));
        let mut content = record("09:00:00", "a").into_bytes();
        content.extend(b"{\"a\":\"\xff\",\"timestamp\":\"2026-11-20T09:00:07Z\"}\n");
        assert!(time("x.jsonl", content).is_some());
    }

    #[test]
    fn a_pretty_printed_document_tells_its_newest_time() {
        let content = "{\n  \"sessionId\": \"a\",\n  \"lastUpdated\": \"2026-11-20T09:00:07Z\",\n  \"messages\": [\n    {\n      \
                       \"timestamp\": \"2026-11-20T09:00:09Z\"\n    }\n  ]\n}";
        assert_eq!(time("x.json", content).as_deref(), Some("09:00:09"));
        assert_eq!(time("x.jsonl", content).as_deref(), Some("09:00:09"));
        assert_eq!(time("x.json", &content[..content.len() - 3]), None);
        assert_eq!(time("x.json", record("09:00:00", "a") + &record("09:00:07", "b")).as_deref(), Some("09:00:07"));
        assert_eq!(time("x.json", "{\"cut\":\"o\n".to_owned() + &record("09:00:07", "b")).as_deref(), Some("09:00:07"));
    }

    #[test]
    fn compressed_lines_are_read_to_their_end() {
        let content = record("09:00:00", "a") + &record("09:00:07", &"x".repeat(200_000)) + "{\"type\":1}\n{\"timest";
        let compressed = compress(content.as_bytes());
        assert_eq!(time("x.jsonl.zst", &compressed).as_deref(), Some("09:00:07"));
        assert_eq!(last("x.jsonl.zst", &compressed).unwrap().records_skipped, 0);
        assert!(last("x.jsonl.zst", &compressed[..compressed.len() / 2]).is_err());
        assert_eq!(
            from_the_front(content.as_bytes(), 1000).unwrap(),
            LastRecord { gave_up: true, ..LastRecord::default() }
        );
    }

    #[test]
    fn files_without_any_record_have_no_time() {
        for content in ["", "\n\n", "text\n", "{}\n", "[]", "{"] {
            assert_eq!(time("x.jsonl", content), None, "{content:?}");
        }
    }

    #[test]
    fn the_search_ends_at_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let content = record("09:00:00", "a") + &"{}\n".repeat(CHUNK);
        write(&path, content.as_bytes());
        let (file, length) = open_regular(&path).unwrap();
        let found = |farthest| Backwards { file: &file, length, farthest }.find().unwrap();
        assert!(found(CHUNK as u64).gave_up);
        assert!(found(length).time.is_some());
    }

    #[test]
    fn what_is_no_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.jsonl");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [folder.path(), &pipe, &folder.path().join("none.jsonl")] {
            let message = format!("{:#}", last_record_time(path).unwrap_err());
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
    }
}
