//! One walk over a home: how much there is of each kind, and where.
//!
//! Each folder is listed once and each file looked at once; no file is opened, no link followed.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::FileType;

use super::kinds::Grain;
use super::rules::{Fit, Meaning, Part, Rules};
pub(crate) use super::sums::{Sums, Tally};
use crate::filesystem::walk::{self, Lister, Seen};
use crate::policy::session_id::SessionId;

/// Deeper folders are not looked into: no CLI makes such.
const DEEPEST: usize = 100;

/// Something that can go: a file, a folder with all that is in it, or a part of a session.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Index in [`Rules::kinds`].
    pub(crate) kind: usize,
    /// Relative to the home.
    pub(crate) path: PathBuf,
    pub(crate) is_folder: bool,
    pub(crate) sums: Sums,
    /// Of a session: what it is to that.
    pub(crate) part: Option<Part>,
    /// The session's id as its name tells it, and whether that is only its beginning.
    pub(crate) id: Option<(String, bool)>,
    /// Not all that is in it could be looked at.
    pub(crate) is_incomplete: bool,
}

/// What is asked about one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question {
    /// Whether its files are to be listed one by one. Sessions always are.
    pub(crate) listed: bool,
    /// What was last changed before this is overdue, nanoseconds since 1970.
    pub(crate) overdue_before: Option<i64>,
    /// Files that were changed since then, and before this, are not listed: they are young, and may be many.
    pub(crate) young_until: Option<i64>,
}

impl Question {
    fn lists(&self, modified: i64) -> bool {
        let is_young = match (self.overdue_before, self.young_until) {
            (Some(before), Some(until)) => (before..=until).contains(&modified),
            _ => false,
        };
        self.listed && !is_young
    }
}

/// What a walk found.
#[derive(Debug)]
pub(crate) struct Survey {
    /// One per kind of the rules.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) pieces: Vec<Piece>,
    /// What no kind is about.
    pub(crate) other: Sums,
    /// What could not be looked at.
    problems: Vec<String>,
    /// Links to folders that stand where places lie, or on the way to them: what they lead to was not looked at.
    links: Vec<Link>,
    /// Whether there is such a home.
    pub(crate) present: bool,
}

/// A link to a folder.
#[derive(Debug)]
struct Link {
    path: PathBuf,
    /// The kinds that have places behind it.
    kinds: Vec<usize>,
}

/// Where the walk is.
#[derive(Clone)]
enum Here {
    /// On the way to the places of these rules.
    Along(Vec<usize>),
    /// In a place whose files are of this kind, each by itself.
    Files(usize),
    /// In a folder that goes as a whole.
    Piece(usize),
    /// Where no rule leads.
    Other,
}

struct Walk<'r> {
    rules: &'r Rules,
    questions: &'r [Question],
    home: &'r Path,
    /// Relative to the home.
    path: Vec<u8>,
    depth: usize,
    lister: Lister,
    /// Names of the folders at hand, one after the other, each with its end.
    names: Vec<u8>,
    entries: Vec<(usize, FileType)>,
    /// Files with several names that were counted.
    counted: FxHashSet<(u64, u64)>,
    found: Survey,
}

impl Survey {
    /// Walks through `home`. `questions` has one row for each kind of `rules`.
    pub(crate) fn of(home: &Path, rules: &Rules, questions: &[Question]) -> Self {
        let found = Self {
            tallies: vec![Tally::default(); rules.kinds.len()],
            pieces: Vec::new(),
            other: Sums::default(),
            problems: Vec::new(),
            links: Vec::new(),
            present: true,
        };
        let mut walk = Walk {
            rules,
            questions,
            home,
            path: Vec::new(),
            depth: 0,
            lister: Lister::new(),
            names: Vec::new(),
            entries: Vec::new(),
            counted: FxHashSet::default(),
            found,
        };
        match walk::open_folder_path(home) {
            Ok(folder) => walk.folder(folder.as_fd(), &Here::Along((0..rules.rules.len()).collect())),
            Err(error) if walk::means_absent(error) => walk.found.present = false,
            Err(error) => walk.found.problems.push(format!("{}: {error}", home.display())),
        }
        walk.disown();
        walk.count_pieces();
        walk.found
    }

    /// What could not be looked at, as far as kinds that are `asked` about are concerned; a folder is of all of them.
    pub(crate) fn unseen(&self, asked: impl Fn(usize) -> bool) -> Vec<String> {
        let links = self.links.iter().filter(|link| link.kinds.iter().any(|kind| asked(*kind)));
        let links =
            links.map(|link| format!("{}: this is a link, and what it leads to is not looked at", link.path.display()));
        self.problems.iter().cloned().chain(links).collect()
    }
}

