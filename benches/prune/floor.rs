//! The floor: the least work that answers the question, on one thread.
//!
//! It reads the map with a scan that knows no more JSON than it must, lists the folders that can hold a transcript,
//! stats only the mapped files relative to their folder, confirms Gemini's eight characters inside the file, and writes
//! the map with one fsync and one rename. No lock, no tombstones, no live processes, no checks: what the tool costs
//! above it is the price of its promises.

use std::ffi::CString;
use std::fs;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use memchr::{memchr, memmem};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use rustix::io::read;

use crate::scan::Scan;

const CLAUDE: usize = 0;
const GEMINI: usize = 1;
const CODEX: usize = 2;
const STORES: [&str; 3] = [".claude/projects", ".gemini/tmp", ".codex/sessions"];
/// How much of an id a file name holds.
const WIDTH: [usize; 3] = [36, 8, 36];
const NEVER: i64 = -1;
const BUFFER: usize = 256 * 1024;

/// `floor HOME MAP CUTOFF [--dry]`: prints the counts, and rewrites the map unless told not to.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.collect();
    let [home, map, cutoff, options @ ..] = &arguments[..] else { panic!("floor HOME MAP CUTOFF [--dry]") };
    let (map, cutoff) = (Path::new(map), cutoff.parse().unwrap());
    let text = fs::read(map).unwrap();
    let mut floor = Floor::parse(&text);
    floor.walk(home);

    let (mut active, mut idle, mut missing) = (0, 0, 0);
    for entry in &floor.entries[1..] {
        match entry.newest {
            NEVER => missing += 1,
            time if time < cutoff => idle += 1,
            _ => active += 1,
        }
    }
    if idle > 0 && !options.iter().any(|option| option == "--dry") {
        let temporary = map.with_extension("tmp");
        let mut file = fs::File::create(&temporary).unwrap();
        file.write_all(&floor.without_idle(cutoff)).unwrap();
        file.sync_all().unwrap();
        fs::rename(&temporary, map).unwrap();
    }
    println!("checked={} active={active} idle={idle} missing={missing}", active + idle + missing);
    ExitCode::SUCCESS
}

/// One mapping; `raw` is the whole member, `"chat": value`.
struct Entry<'a> {
    raw: &'a [u8],
    id: &'a [u8],
    newest: i64,
    /// The next entry with the same id (or, for Gemini, the same eight characters); 0 ends the chain.
    next: u32,
}

/// One model of the map with its entries' range.
struct Model<'a> {
    key: &'a [u8],
    entries: std::ops::Range<usize>,
}

struct Floor<'a> {
    /// Entry 0 is unused, so that 0 can mean none.
    entries: Vec<Entry<'a>>,
    models: Vec<Model<'a>>,
    tables: [Table; 3],
}

