//! What the first records of a transcript say: the session's id, its working folder, whether anybody spoke.
//!
//! The common answer stands in the first bytes, and one run asks for it tens of thousands of times: one open, one read.
//! The bytes are parsed as JSON even then, so text inside a string is never taken for a key.

use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::CWD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::de::{IoRead, SliceRead};

use super::row::WorkingFolder;
use super::transcript::{Records, content, is_compressed, open_at};

/// How much of a transcript is read in search of a field. Codex writes several 100 KB of instructions into line 1.
const FARTHEST: u64 = 1 << 20;
/// The first read for an id, which is among the first keys.
const ID_HEAD: usize = 512;
/// The first read for a working folder, which may stand behind the first prompt.
const FOLDER_HEAD: usize = 8192;
/// Longest path we take from a file.
const LONGEST_PATH: u64 = 64 * 1024;

/// A field near the start of a file.
#[derive(Debug)]
pub(crate) enum Head {
    /// The first record that has the field as a string has this one.
    Found(String),
    /// All records were read, and none has it.
    Absent,
    /// The file, or a record of it, could not be read, or the field is not within the first 1 MiB.
    Unreadable(io::Error),
}

/// Reads the field `path` (keys from the outermost) in the first record of a file that has it.
pub(crate) fn field_at_head(folder: BorrowedFd<'_>, name: &CStr, path: &[String]) -> Head {
    match search::<ID_HEAD>(folder, name, path) {
        Ok(Search::Found(text)) => Head::Found(text),
        Ok(Search::Absent) => Head::Absent,
        Ok(Search::Unclear(why)) => Head::Unreadable(io::Error::new(io::ErrorKind::InvalidData, why)),
        Err(error) => Head::Unreadable(error),
    }
}

/// Reads a session's working folder; `None` when it is written down nowhere.
///
/// # Errors
/// The file that should hold it is there and cannot be read.
pub(crate) fn working_folder(rule: &WorkingFolder, transcript: &Path) -> Result<Option<PathBuf>> {
    let name = CString::new(transcript.as_os_str().as_bytes())?;
    working_folder_at(rule, CWD, &name).with_context(|| format!("working folder of {}", transcript.display()))
}

/// The same for the transcript called `name` in an open folder.
pub(crate) fn working_folder_at(
    rule: &WorkingFolder,
    folder: BorrowedFd<'_>,
    name: &CStr,
) -> io::Result<Option<PathBuf>> {
    let text = match rule {
        WorkingFolder::Unknown => return Ok(None),
        WorkingFolder::Field(path) => match search::<FOLDER_HEAD>(folder, name, path)? {
            Search::Found(text) => text.into_bytes(),
            Search::Absent | Search::Unclear(_) => return Ok(None),
        },
        WorkingFolder::File(relative) => {
            let file = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).with_file_name(relative);
            match open_at(folder, &file) {
                Ok(file) => path_in(File::from(file))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    };
    // A relative path says nothing to us, and NUL is in no path.
    let is_path = text.starts_with(b"/") && memchr::memchr(0, &text).is_none();
    Ok(is_path.then(|| OsString::from_vec(text).into()))
}

/// The content of a file that holds one path.
fn path_in(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(LONGEST_PATH).read_to_end(&mut text)?;
    if text.ends_with(b"\n") {
        text.truncate(text.len() - if text.ends_with(b"\r\n") { 2 } else { 1 });
    }
    Ok(text)
}

enum Search {
    Found(String),
    Absent,
    Unclear(&'static str),
}

/// Looks for a field: in the first `HEAD` bytes, then in the first [`FARTHEST`] as one stream of values, and line by line
/// where that stream holds something that is no JSON.
fn search<const HEAD: usize>(folder: BorrowedFd<'_>, name: &CStr, path: &[String]) -> io::Result<Search> {
    let file = open_at(folder, name)?;
    if !is_compressed(name.to_bytes()) {
        // Not zeroed first: this is read for a hundred thousand files in one run.
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; HEAD];
        let (head, _) = rustix::io::read(file.as_fd(), &mut buffer)?;
        if head.trim_ascii_start().is_empty() && head.len() < HEAD {
            return Ok(Search::Absent);
        }
        match values(SliceRead::new(head), path, Start::AtValue)? {
            Values::Found(text) => return Ok(Search::Found(text)),
            Values::End if head.len() < HEAD => return Ok(Search::Absent),
            Values::End | Values::CutOff | Values::NoJson => {}
        }
    }
    let mut file = File::from(file);
    if !is_compressed(name.to_bytes()) {
        file.rewind()?;
    }
    let mut source = content(file.try_clone()?, name.to_bytes()).take(FARTHEST);
    let found = values(IoRead::new(BufReader::with_capacity(FOLDER_HEAD, &mut source)), path, Start::Unknown)?;
    match found {
        Values::Found(text) => Ok(Search::Found(text)),
        Values::End if source.limit() > 0 => Ok(Search::Absent),
        Values::CutOff | Values::End if source.limit() == 0 => Ok(Search::Unclear("not within the first 1 MiB")),
        Values::End | Values::CutOff | Values::NoJson => {
            file.rewind()?;
            let mut records = Records::new(content(file, name.to_bytes()).take(FARTHEST));
            let mut found = None;
            while records.next(Pick { path, found: &mut found })?.is_some() {
                if let Some(text) = found.take() {
                    return Ok(Search::Found(text));
                }
            }
            Ok(Search::Unclear("no record has it, and some could not be read"))
        }
    }
}

enum Values {
    Found(String),
    /// Every value is complete, and none has the field.
    End,
    CutOff,
    NoJson,
}

/// Whether it is known that there is something to parse: to ask costs as much as to parse it.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    AtValue,
    Unknown,
}

