//! Which program a process runs, told by its command line.
//!
//! What a process says of itself can be forged by anybody, so a pattern only nominates: what happens to the process is
//! decided elsewhere, by its ancestors, its owner and the vendor's own records. Still a pattern shall not nominate those
//! who only mention a CLI: an editor on `claude.md`, a `grep` for it, a window that is named after it. Hence:
//!
//! * The program is what was started: the last part of `argv[0]`, or of the executable's path (which nobody can forge).
//! * The short name (`comm`) is a hint that saves reading the rest. Any program may give itself any such name, and some
//!   call their threads `MainThread`; so it counts by itself only where neither arguments nor executable can be read.
//! * A script is the first argument of its interpreter that is no option. What follows it are the script's own arguments,
//!   and `node server.js /srv/gemini` is no Gemini CLI.
//! * Names are bytes. They may hold blanks, newlines and anything else.

/// What Linux adds to the path of an executable that was replaced or removed since its start, as updates do.
const DELETED: &[u8] = b" (deleted)";
/// `comm` holds no more bytes than these.
const COMM_LENGTH: usize = 15;
/// What a script's interpreter may be called after its main thread: node 20 and later.
const MAIN_THREAD: &[u8] = b"MainThread";
/// The word that stands for any number of arguments.
const ANY_ARGUMENTS: &str = "**";

/// Options of interpreters and runners that take the next argument as their value: node, python, npm and uv, docker.
const OPTIONS_WITH_VALUE: [&[u8]; 24] = [
    b"-r",
    b"--require",
    b"--import",
    b"--loader",
    b"--experimental-loader",
    b"-C",
    b"--conditions",
    b"--env-file",
    b"--title",
    b"-W",
    b"-X",
    b"-p",
    b"--package",
    b"--from",
    b"--with",
    b"--python",
    b"--directory",
    b"--project",
    b"-e",
    b"--env",
    b"-v",
    b"--volume",
    b"--name",
    b"--network",
];

/// What a process was started as, as far as it can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandLine<'c> {
    /// Its short name (`/proc/<pid>/comm`), without the newline.
    pub(crate) comm: &'c [u8],
    /// Where its executable is; `None` where that cannot be read.
    pub(crate) exe: Option<&'c [u8]>,
    /// Its arguments, the program's name first; empty where they cannot be read.
    pub(crate) argv: &'c [&'c [u8]],
}

/// A pattern for the command line of a program, as words.
///
/// The first word is the program: a glob (`*` is any text) against the last part of `argv[0]` and of the executable's
/// path, or against the whole of them where the word holds a `/`. Each further word is a glob against one argument, in
/// order. Between two words only options may stand; a word `**` allows any arguments there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramPattern {
    words: Vec<String>,
}

