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
/// How many arguments are looked at: a process may have a million of them.
const MOST_ARGUMENTS: usize = 1000;
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
/// path, or against the whole of them where the word holds a `/`. Each further word is such a glob against one argument,
/// in order. Between two words only options may stand; a word `**` allows any arguments there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProgramPattern {
    words: Vec<String>,
}

impl std::fmt::Display for ProgramPattern {
    /// As it was written, with single blanks.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.words.join(" "))
    }
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
            words if words.iter().filter(|word| *word == ANY_ARGUMENTS).count() > 1 => {
                Err(format!("{text:?}: `**` may stand only once"))
            }
            _ => Ok(Self { words }),
        }
    }

    /// Whether it says anything of the program.
    pub(crate) fn names_program(&self) -> bool {
        self.program().bytes().any(|byte| !matches!(byte, b'*' | b'/'))
    }

    /// Whether the program alone decides, whatever its arguments.
    pub(crate) fn is_program_alone(&self) -> bool {
        self.words.len() == 1
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
        let started_as = argv.first().filter(|name| !name.is_empty());
        let is_program = match (started_as, process.exe) {
            (None, None) => self.is_called(process.comm),
            (started_as, exe) => {
                started_as.is_some_and(|name| self.is_started_as(name))
                    || exe.is_some_and(|exe| {
                        let marked = exe.strip_suffix(DELETED);
                        self.is_started_as(exe) || marked.is_some_and(|exe| self.is_started_as(exe))
                    })
            }
        };
        let arguments = argv.get(1..).unwrap_or_default();
        is_program && arguments_match(&self.words[1..], &arguments[..arguments.len().min(MOST_ARGUMENTS)])
    }

    /// Whether a process of this short name can be one that matches: where it is false, nothing else needs to be read.
    pub(crate) fn may_match_comm(&self, comm: &[u8]) -> bool {
        // A program that writes a title over its arguments is called like the beginning of that.
        let first_word = comm.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let is_called = |name: &[u8]| may_be_cut(name, comm) || may_be_cut(name, first_word);
        let mut names = self.words.iter().map(|word| last_part(word.as_bytes()));
        // A script's process is called like its interpreter, like the script, or like a thread of the interpreter. Where
        // the script may have any name, it is the interpreter's that counts.
        comm == MAIN_THREAD
            || names.next().is_some_and(is_called)
            || names.any(|name| name.iter().any(|byte| *byte != b'*') && is_called(name))
    }

    fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    fn is_started_as(&self, path: &[u8]) -> bool {
        is_word(self.program(), path)
    }

    /// The short name is all that is known.
    fn is_called(&self, comm: &[u8]) -> bool {
        let program = self.program().as_bytes();
        let is_cut = || comm.len() == COMM_LENGTH && before_star(program).starts_with(comm);
        !program.contains(&b'/') && (glob(program, comm) || is_cut())
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
        if (!is_option || word.starts_with('-')) && is_word(word, argument) && arguments_match(rest, following) {
            return true;
        }
        if !is_option {
            return false;
        }
        let value = usize::from(OPTIONS_WITH_VALUE.contains(argument)).min(following.len());
        arguments = &following[value..];
    }
}

/// Whether a word matches a path or an argument: the whole of it where the word holds a `/`, else its last part.
fn is_word(word: &str, text: &[u8]) -> bool {
    glob(word.as_bytes(), if word.contains('/') { text } else { last_part(text) })
}

/// Whether a name, perhaps cut off as `comm` is, can be one that a glob matches. It may be wrong where there is a `*`.
fn may_be_cut(pattern: &[u8], comm: &[u8]) -> bool {
    if comm.len() < COMM_LENGTH {
        return glob(pattern, comm);
    }
    let known = before_star(pattern);
    known.starts_with(comm) || known.len() < pattern.len() && comm.starts_with(known)
}

/// What a name that matches begins with.
fn before_star(pattern: &[u8]) -> &[u8] {
    pattern.split(|byte| *byte == b'*').next().unwrap_or_default()
}

