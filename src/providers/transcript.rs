//! Opening a transcript, whatever form it has, and reading its records from the front with constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::de::{IoRead, SliceRead};

/// How much of a file is held in memory at a time.
pub(super) const CHUNK: usize = 64 * 1024;

/// Opens a file for reading without ever waiting: a pipe in a transcript's place is no reason to hang.
pub(super) fn open_at<P: rustix::path::Arg>(folder: BorrowedFd<'_>, name: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

/// Opens a regular file and tells its length.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let file = File::from(open_at(CWD, path)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, metadata.len()))
}

/// Whether a name says that the content is compressed with zstd (Codex compresses old rollouts: `.jsonl.zst`).
pub(super) fn is_compressed(name: &[u8]) -> bool {
    name.ends_with(b".zst")
}

/// The content of a file called `name`, decompressed if the name says so.
pub(super) fn content(file: File, name: &[u8]) -> Box<dyn Read> {
    if is_compressed(name) { Box::new(Decompressed::new(file)) } else { Box::new(file) }
}

/// The content of a zstd file of one or more frames. Damage is an error, never an early end.
pub(super) struct Decompressed {
    source: BufReader<File>,
    decoder: FrameDecoder,
    inside_frame: bool,
}

impl Decompressed {
    pub(super) fn new(file: File) -> Self {
        Self { source: BufReader::with_capacity(CHUNK, file), decoder: FrameDecoder::new(), inside_frame: false }
    }

    /// Steps into the next frame; false at the end of the file.
    fn enter_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside_frame {
                self.inside_frame = self.enter_frame()?;
                if !self.inside_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)).map_err(damaged)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let (written, calculated) = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if written.is_some() && written != calculated {
                return Err(damaged("the checksum of a zstd frame does not match"));
            }
            self.inside_frame = false;
        }
    }
}

/// Whether a file is one pretty-printed JSON document instead of one record per line: its first line then ends inside a
/// value. Whoever relies on this must fall back to lines when the document turns out to be none.
pub(super) fn is_one_document(file: &File) -> io::Result<bool> {
    let mut head = [0; 4096];
    let length = file.read_at(&mut head, 0)?;
    let head = head[..length].trim_ascii_start();
    let Some(end) = memchr::memchr(b'\n', head) else { return Ok(false) };
    Ok(serde_json::from_slice::<IgnoredAny>(&head[..end]).is_err_and(|error| error.is_eof()))
}

/// Parses one value that must be all there is.
pub(super) fn parse<'de, T>(
    source: impl serde_json::de::Read<'de>,
    seed: impl DeserializeSeed<'de, Value = T>,
) -> serde_json::Result<T> {
    let mut parser = serde_json::Deserializer::new(source);
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Reads records, one per line, from the front.
pub(super) struct Records<R> {
    source: BufReader<R>,
    /// Whether the rest of a line is still to be stepped over.
    inside_line: bool,
}

impl<R: Read> Records<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source: BufReader::with_capacity(CHUNK, source), inside_line: false }
    }

    /// Parses the next line that is not blank; `None` at the end. A line that is no JSON is the inner error. However
    /// long a line is, only what `seed` keeps of it is held in memory.
    pub(super) fn next<T>(
        &mut self,
        seed: impl for<'de> DeserializeSeed<'de, Value = T>,
    ) -> io::Result<Option<serde_json::Result<T>>> {
        if self.inside_line {
            io::copy(&mut Line { source: &mut self.source, ended: false }, &mut io::sink())?;
            self.inside_line = false;
        }
        loop {
            let buffer = self.source.fill_buf()?;
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if blank == 0 {
                break;
            }
            self.source.consume(blank);
        }
        let buffer = self.source.buffer();
        if buffer.is_empty() {
            return Ok(None);
        }
        if let Some(end) = memchr::memchr(b'\n', buffer) {
            let record = parse(SliceRead::new(&buffer[..end]), seed);
            self.source.consume(end + 1);
            return Ok(Some(record));
        }
        let mut line = Line { source: &mut self.source, ended: false };
        let record = parse(IoRead::new(BufReader::new(&mut line)), seed);
        self.inside_line = !line.ended;
        match record {
            Err(error) if error.is_io() => Err(error.into()),
            record => Ok(Some(record)),
        }
    }
}

/// The rest of one line.
struct Line<'s, R> {
    source: &'s mut BufReader<R>,
    ended: bool,
}

impl<R: Read> Read for Line<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let buffer = self.source.fill_buf()?;
        let buffer = &buffer[..buffer.len().min(target.len())];
        let end = memchr::memchr(b'\n', buffer);
        let count = end.unwrap_or(buffer.len());
        target[..count].copy_from_slice(&buffer[..count]);
        self.ended = end.is_some() || (count == 0 && !target.is_empty());
        self.source.consume(count + usize::from(end.is_some()));
        Ok(count)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    /// A zstd file of one frame.
    pub(in crate::providers) fn compress(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn decompressed(content: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Decompressed::new(file(content)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn several_frames_and_skippable_ones_are_one_content() {
        let mut content = compress(b"one\n");
        content.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        content.extend(compress(b"two\n"));
        assert_eq!(decompressed(&content).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_torn_or_damaged_frame_is_an_error() {
        let whole = compress("a line of text that repeats\n".repeat(5000).as_bytes());
        assert!(decompressed(&whole).is_ok());
        for length in 1..whole.len() {
            assert!(decompressed(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(decompressed(b"{\"timestamp\":1}\n").is_err());
    }

    #[test]
    fn records_are_lines_whatever_their_length() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(3 * CHUNK));
        let content = format!("\n{{\"a\":1}}\r\n{long}\nnone\n\n  \n{long}{{\n{{\"b\":2}}");
        let mut records = Records::new(file(content.as_bytes()));
        let mut good = Vec::new();
        while let Some(record) = records.next(std::marker::PhantomData::<IgnoredAny>).unwrap() {
            good.push(record.is_ok());
        }
        assert_eq!(good, [true, true, false, false, true]);
    }

    #[test]
    fn only_a_pretty_printed_file_is_a_document() {
        for (content, expected) in [
            ("{\n  \"a\": 1\n}", true),
            ("\n{ \"a\": 1,\n  \"b\": 2 }", true),
            ("{\"a\":1}\n{\"a\":2}\n", false),
            ("{\"a\":1", false),
            ("", false),
        ] {
            assert_eq!(is_one_document(&file(content.as_bytes())).unwrap(), expected, "{content:?}");
        }
    }
}