impl Walk<'_> {
    /// Looks at everything in an open folder.
    fn folder(&mut self, folder: BorrowedFd<'_>, here: &Here) {
        let (first_name, first_entry) = (self.names.len(), self.entries.len());
        let mut lister = std::mem::replace(&mut self.lister, Lister::new());
        let listed = lister.list(folder, |name, kind| {
            self.names.extend_from_slice(name.to_bytes_with_nul());
            self.entries.push((self.names.len(), kind));
        });
        self.lister = lister;
        if let Err(error) = listed {
            self.problem(here, &error);
        }
        let mut start = first_name;
        for entry in first_entry..self.entries.len() {
            let (end, kind) = self.entries[entry];
            // The buffer grows in the folders below.
            let name = CString::from_vec_with_nul(self.names[start..end].to_vec()).unwrap_or_default();
            start = end;
            self.entry(folder, &name, kind, here);
        }
        self.names.truncate(first_name);
        self.entries.truncate(first_entry);
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, kind: FileType, here: &Here) {
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        self.depth += 1;
        let is_folder = match kind {
            FileType::Directory => Some(true),
            FileType::RegularFile | FileType::Unknown => None,
            _ => Some(false),
        };
        if is_folder == Some(true) {
            self.below(folder, name, here);
        } else if is_folder == Some(false) {
            self.other(folder, name, kind, here);
        } else {
            match walk::look(folder, name) {
                Ok(seen) if seen.kind == FileType::RegularFile => self.file(name.to_bytes(), &seen, here),
                Ok(seen) if seen.kind == FileType::Directory => self.below(folder, name, here),
                Ok(seen) => self.other(folder, name, seen.kind, here),
                Err(error) if walk::means_absent(error) => {}
                Err(error) => self.problem(here, &error),
            }
        }
        self.depth -= 1;
        self.path.truncate(length);
    }

    /// Links, sockets and pipes are nobody's artifacts: neither counted nor followed, and never removed. What holds them does not
    /// go as a whole, and a link to a folder in which there would be artifacts is told.
    fn other(&mut self, folder: BorrowedFd<'_>, name: &CStr, kind: FileType, here: &Here) {
        self.doubt(here);
        let Here::Along(along) = here else { return };
        let depth = self.depth - 1;
        let mut kinds: Vec<usize> = along
            .iter()
            .map(|rule| &self.rules.rules[*rule])
            .filter(|rule| rule.leads_through(depth, name.to_bytes()))
            .map(|rule| rule.kind)
            .collect();
        kinds.dedup();
        if kind == FileType::Symlink && !kinds.is_empty() && walk::may_be_folder(folder, name) {
            self.found.links.push(Link { path: self.home.join(OsStr::from_bytes(&self.path)), kinds });
        }
    }

    /// Looks into a folder.
    fn below(&mut self, folder: BorrowedFd<'_>, name: &CStr, here: &Here) {
        let inside = self.inside(name.to_bytes(), here);
        self.date(folder, name, here, &inside);
        if self.depth > DEEPEST {
            return self.problem(&inside, &"too many folders in one another");
        }
        let opened: rustix::io::Result<Option<OwnedFd>> = walk::open_real_folder(folder, name);
        match opened {
            Ok(Some(folder)) => self.folder(folder.as_fd(), &inside),
            // Gone, or something else by now.
            Ok(None) => {}
            Err(error) => self.problem(&inside, &error),
        }
    }

    /// A folder that goes as a whole is at least as young as itself: there may be no file in it.
    fn date(&mut self, folder: BorrowedFd<'_>, name: &CStr, here: &Here, inside: &Here) {
        let (Here::Along(_), Here::Piece(piece)) = (here, inside) else { return };
        let piece = &mut self.found.pieces[*piece];
        if piece.part.is_none() {
            match walk::look(folder, name) {
                Ok(seen) => piece.sums.newest = Some(seen.stamp.modified),
                Err(_) => piece.is_incomplete = true,
            }
        }
    }

    /// What is inside of the folder called `name`.
    fn inside(&mut self, name: &[u8], here: &Here) -> Here {
        let Here::Along(along) = here else { return here.clone() };
        let depth = self.depth - 1;
        let Some((rule, id)) = self.rule_for(name, along) else {
            let leads =
                |rule: &&usize| self.rules.rules[**rule].folders.get(depth).is_some_and(|folder| folder.matches(name));
            let on: Vec<usize> = along.iter().filter(leads).copied().collect();
            return if on.is_empty() { Here::Other } else { Here::Along(on) };
        };
        match self.rules.rules[rule].meaning {
            Meaning::Files => Here::Files(self.rules.rules[rule].kind),
            Meaning::Whole => self.piece(rule, None, true),
            Meaning::Session(_) => self.piece(rule, id, true),
        }
    }

    /// The rule that the entry called `name` is meant by, with the id that the name holds.
    fn rule_for(&self, name: &[u8], along: &[usize]) -> Option<(usize, Option<(String, bool)>)> {
        let depth = self.depth - 1;
        along.iter().filter(|rule| self.rules.rules[**rule].folders.len() == depth).find_map(|rule| {
            let last = &self.rules.rules[*rule].last;
            match last.fits(name) {
                Fit::Not => None,
                Fit::Plain => Some((*rule, None)),
                Fit::Id(id) => Some((*rule, Some((id.to_owned(), last.is_shortened())))),
            }
        })
    }

    fn piece(&mut self, rule: usize, id: Option<(String, bool)>, is_folder: bool) -> Here {
        let rule = &self.rules.rules[rule];
        let part = if let Meaning::Session(part) = rule.meaning { Some(part) } else { None };
        self.found.pieces.push(Piece {
            kind: rule.kind,
            path: PathBuf::from(OsStr::from_bytes(&self.path)),
            is_folder,
            sums: Sums::default(),
            part,
            id,
            is_incomplete: false,
        });
        Here::Piece(self.found.pieces.len() - 1)
    }

    fn file(&mut self, name: &[u8], seen: &Seen, here: &Here) {
        let is_new = seen.links < 2 || self.counted.insert(seen.identity());
        let place = match here {
            Here::Along(along) => match self.rule_for(name, along) {
                Some((rule, _)) if self.rules.rules[rule].meaning == Meaning::Files => {
                    Here::Files(self.rules.rules[rule].kind)
                }
                Some((rule, id)) => self.piece(rule, id, false),
                None => Here::Other,
            },
            inside => inside.clone(),
        };
        match place {
            Here::Piece(piece) => self.found.pieces[piece].sums.add(seen, is_new),
            Here::Files(kind) => self.file_of(kind, seen, is_new),
            Here::Other | Here::Along(_) => self.found.other.add(seen, is_new),
        }
    }

    /// Counts a file that goes by itself.
    fn file_of(&mut self, kind: usize, seen: &Seen, is_new: bool) {
        let (tally, question) = (&mut self.found.tallies[kind], self.questions[kind]);
        tally.sums.add(seen, is_new);
        tally.items += 1;
        if question.overdue_before.is_some_and(|before| seen.stamp.modified < before) {
            tally.overdue += 1;
            tally.overdue_disk += if is_new { seen.disk } else { 0 };
        }
        if question.lists(seen.stamp.modified) {
            let mut sums = Sums::default();
            sums.add(seen, is_new);
            self.found.pieces.push(Piece {
                kind,
                path: PathBuf::from(OsStr::from_bytes(&self.path)),
                is_folder: false,
                sums,
                part: None,
                id: None,
                is_incomplete: false,
            });
        }
    }

    /// Takes back what looked like a session's and is nobody's: a folder beside the transcripts that no session is called like
    /// (`memory`). What is named by a UUID is some session's, though its transcript is gone.
    fn disown(&mut self) {
        let Survey { pieces, other, .. } = &mut self.found;
        let ids = |shortened: bool, pieces: &[Piece]| -> FxHashSet<String> {
            let transcripts = pieces.iter().filter(|piece| piece.part == Some(Part::Transcript));
            transcripts
                .filter_map(|piece| piece.id.clone())
                .filter(|(_, is)| *is == shortened)
                .map(|(id, _)| id)
                .collect()
        };
        let (whole, beginnings) = (ids(false, pieces), ids(true, pieces));
        let is_owned = |id: &str| {
            let is_uuid = SessionId::new(id).is_ok_and(SessionId::is_uuid);
            is_uuid || whole.contains(id) || beginnings.iter().any(|beginning| id.starts_with(beginning.as_str()))
        };
        pieces.retain(|piece| {
            let is_owned = match (&piece.part, &piece.id) {
                (Some(Part::Companion), Some((id, _))) => is_owned(id),
                _ => true,
            };
            if !is_owned {
                other.join(&piece.sums);
            }
            is_owned
        });
    }

    /// Adds what goes as a whole to the tallies, when all of it is known. Copies of one session are one.
    fn count_pieces(&mut self) {
        let mut sessions: FxHashMap<(usize, &str), Sums> = FxHashMap::default();
        for piece in &self.found.pieces {
            if self.rules.kinds[piece.kind].grain == Grain::File {
                continue;
            }
            self.found.tallies[piece.kind].sums.join(&piece.sums);
            match (piece.part, &piece.id) {
                (Some(Part::Companion | Part::Loose), _) => {}
                (_, Some((id, _))) => sessions.entry((piece.kind, id)).or_default().join(&piece.sums),
                (_, None) => {
                    self.found.tallies[piece.kind].count(&piece.sums, self.questions[piece.kind].overdue_before);
                }
            }
        }
        for ((kind, _), sums) in sessions {
            self.found.tallies[kind].count(&sums, self.questions[kind].overdue_before);
        }
    }

    /// What holds something that is not understood does not go as a whole.
    fn doubt(&mut self, here: &Here) {
        if let Here::Piece(piece) = here {
            self.found.pieces[*piece].is_incomplete = true;
        }
    }

    fn problem(&mut self, here: &Here, why: &dyn std::fmt::Display) {
        self.doubt(here);
        let path = self.home.join(OsStr::from_bytes(&self.path));
        self.found.problems.push(format!("{}: {why}", path.display()));
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