/// Looks for a field in values that stand one after the other, up to the first that has it.
fn values<'de>(source: impl serde_json::de::Read<'de>, path: &[String], start: Start) -> io::Result<Values> {
    let mut parser = serde_json::Deserializer::new(source);
    let mut is_at_value = start == Start::AtValue;
    loop {
        if !std::mem::take(&mut is_at_value) {
            match parser.end() {
                Ok(()) => return Ok(Values::End),
                Err(error) if error.is_io() => return Err(error.into()),
                Err(_) => {} // There is more to parse.
            }
        }
        let mut found = None;
        let result = Pick { path, found: &mut found }.deserialize(&mut parser);
        match (found, result) {
            (Some(text), _) => return Ok(Values::Found(text)),
            (None, Ok(())) => {}
            (None, Err(error)) if error.is_io() => return Err(error.into()),
            (None, Err(error)) if error.is_eof() => return Ok(Values::CutOff),
            (None, Err(_)) => return Ok(Values::NoJson),
        }
    }
}

/// Keeps the string at a path of keys, and ends the parsing there with an error: what follows does not matter, and may
/// be cut off.
struct Pick<'p, 'f> {
    path: &'p [String],
    found: &'f mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Pick<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((key, path)) = self.path.split_first() else { return IgnoredAny.visit_map(map).map(drop) };
        while let Some(here) = map.next_key_seed(Is(key))? {
            if here {
                map.next_value_seed(Pick { path, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        IgnoredAny.visit_seq(seq).map(drop)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if !self.path.is_empty() {
            return Ok(());
        }
        *self.found = Some(text.to_owned());
        Err(E::custom("found"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether a key is this one.
struct Is<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::transcript::tests::compress;
    use super::*;

    struct World(tempfile::TempDir);

    impl World {
        fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(world.0.path().join("chats")).unwrap();
            world.add(name, content);
            world
        }

        fn add(&self, name: &str, content: impl AsRef<[u8]>) {
            io::Write::write_all(&mut File::create(self.path(name)).unwrap(), content.as_ref()).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("chats").join(name)
        }

        fn folder(&self, name: &str, rule: &WorkingFolder) -> Option<String> {
            let folder = working_folder(rule, &self.path(name)).unwrap();
            let open = open_at(CWD, self.0.path().join("chats")).unwrap();
            let name = CString::new(name).unwrap();
            assert_eq!(working_folder_at(rule, open.as_fd(), &name).unwrap(), folder);
            folder.map(|path| path.to_str().unwrap().to_owned())
        }

        fn id(&self, name: &str) -> Head {
            let open = open_at(CWD, self.0.path().join("chats")).unwrap();
            field_at_head(open.as_fd(), &CString::new(name).unwrap(), &["sessionId".to_owned()])
        }
    }

    fn field(path: &str) -> WorkingFolder {
        WorkingFolder::Field(path.split('.').map(str::to_owned).collect())
    }

    fn id(content: impl AsRef<[u8]>) -> Head {
        World::with("x.jsonl", content).id("x.jsonl")
    }

    #[track_caller]
    fn assert_found(head: &Head, id: &str) {
        assert!(matches!(head, Head::Found(found) if found == id), "{head:?}");
    }

    #[test]
    fn the_working_folder_is_in_the_first_record_that_has_it() {
        let claude = "{\"type\":\"queue-operation\",\"content\":\"\\\"cwd\\\":\\\"/no\\\"\"}\n\
                      {\"type\":\"summary\",\"cwd\":null}\n{\"cwd\":\"/a b/ü\",\"type\":\"user\"}\n{\"cwd\":\"/later\"}\n";
        assert_eq!(World::with("x.jsonl", claude).folder("x.jsonl", &field("cwd")).as_deref(), Some("/a b/ü"));
        let copilot = "{\"data\":{\"cwd\":\"/no\",\"context\":{\"cwd\":\"/yes\"}}}\n";
        let copilot = World::with("events.jsonl", copilot);
        assert_eq!(copilot.folder("events.jsonl", &field("data.context.cwd")).as_deref(), Some("/yes"));
        assert_eq!(copilot.folder("events.jsonl", &field("cwd")), None);
        assert_eq!(copilot.folder("events.jsonl", &field("data.context")), None);
        assert_eq!(copilot.folder("events.jsonl", &WorkingFolder::Unknown), None);
    }

    #[test]
    fn a_huge_first_line_is_read_until_the_field() {
        for (before, after) in [(0, 700_000), (400_000, 10), (400_000, 2_000_000)] {
            let [before, after] = [before, after].map(|length| "x".repeat(length));
            let codex = format!(
                "{{\"payload\":{{\"a\":\"{before}\",\"cwd\":\"/work\",\"base_instructions\":\"{after}\"}}}}\n{{}}\n"
            );
            let world = World::with("x.jsonl", &codex);
            world.add("x.jsonl.zst", compress(codex.as_bytes()));
            assert_eq!(world.folder("x.jsonl", &field("payload.cwd")).as_deref(), Some("/work"));
            assert_eq!(world.folder("x.jsonl.zst", &field("payload.cwd")).as_deref(), Some("/work"));
        }
    }

    #[test]
    fn a_bad_line_does_not_hide_the_next() {
        let content = "{\"cut\": \"of\n\u{0}\n{\"cwd\":\"/work\"}\n";
        let world = World::with("x.jsonl", content);
        world.add("x.jsonl.zst", compress(content.as_bytes()));
        assert_eq!(world.folder("x.jsonl", &field("cwd")).as_deref(), Some("/work"));
        assert_eq!(world.folder("x.jsonl.zst", &field("cwd")).as_deref(), Some("/work"));
    }

    #[test]
    fn a_folder_that_is_no_absolute_path_is_none() {
        for content in ["{\"cwd\":\"work\"}", "{\"cwd\":\"/a\\u0000b\"}", "{\"cwd\":\"\"}", "{\"cwd\":\"/torn", ""] {
            assert_eq!(World::with("x.jsonl", content).folder("x.jsonl", &field("cwd")), None, "{content}");
        }
    }

    #[test]
    fn the_working_folder_may_stand_in_a_file_beside_the_transcript() {
        let rule = WorkingFolder::File("../.project_root".to_owned());
        let world = World::with("x.jsonl", "{}");
        assert_eq!(world.folder("x.jsonl", &rule), None);
        for (content, expected) in
            [("/srv/a b\n", Some("/srv/a b")), ("/w\n\n", Some("/w\n")), ("/w", Some("/w")), ("w", None), ("", None)]
        {
            world.add("../.project_root", content);
            assert_eq!(world.folder("x.jsonl", &rule).as_deref(), expected, "{content:?}");
        }
    }

    #[test]
    fn an_id_is_read_from_lines_and_documents() {
        assert_found(&id("{\"sessionId\":\"a-b\",\"projectHash\":\"c"), "a-b");
        assert_found(&id("{\n  \"sessionId\": \"a-b\",\n  \"messages\": ["), "a-b");
        assert_found(&id(format!("{{\n  \"messages\": [\"{}\"],\n \"sessionId\": \"a-b\"}}", "x".repeat(9000))), "a-b");
        assert_found(&id(format!("{{\"t\":\"{}\"}}\n{{\"sessionId\":\"a-b\"}}\n", "x".repeat(600))), "a-b");
        assert_found(&id("{\"session\\u0049d\":\"a\\u002db\"}"), "a-b");
        for padding in ID_HEAD - 12..ID_HEAD + 2 {
            let first = format!("{{\"p\":\"{}\"}}\n", "x".repeat(padding));
            assert_found(&id(first + "{\"sessionId\":\"a-b\"}\n"), "a-b");
        }
    }

    #[test]
    fn text_inside_a_string_is_never_an_id() {
        let quoted = "{\"content\":\"{\\\"sessionId\\\":\\\"wrong\\\"}\",\"nested\":{\"sessionId\":\"wrong\"}";
        assert!(matches!(id(format!("{quoted}}}\n")), Head::Absent));
        assert_found(&id(format!("{quoted},\"sessionId\":\"right\"}}\n")), "right");
        for padding in 480..520 {
            let content = format!("{{\"p\":\"{}\\\"sessionId\\\":\\\"wrong\\\"\",", "x".repeat(padding));
            assert_found(&id(content + "\"sessionId\":\"right\"}"), "right");
        }
    }

    #[test]
    fn no_id_and_no_answer_are_different() {
        assert!(matches!(id(""), Head::Absent));
        assert!(matches!(id("{\"a\":1}\n{\"sessionId\":7}\n"), Head::Absent));
        assert!(matches!(id(format!("{{\"a\":\"{}\"}}", "x".repeat(2000))), Head::Absent));
        for content in ["{\"a\":1", "{\"sessionId\":\"cut", "text", "{\"sessionId\":\"\u{0}"] {
            assert!(matches!(id(content), Head::Unreadable(_)), "{content}");
        }
        assert!(matches!(id(format!("{{\"a\":\"{}\"", "x".repeat(2 << 20))), Head::Unreadable(_)));
        assert!(matches!(id(format!("{{\"a\":\"{}\"}}\n", "x".repeat(2 << 20))), Head::Unreadable(_)));
        let world = World::with("x.jsonl", "");
        assert!(matches!(world.id("none"), Head::Unreadable(_)));
        assert!(matches!(world.id("."), Head::Unreadable(_)));
        assert!(working_folder(&field("cwd"), &world.path("none")).is_err());
    }
}