/// What follows the last `/`.
fn last_part(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A process as text: `comm | exe | argument | argument`; `-` is an executable that cannot be read.
    fn matches(pattern: &str, process: &str) -> bool {
        let fields: Vec<&[u8]> = process.split(" | ").map(str::as_bytes).collect();
        let [comm, exe, argv @ ..] = fields.as_slice() else { panic!("{process}") };
        let exe = (*exe != b"-").then_some(*exe);
        let process = CommandLine { comm, exe, argv };
        ProgramPattern::parse(pattern).unwrap().matches(&process)
    }

    #[track_caller]
    fn check(cases: &[(&str, &str, bool)]) {
        for (pattern, process, expected) in cases {
            assert_eq!(matches(pattern, process), *expected, "{pattern:?} on {process:?}");
            let comm = process.split(" | ").next().unwrap().as_bytes();
            let may_match = ProgramPattern::parse(pattern).unwrap().may_match_comm(comm);
            assert!(may_match || !expected, "{pattern:?}: the hint hides {process:?}");
        }
    }

    #[test]
    fn a_program_is_known_by_what_was_started() {
        check(&[
            ("claude", "claude | /usr/bin/claude | claude", true),
            ("claude", "claude | /opt/versions/2.1.328 | /home/u/.local/bin/claude | --resume | x", true),
            ("claude", "claude | /usr/bin/claude (deleted) | other", true),
            ("claude", "claude | /usr/bin/claude | ", true),
            ("*/claude/versions/*.*.*", "2.1.328 | /h/claude/versions/2.1.328 | /h/claude/versions/2.1.328", true),
            ("*/claude/versions/*.*.*", "2.1.328 | /h/claude/versions/2.1.328 (deleted) | x", true),
            ("*/claude/versions/*.*.*", "claude | /h/claude | /h/claude", false),
            ("codex-*-linux-*", "codex-x86_64-un | - | ./codex-x86_64-unknown-linux-musl | exec", true),
            ("claude", "claude-desktop | /opt/claude-desktop | /opt/claude-desktop", false),
            ("claude", "my-claude | /usr/bin/my-claude | my-claude", false),
        ]);
    }

    #[test]
    fn who_only_mentions_a_program_does_not_run_it() {
        check(&[
            ("claude", "vim | /usr/bin/vim.basic | vim | claude.md", false),
            ("claude", "vim | /usr/bin/vim.basic | vim | claude", false),
            ("claude", "grep | /usr/bin/grep | grep | -r | claude | .", false),
            ("claude", "less | /usr/bin/less | less | /usr/bin/claude", false),
            ("claude", "man | /usr/bin/man | man | claude", false),
            ("claude", "tmux: client | /usr/bin/tmux | tmux | new | -s | claude", false),
            ("claude", "tmux: server | /usr/bin/tmux | tmux new -s claude", false),
            ("claude", "bash | /usr/bin/bash | bash | /usr/local/bin/claude", false),
            ("claude", "bash | /usr/bin/bash | bash | -c | claude -p hello", false),
            ("claude", "nginx | /usr/sbin/nginx | nginx: master process /srv/claude", false),
            ("claude", "postgres | /usr/bin/postgres | postgres: u claude [local] idle", false),
            ("node */bin/claude", "node | /usr/bin/node | node | claude.js", false),
            ("node */bin/claude", "node | /usr/bin/node | node | /srv/robin/claude", false),
        ]);
    }

    #[test]
    fn a_short_name_counts_only_where_nothing_else_can_be_read() {
        check(&[
            ("claude", "claude | /usr/bin/sleep | sleep | 600", false),
            ("claude", "claude | /usr/bin/sleep", false),
            ("claude", "claude | - | sleep | 600", false),
            ("claude", "claude | -", true),
            ("claude", "claude | - | ", true),
            ("claude", "node | -", false),
            ("codex-linux-sandbox", "codex-linux-san | -", true),
            ("codex-linux-sandbox", "codex-linux-sa | -", false),
            ("codex-linux-sandbox", "codex-linux-sax | -", false),
            ("*/claude/versions/*.*.*", "2.1.328 | -", false),
            ("*/tool", "a/tool | -", false),
            ("*-mcp-server", "kworker/u8:0-eve | -", false),
            ("*-mcp-server", "kworker/u8:0-ev | -", false),
            ("*-mcp-server", "the-mcp-server | -", true),
            ("codex-x86_64-unknown-*", "codex-x86_64-un | -", true),
            ("codex-*", "codex-x86_64-un | -", true),
            ("node */bin/gemini", "node | -", false),
        ]);
    }

    #[test]
    fn a_script_is_the_first_argument_that_is_no_option() {
        check(&[
            ("node */bin/gemini", "MainThread | /usr/bin/node | node | /usr/local/bin/gemini | -p | x", true),
            ("node */bin/gemini", "node | /usr/bin/node | node | --max-old-space-size=1 | /usr/bin/gemini | -p", true),
            ("node */bin/gemini", "gemini | /usr/bin/node | /usr/bin/node | /usr/bin/gemini", true),
            ("node */bin/gemini", "node | /usr/bin/node | node | -r | ./hook.js | /usr/bin/gemini", true),
            ("node */bin/gemini", "node | /usr/bin/node | node | --inspect | -- | /usr/bin/gemini", true),
            ("node */bin/gemini", "node | /usr/bin/node | node | server.js | /usr/bin/gemini", false),
            ("node */bin/gemini", "node | /usr/bin/node | node | server.js | --dir=/usr/bin/gemini", false),
            ("node */bin/gemini", "node | /usr/bin/node | node | --dir=/usr/bin/gemini", false),
            ("node */bin/gemini", "node | /usr/bin/node | node | -r", false),
            ("node */bin/gemini", "node | /usr/bin/node | node", false),
            ("node */bin/gemini", "npm | /usr/bin/node | npm | exec | /usr/bin/gemini", false),
            ("bun */bin/gemini", "bun | /root/.bun/bin/bun | bun | /root/.bun/bin/gemini", true),
        ]);
    }

    #[test]
    fn words_are_compared_in_order_and_only_stars_are_special() {
        check(&[
            ("python3* -m *mcp*", "python3 | /usr/bin/python3.11 | python3 | -u | -m | mcp_server_x", true),
            ("python3* -m *mcp*", "python3 | /usr/bin/python3.11 | python3 | -m | http.server | mcp", false),
            ("uv tool uvx mcp-server-git", "uv | /usr/bin/uv | uv | tool | uvx | mcp-server-git", true),
            ("uv tool uvx mcp-server-git", "uv | /usr/bin/uv | uv | tool | mcp-server-git", false),
            ("docker run ** mcp/*", "docker | /usr/bin/docker | docker | run | -i | -x | 1 | mcp/github", true),
            ("docker run mcp/*", "docker | /usr/bin/docker | docker | run | -x | 1 | mcp/github", false),
            ("docker run ** mcp/*", "docker | /usr/bin/docker | docker | ps | mcp/github", false),
            ("bash */snapshot-*", "bash | /bin/bash | bash | -c | -l | source /h/a b/snapshot-1.sh\n&& eval 'x'", true),
            ("a [b]? c", "a | - | a | [b]? | c", true),
            ("a [b]? c", "a | - | a | bx | c", false),
            ("a ab*ba c", "a | - | a | aba | c", false),
            ("a *a*b*", "a | - | a | xxaxxb", true),
            ("a *b*a", "a | - | a | aab", false),
            ("* x", "b | - | anything | x", true),
            ("node *mcp*", "node | - | node | /h/mcp/bin/gemini", false),
            ("node *mcp*", "node | - | node | /h/bin/mcp-x.js", true),
        ]);
    }

    #[test]
    fn a_title_over_the_arguments_is_read_as_words() {
        check(&[
            ("claude", "claude | /usr/bin/node | claude      ", true),
            ("claude", "claude | /usr/bin/node | claude |  |  | ", true),
            ("npm exec @model/server-*", "npm exec @model | /usr/bin/node | npm exec @model/server-x |  | ", true),
            ("npm exec @model/server-*", "npm exec @model | /usr/bin/node | npm exec @other/server-x", false),
            // A path with a blank is still the executable's.
            ("tool", "tool | /home/u/my things/tool | /home/u/my things/tool", true),
            ("tool", "tool | /home/u/my things/tool | /home/u/my things/tool | x", true),
        ]);
    }

    #[test]
    fn a_process_with_very_many_arguments_is_not_read_to_its_end() {
        let options = vec![&b"-v"[..]; 1_000_000];
        let with = |count: usize| [&[b"docker", &b"run"[..]], &options[..count], &[b"mcp/x"]].concat();
        let matches = |argv: &[&[u8]]| {
            let process = CommandLine { comm: b"docker", exe: None, argv };
            ProgramPattern::parse("docker run ** mcp/*").unwrap().matches(&process)
        };
        assert!(matches(&with(900)));
        assert!(!matches(&with(options.len())));
    }

    #[test]
    fn names_are_bytes() {
        let line =
            CommandLine { comm: b"\xff\n", exe: Some(b"/\xff/cl\xffude"), argv: &[b"\xfe\n/claude", b"\xff\n x"] };
        assert!(ProgramPattern::parse("claude *x").unwrap().matches(&line));
        assert!(!ProgramPattern::parse("claude x").unwrap().matches(&line));
        let empty = CommandLine { comm: b"", exe: None, argv: &[] };
        assert!(!ProgramPattern::parse("claude").unwrap().matches(&empty));
    }

    #[test]
    fn the_short_name_spares_reading_the_rest() {
        let may_match =
            |pattern: &str, comm: &str| ProgramPattern::parse(pattern).unwrap().may_match_comm(comm.as_bytes());
        for comm in ["bash", "vim", "sshd", "kworker/0:1", "claud", "claude2"] {
            assert!(!may_match("claude", comm), "{comm}");
            assert!(!may_match("node */bin/gemini", comm), "{comm}");
            assert!(!may_match("*/claude/versions/*.*.*", comm), "{comm}");
        }
        for comm in ["node", "gemini", "MainThread"] {
            assert!(may_match("node */bin/gemini", comm), "{comm}");
        }
    }

    #[test]
    fn a_pattern_needs_a_program_and_an_end() {
        for (text, reason) in [
            ("", "begins with a program"),
            ("  ", "begins"),
            ("** x", "first word"),
            ("x **", "end"),
            ("x ** a ** b", "once"),
        ] {
            let message = ProgramPattern::parse(text).unwrap_err();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
        let pattern = ProgramPattern::parse("  node\t */x ").unwrap();
        assert_eq!(pattern.to_string(), "node */x");
        assert!(pattern.names_program());
        assert!(!["*", "*/*", "* x"].iter().any(|text| ProgramPattern::parse(text).unwrap().names_program()));
    }
}