impl<'a> Floor<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let mut scan = Scan { text, at: 0 };
        let mut entries = Vec::with_capacity(text.len() / 64 + 1);
        entries.push(Entry { raw: b"", id: b"", newest: NEVER, next: 0 });
        let (mut models, mut counts) = (Vec::new(), [0; 3]);
        scan.skip(1);
        while scan.next() == b'"' {
            let (key, first) = (scan.string(), entries.len());
            scan.skip(2); // the colon and the brace
            while scan.next() == b'"' {
                let start = scan.at;
                scan.string();
                scan.skip(1);
                let id = scan.value().unwrap_or_default();
                entries.push(Entry { raw: &text[start..scan.at], id, newest: NEVER, next: 0 });
                scan.comma();
            }
            scan.skip(1);
            scan.comma();
            counts[provider(key)] += entries.len() - first;
            models.push(Model { key, entries: first..entries.len() });
        }
        let mut floor = Self { entries, models, tables: counts.map(Table::for_entries) };
        floor.index();
        floor
    }

    fn index(&mut self) {
        for model in &self.models {
            let provider = provider(model.key);
            for position in model.entries.clone() {
                let id = self.entries[position].id;
                if id.len() == 36 {
                    let slot = self.tables[provider].slot(&self.entries, &id[..WIDTH[provider]]);
                    self.entries[position].next = self.tables[provider].slots[slot].1;
                    self.tables[provider].slots[slot] = (tag(hash(&id[..WIDTH[provider]])), position as u32);
                }
            }
        }
    }

    fn walk(&mut self, home: &str) {
        // One buffer for folders of folders, one for the folder that is read while the first is still in use.
        let (mut outer, mut inner) = (Vec::with_capacity(BUFFER), Vec::with_capacity(BUFFER));
        for provider in [CLAUDE, GEMINI, CODEX] {
            if self.tables[provider].slots.is_empty() {
                continue;
            }
            let Some(root) = folder(CWD, format!("{home}/{}", STORES[provider])) else { continue };
            if provider == CODEX {
                let years = self.list(provider, &root, outer.spare_capacity_mut());
                for year in years.iter().filter_map(|name| folder(&root, name)) {
                    for month in
                        subfolders(&year, outer.spare_capacity_mut()).iter().filter_map(|name| folder(&year, name))
                    {
                        for day in subfolders(&month, outer.spare_capacity_mut())
                            .iter()
                            .filter_map(|name| folder(&month, name))
                        {
                            self.list(provider, &day, inner.spare_capacity_mut());
                        }
                    }
                }
                continue;
            }
            for mut name in subfolders(&root, outer.spare_capacity_mut()) {
                if provider == GEMINI {
                    name = CString::new([name.as_bytes(), b"/chats"].concat()).unwrap();
                }
                if let Some(chats) = folder(&root, &name) {
                    self.list(provider, &chats, inner.spare_capacity_mut());
                }
            }
        }
    }

    /// Notes the time of every mapped file in this folder; returns the folders in it where Codex keeps its years.
    fn list(&mut self, provider: usize, folder: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Vec<CString> {
        let mut folders = Vec::new();
        let mut entries = RawDir::new(folder, buffer);
        while let Some(Ok(file)) = entries.next() {
            let name = file.file_name();
            if file.file_type() == FileType::Directory {
                if provider == CODEX && !name.to_bytes().starts_with(b".") {
                    folders.push(name.to_owned());
                }
                continue;
            }
            let Some(id) = id_in(provider, name.to_bytes()) else { continue };
            let first = self.tables[provider].find(&self.entries, id);
            if first == 0 {
                continue;
            }
            let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW;
            let Ok(stat) = statx(folder, name, flags, StatxFlags::MTIME) else { continue };
            let mut position = first as usize;
            while position != 0 {
                let entry = &mut self.entries[position];
                if provider != GEMINI || confirmed(folder, name, entry.id) {
                    entry.newest = entry.newest.max(stat.stx_mtime.tv_sec);
                }
                position = entry.next as usize;
            }
        }
        folders
    }

    fn without_idle(&self, cutoff: i64) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.entries.iter().map(|entry| entry.raw.len() + 2).sum());
        for (number, model) in self.models.iter().enumerate() {
            text.extend_from_slice(if number == 0 { b"{" } else { b"}, " });
            text.extend_from_slice(model.key);
            text.extend_from_slice(b": {");
            let mut first = true;
            for entry in &self.entries[model.entries.clone()] {
                if entry.newest == NEVER || entry.newest >= cutoff {
                    text.extend_from_slice(if first { b"" } else { b", " });
                    text.extend_from_slice(entry.raw);
                    first = false;
                }
            }
        }
        text.extend_from_slice(b"}}");
        text
    }
}

/// Which provider a model's key (with its quotes) belongs to.
fn provider(key: &[u8]) -> usize {
    match &key[1..7] {
        b"claude" => CLAUDE,
        b"gemini" => GEMINI,
        _ => CODEX,
    }
}

fn id_in(provider: usize, name: &[u8]) -> Option<&[u8]> {
    match provider {
        CLAUDE => name.strip_suffix(b".jsonl").filter(|id| id.len() == 36),
        GEMINI => name.strip_prefix(b"session-")?.strip_suffix(b".json")?.last_chunk::<8>().map(|id| &id[..]),
        _ => name.strip_suffix(b".jsonl")?.last_chunk::<36>().map(|id| &id[..]),
    }
}

/// Whether the file begins with this id: Gemini writes it as the first member.
fn confirmed(folder: &OwnedFd, name: &std::ffi::CStr, id: &[u8]) -> bool {
    let Ok(file) = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else { return false };
    let mut head = [0; 512];
    let Ok(length) = read(&file, &mut head) else { return false };
    let Some(key) = memmem::find(&head[..length], b"\"sessionId\"") else { return false };
    let rest = &head[key + 11..length];
    memchr(b'"', rest).is_some_and(|quote| rest[quote + 1..].starts_with(id))
}

fn folder(parent: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> Option<OwnedFd> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn subfolders(folder: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Vec<CString> {
    let mut names = Vec::new();
    let mut entries = RawDir::new(folder, buffer);
    while let Some(Ok(entry)) = entries.next() {
        if entry.file_type() == FileType::Directory && !entry.file_name().to_bytes().starts_with(b".") {
            names.push(entry.file_name().to_owned());
        }
    }
    names
}

/// Open addressing over entry positions: a tag decides most comparisons without touching the entry.
struct Table {
    slots: Vec<(u32, u32)>,
}

impl Table {
    fn for_entries(count: usize) -> Self {
        Self { slots: if count == 0 { Vec::new() } else { vec![(0, 0); (count * 2).next_power_of_two().max(16)] } }
    }

    fn slot(&self, entries: &[Entry<'_>], id: &[u8]) -> usize {
        let hash = hash(id);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (tag_here, position) = self.slots[slot];
            if position == 0 || tag_here == tag(hash) && entries[position as usize].id.starts_with(id) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn find(&self, entries: &[Entry<'_>], id: &[u8]) -> u32 {
        self.slots[self.slot(entries, id)].1
    }
}

/// The first and last eight bytes, mixed: a version 7 UUID begins with the time, so its beginning alone would not do.
fn hash(id: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    let (first, last) = (word(id.first_chunk()), word(id.last_chunk()));
    let mut hash = last.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(first);
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ (hash >> 32)
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