impl ProgramPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A message for the person who wrote it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        match words.as_slice() {
            [] => Err("a pattern begins with a program".to_owned()),
            [program, ..] if program == ANY_ARGUMENTS => {
                Err(format!("{text:?}: `**` stands for arguments, and the first word is the program"))
            }
            [.., last] if last == ANY_ARGUMENTS => {
                Err(format!("{text:?}: any arguments may follow a pattern, so it does not end with `**`"))
            }
            _ => Ok(Self { words }),
        }
    }

    /// The pattern as it was written, with single blanks.
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// Whether it says anything of the program.
    pub(crate) fn names_program(&self) -> bool {
        self.program().bytes().any(|byte| !matches!(byte, b'*' | b'/'))
    }

    /// Whether a process runs this program.
    pub(crate) fn matches(&self, process: &CommandLine<'_>) -> bool {
        let title;
        let argv = match title_words(process.argv) {
            Some(words) => {
                title = words;
                title.as_slice()
            }
            None => process.argv,
        };
        let started_as = argv.first().map(|argument| argument.trim_ascii_end()).filter(|name| !name.is_empty());
        let is_program = match (started_as, process.exe) {
            (None, None) => self.words.len() == 1 && self.is_called(process.comm),
            (started_as, exe) => {
                started_as.is_some_and(|name| self.is_started_as(name))
                    || exe.is_some_and(|exe| self.is_started_as(exe) || self.is_started_as(without_mark(exe)))
            }
        };
        is_program && arguments_match(&self.words[1..], argv.get(1..).unwrap_or_default())
    }

    /// Whether a process of this short name can be one that matches: where it is false, nothing else needs to be read.
    pub(crate) fn may_match_comm(&self, comm: &[u8]) -> bool {
        // A program that writes a title over its arguments is called like the beginning of that.
        let first_word = comm.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let is_called = |word: &[u8]| may_be_cut(word, comm) || may_be_cut(word, first_word);
        // A script's process is called like its interpreter, like the script, or like a thread of the interpreter.
        comm == MAIN_THREAD || self.words.iter().any(|word| is_called(last_part(word.as_bytes())))
    }

    fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    fn is_started_as(&self, path: &[u8]) -> bool {
        let program = self.program().as_bytes();
        glob(program, if program.contains(&b'/') { path } else { last_part(path) })
    }

    /// The only thing that is known is the short name.
    fn is_called(&self, comm: &[u8]) -> bool {
        let program = self.program().as_bytes();
        !program.contains(&b'/')
            && if comm.len() < COMM_LENGTH { glob(program, comm) } else { may_be_cut(program, comm) }
    }
}

/// The words of a title that a program wrote over its arguments: `npm exec @modelcontextprotocol/server-x`, or `claude`
/// and blanks. Such a title is the only argument that is not empty.
fn title_words<'c>(argv: &[&'c [u8]]) -> Option<Vec<&'c [u8]>> {
    let (title, rest) = argv.split_first()?;
    let is_title = rest.iter().all(|argument| argument.is_empty()) && title.iter().any(u8::is_ascii_whitespace);
    let words = title.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    is_title.then(|| words.collect())
}

/// Whether arguments begin with what these words say.
fn arguments_match(words: &[String], mut arguments: &[&[u8]]) -> bool {
    let Some((word, rest)) = words.split_first() else { return true };
    if word == ANY_ARGUMENTS {
        return (0..=arguments.len()).any(|skipped| arguments_match(rest, &arguments[skipped..]));
    }
    loop {
        let Some((argument, following)) = arguments.split_first() else { return false };
        // An option is none of a script's names, though its value may end like one.
        let is_option = argument.starts_with(b"-");
        if (!is_option || word.starts_with('-')) && glob(word.as_bytes(), argument) && arguments_match(rest, following)
        {
            return true;
        }
        if !is_option {
            return false;
        }
        let value = usize::from(OPTIONS_WITH_VALUE.contains(argument)).min(following.len());
        arguments = &following[value..];
    }
}

/// Whether a name, perhaps cut off as `comm` is, can be one that a glob matches. It may be wrong where there is a `*`.
fn may_be_cut(pattern: &[u8], comm: &[u8]) -> bool {
    if comm.len() < COMM_LENGTH {
        return glob(pattern, comm);
    }
    match pattern.iter().position(|byte| *byte == b'*') {
        Some(end) => comm.starts_with(&pattern[..end.min(comm.len())]),
        None => pattern.starts_with(comm),
    }
}

fn without_mark(exe: &[u8]) -> &[u8] {
    exe.strip_suffix(DELETED).unwrap_or(exe)
}

/// What follows the last `/`.
fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether a pattern in which `*` is any text, and everything else itself, matches the whole text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let Some(mut part) = parts.next() else { return text.is_empty() };
    for next in parts {
        // The first place will do: what comes after a `*` may be as long as it likes.
        let Some(place) = memchr::memmem::find(text, part) else { return false };
        text = &text[place + part.len()..];
        part = next;
    }
    text.ends_with(part)
}
