//! How the processes of the CLIs we know are called, and what they leave in the environment of what they start.
//!
//! The program of a script is its interpreter; which script it is stands in the arguments. Where a CLI shares its name with
//! other programs (an editor called `amp`, a database tool called `goose`), its place or its subcommand tells.

use super::builtin::texts;
use super::row::ProcessRules;
use crate::policy::process_pattern::ProgramPattern;

/// What runs the CLIs that are scripts.
const INTERPRETERS: [&str; 3] = ["node", "nodejs", "bun"];

/// Shells in which CLIs run commands.
const SHELLS: [&str; 5] = ["bash", "zsh", "sh", "dash", "fish"];

/// Servers of the Model Context Protocol, which every CLI starts, under the names and through the runners that their
/// documentation has. `npm exec` writes its command over its arguments.
const SERVERS: [&str; 21] = [
    "mcp-server-*",
    "*-mcp-server",
    "npm exec *mcp*",
    "npm exec @modelcontextprotocol/*",
    "npx *mcp*",
    "npx @modelcontextprotocol/*",
    "node *mcp*",
    "node */@modelcontextprotocol/*",
    "bun *mcp*",
    "bunx *mcp*",
    "deno run *mcp*",
    "uvx *mcp*",
    "uv tool uvx *mcp*",
    "uv tool run *mcp*",
    "uv run *mcp*",
    "python -m *mcp*",
    "python3* -m *mcp*",
    "python *mcp*",
    "python3* *mcp*",
    "docker run ** mcp/*",
    "docker run ** *mcp-server*",
];

/// Claude Code. Native builds are called `claude`, or like their version where that file was started itself; node builds
/// (to 2.0) write `claude` and blanks over their arguments. Its shells read a snapshot of the user's, and write the folder
/// in which they end to a file; what they leave behind has that command line too (anthropics/claude-code issues 76814,
/// 5545). The sandbox's names are those of `@anthropic-ai/sandbox-runtime`.
///
/// `CLAUDECODE` since 0.2.47 (issue 531), `CLAUDE_CODE_SESSION_ID` since 2.1.132; seen with `CLAUDE_PID` in 2.1.328.
/// `CLAUDE_CODE_ENTRYPOINT` is no mark: programs that start Claude Code set it for Claude Code itself.
pub(super) fn claude() -> ProcessRules {
    let mut rules = rules(&["claude", "*/claude/versions/*.*.*"], &["*/bin/claude", "*/@anthropic-ai/claude-code/*"]);
    rules.helpers.extend(by(&SHELLS, &["*/shell-snapshots/snapshot-*", "*/claude-*-cwd*"]));
    rules.helpers.extend(programs(&[
        "claude mcp serve",
        "npm exec @anthropic-ai/claude-code*",
        "bwrap ** */shell-snapshots/snapshot-*",
        "socat *claude-http-*.sock*",
        "socat *claude-socks-*.sock*",
    ]));
    rules.session_variables = texts(&["CLAUDE_CODE_SESSION_ID"]);
    rules.marks = texts(&["CLAUDECODE", "CLAUDE_PID"]);
    rules
}

/// Codex. The npm package starts a native program from a script. Its sandbox is the same program under another name.
///
/// `CODEX_THREAD_ID` since 0.93, `CODEX_SESSION_ID` and `CODEX_CI` seen in 0.169; the sandbox's variables are named in
/// the instructions for agents in its repository.
pub(super) fn codex() -> ProcessRules {
    let mut rules = rules(&["codex", "codex-*-unknown-linux-*"], &["*/bin/codex", "*/@openai/codex/*"]);
    rules.helpers.extend(by(&SHELLS, &["*/shell_snapshots/*"]));
    rules.helpers.extend(programs(&[
        "codex mcp-server",
        "codex-linux-sandbox",
        "codex-execve-wrapper",
        "npm exec @openai/codex*",
        "bwrap ** */shell_snapshots/*",
    ]));
    rules.session_variables = texts(&["CODEX_THREAD_ID", "CODEX_SESSION_ID"]);
    rules.marks = texts(&["CODEX_CI", "CODEX_SANDBOX", "CODEX_SANDBOX_NETWORK_DISABLED"]);
    rules
}

/// Gemini CLI: a script that starts itself again with more memory. It tells no session.
pub(super) fn gemini() -> ProcessRules {
    let mut rules = rules(&["gemini"], &["*/bin/gemini", "*/@google/gemini-cli/*"]);
    rules.helpers.extend(programs(&["npm exec @google/gemini-cli*"]));
    rules.marks = texts(&["GEMINI_CLI"]);
    rules
}

/// Qwen Code. Its variables are reported (QwenLM/qwen-code issue 4645 and the command line's own source).
pub(super) fn qwen() -> ProcessRules {
    let mut rules = rules(&["qwen"], &["*/bin/qwen", "*/@qwen-code/qwen-code/*"]);
    rules.helpers.extend(programs(&["npm exec @qwen-code/qwen-code*"]));
    rules.session_variables = texts(&["QWEN_CODE_SESSION_ID"]);
    rules.marks = texts(&["QWEN_CODE"]);
    rules
}

/// opencode: a native program, which the npm package starts from a script; seen as `opencode` and `opencode.exe` in 1.18.
/// Its variables are in its source of 1.17 (anomalyco/opencode issue 32689), and do not reach all that it starts.
pub(super) fn opencode() -> ProcessRules {
    let mut rules = rules(&["opencode", "opencode.exe", ".opencode"], &["*/bin/opencode", "*/opencode-ai/*"]);
    rules.helpers.extend(programs(&["npm exec opencode-ai*"]));
    rules.marks = texts(&["OPENCODE", "OPENCODE_PID", "OPENCODE_TERMINAL"]);
    rules
}

/// GitHub Copilot CLI, seen as `MainThread` in 1.0. A tool for containers at Amazon had its name. Its variables are in
/// GitHub's reference of its environment.
pub(super) fn copilot() -> ProcessRules {
    let mut rules = rules(&["copilot"], &["*/bin/copilot", "*/@github/copilot*"]);
    rules.helpers.extend(programs(&["npm exec @github/copilot*"]));
    rules.session_variables = texts(&["COPILOT_AGENT_SESSION_ID"]);
    rules.marks = texts(&["COPILOT_CLI"]);
    rules
}

/// Cursor agent, as reported: a script with a node of its own, started as `cursor-agent` or as `agent`
/// (cursor/cursor issue 3588, which shows its servers left behind; herdrdev/herdr issue 2616).
pub(super) fn cursor() -> ProcessRules {
    let mut rules = rules(
        &["cursor-agent", "*/cursor-agent/versions/*/node", "agent */cursor-agent/versions/*"],
        &["*/cursor-agent/versions/*"],
    );
    rules.helpers.extend(by(
        &["node", "agent", "cursor-agent", "*/cursor-agent/versions/*/node"],
        &["*/cursor-agent/versions/*/index.js worker-server"],
    ));
    rules.session_variables = texts(&["CURSOR_CONVERSATION_ID"]);
    rules.marks = texts(&["CURSOR_AGENT"]);
    rules
}

/// Amp, as reported: a program in `~/.amp/bin`, before that a script.
pub(super) fn amp() -> ProcessRules {
    let mut rules = rules(&["*/.amp/bin/amp*"], &["*/bin/amp", "*/@sourcegraph/amp/*", "*/@ampcode/*"]);
    rules.helpers.extend(programs(&["npm exec @sourcegraph/amp*", "npm exec @ampcode/cli*"]));
    rules.session_variables = texts(&["AMP_CURRENT_THREAD_ID", "AGENT_THREAD_ID"]);
    rules
}

/// goose, as reported; its variables are in its source.
pub(super) fn goose() -> ProcessRules {
    let mut rules = rules(&["goose session", "goose run", "goose acp", "goose web", "goosed"], &[]);
    rules.helpers.extend(programs(&["goose mcp"]));
    rules.session_variables = texts(&["AGENT_SESSION_ID"]);
    rules.marks = texts(&["GOOSE_TERMINAL"]);
    rules
}

/// A CLI by its own programs and by its scripts, with the servers that all of them start.
fn rules(native: &[&str], scripts: &[&str]) -> ProcessRules {
    let mut cli = programs(native);
    cli.extend(by(&INTERPRETERS, scripts));
    ProcessRules { cli, helpers: programs(&SERVERS), ..ProcessRules::default() }
}

/// Each of these programs with each of these arguments.
fn by(programs: &[&str], arguments: &[&str]) -> Vec<ProgramPattern> {
    let each = |argument: &&str| programs.iter().map(|name| program(&format!("{name} {argument}"))).collect::<Vec<_>>();
    arguments.iter().flat_map(each).collect()
}

fn programs(patterns: &[&str]) -> Vec<ProgramPattern> {
    patterns.iter().map(|text| program(text)).collect()
}

#[expect(clippy::expect_used, reason = "constant text; the test below reads every row")]
fn program(text: &str) -> ProgramPattern {
    ProgramPattern::parse(text).expect("a built-in pattern is valid")
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::super::row::Part;
    use crate::policy::process_pattern::{CommandLine, ProgramPattern};

    /// Which CLIs a process (`comm | exe | argument | argument`, `-` for an unknown executable) can belong to.
    fn parts(process: &str) -> Vec<(String, Part)> {
        let fields: Vec<&[u8]> = process.split(" | ").map(str::as_bytes).collect();
        let [comm, exe, argv @ ..] = fields.as_slice() else { panic!("{process}") };
        let line = CommandLine { comm, exe: (*exe != b"-").then_some(*exe), argv };
        let part = |provider: super::super::row::Provider| {
            let patterns = || provider.processes.patterns();
            let (part, _) = patterns().find(|(_, pattern)| pattern.matches(&line))?;
            let mut of_part = patterns().filter(|(of, _)| *of == part);
            let may_match = of_part.any(|(_, pattern)| pattern.may_match_comm(comm));
            assert!(may_match, "{}: the hint hides {process:?}", provider.name);
            Some((provider.name, part))
        };
        builtin::rows().into_iter().filter_map(part).collect()
    }

    #[test]
    fn every_cli_is_known_however_it_was_installed() {
        for (name, process) in [
            ("claude", "claude | /h/.local/share/claude/versions/2.1.197 | claude | --resume | x"),
            (
                "claude",
                "2.1.328 | /h/.local/share/claude/versions/2.1.328 | /h/.local/share/claude/versions/2.1.328 | x",
            ),
            ("claude", "claude | /h/.local/share/claude/versions/2.1.328 (deleted) | cc"),
            ("claude", "claude | /usr/bin/node | claude           "),
            ("claude", "claude | /usr/bin/node | claude |  |  |  | "),
            ("claude", "node | /usr/bin/node | node | /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js | -p"),
            ("claude", "node | /usr/bin/node | node | --no-warnings | /usr/local/bin/claude"),
            (
                "codex",
                "codex | /lib/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/codex/codex | codex | exec",
            ),
            ("codex", "MainThread | /usr/bin/node | node | /usr/local/bin/codex | exec | resume | x"),
            ("codex", "node | /usr/bin/node | node | /usr/lib/node_modules/@openai/codex/bin/codex.js"),
            ("codex", "codex | /h/.codex/packages/app-server-daemon/releases/0.169.0/codex | codex | app-server"),
            (
                "gemini",
                "MainThread | /usr/bin/node | node | --max-old-space-size=7000 | /usr/local/bin/gemini | -p | x",
            ),
            (
                "gemini",
                "node | /usr/bin/node | /usr/bin/node | /usr/lib/node_modules/@google/gemini-cli/bundle/gemini.js",
            ),
            ("gemini", "node | /usr/bin/node | node | /home/mcp-user/.npm-global/bin/gemini"),
            ("gemini", "bun | /h/.bun/bin/bun | bun | /h/.bun/bin/gemini"),
            ("qwen", "node | /usr/bin/node | node | /usr/local/bin/qwen | -p | x"),
            ("qwen", "node | /usr/bin/node | node | /usr/lib/node_modules/@qwen-code/qwen-code/cli.js"),
            ("opencode", "opencode | /h/.opencode/bin/opencode | opencode | run"),
            ("opencode", "opencode.exe | /usr/lib/node_modules/opencode-ai/bin/opencode.exe | opencode.exe"),
            ("opencode", "node | /usr/bin/node | node | /usr/local/bin/opencode"),
            ("copilot", "MainThread | /usr/bin/node | node | /usr/lib/node_modules/@github/copilot/index.js"),
            ("copilot", "MainThread | /usr/lib/node_modules/@github/copilot-linux-x64/copilot | copilot"),
            ("copilot", "node | /usr/bin/node | node | /usr/local/bin/copilot | -p"),
            (
                "cursor",
                "node | /h/.local/share/cursor-agent/versions/1/node | /h/.local/bin/cursor-agent | /x/index.js",
            ),
            ("cursor", "agent | /h/n | agent | --use-system-ca | /h/.local/share/cursor-agent/versions/1/index.js"),
            ("amp", "amp | /h/.amp/bin/amp | amp | --execute"),
            ("amp", "node | /usr/bin/node | node | /usr/lib/node_modules/@sourcegraph/amp/dist/main.js"),
            ("goose", "goose | /h/.local/bin/goose | goose | session"),
            ("goose", "goose | /h/.local/bin/goose | goose | run | --resume"),
        ] {
            assert_eq!(parts(process), [(name.to_owned(), Part::Cli)], "{process}");
        }
    }

    #[test]
    fn the_innocent_are_no_cli() {
        for process in [
            "vim | /usr/bin/vim | vim | claude.md",
            "nvim | /usr/bin/nvim | nvim | /h/.claude/settings.json",
            "grep | /usr/bin/grep | grep | -r | claude | .",
            "less | /usr/bin/less | less | /usr/bin/claude",
            "man | /usr/bin/man | man | codex",
            "tail | /usr/bin/tail | tail | -f | /h/.codex/log/codex-tui.log",
            "tmux: client | /usr/bin/tmux | tmux | new | -s | claude",
            "tmux: server | /usr/bin/tmux | tmux | new-session | -d | -s | claude | claude",
            "screen | /usr/bin/screen | SCREEN | -S | gemini | gemini",
            "node | /usr/bin/node | node | claude.js",
            "node | /usr/bin/node | node | /srv/gemini",
            "node | /usr/bin/node | node | server.js | /usr/local/bin/gemini",
            "npm | /usr/bin/node | npm install @anthropic-ai/claude-code",
            "node | /usr/bin/node | node | /usr/bin/npm | install | -g | @openai/codex",
            "bash | /usr/bin/bash | bash | /h/bin/claude",
            "bash | /usr/bin/bash | bash | -c | claude -p hello",
            "sh | /usr/bin/dash | sh | -c | gemini",
            "claude | /usr/bin/sleep | sleep | 600",
            "MainThread | /usr/bin/node | node | server.js",
            "amp | /usr/bin/amp | amp | claude.md",
            "goose | /usr/bin/goose | goose | postgres | user=x | up",
            "cursor | /opt/cursor/cursor | /opt/cursor/cursor | --type=renderer",
            "code | /usr/share/code/code | code | /h/claude",
            "agent | /h/.grok/bin/agent | agent",
            "ssh | /usr/bin/ssh | ssh | host | claude",
            "sudo | /usr/bin/sudo | sudo | claude",
            "claude-desktop | /usr/lib/claude-desktop/claude-desktop | claude-desktop",
        ] {
            assert_eq!(parts(process), [], "{process}");
        }
    }

    #[test]
    fn what_a_cli_starts_is_a_helper_even_if_it_is_the_same_program() {
        let claude = |process| parts(process).into_iter().find(|(name, _)| name == "claude").map(|(_, part)| part);
        let codex = |process| parts(process).into_iter().find(|(name, _)| name == "codex").map(|(_, part)| part);
        for process in [
            "bash | /bin/bash | /bin/bash | -c | -l | source /h/.claude/shell-snapshots/snapshot-bash-1-x.sh && eval 'x'",
            "zsh | /bin/zsh | /bin/zsh | -c | source /srv/c/shell-snapshots/snapshot-zsh-1.sh 2>/dev/null || true",
            "bash | /bin/bash | bash | -c | eval 'x' && pwd -P >| /tmp/claude-1a2b-cwd",
            "claude | /usr/bin/claude | claude | mcp | serve",
            "npm exec @model | /usr/bin/node | npm exec @modelcontextprotocol/server-github |  | ",
            "node | /usr/bin/node | node | /h/.npm/_npx/1/node_modules/.bin/mcp-server-filesystem | /h",
            "python3 | /usr/bin/python3.11 | python3 | -m | mcp_server_git",
            "uv | /usr/bin/uv | uv | tool | uvx | mcp-server-git",
            "docker | /usr/bin/docker | docker | run | -i | --rm | -e | TOKEN | mcp/github",
            "socat | /usr/bin/socat | socat | UNIX-LISTEN:/tmp/claude-http-1.sock,fork | TCP:localhost:1",
        ] {
            assert_eq!(claude(process), Some(Part::Helper), "{process}");
        }
        for process in [
            "bash | /bin/bash | bash | -lc | . /h/.codex/shell_snapshots/01a1.1.sh && make",
            "codex | /usr/bin/codex | codex | mcp-server",
            "codex-linux-san | /usr/bin/codex | codex-linux-sandbox | --",
        ] {
            assert_eq!(codex(process), Some(Part::Helper), "{process}");
        }
        let servers = "node | /usr/bin/node | node | /h/.local/share/cursor-agent/versions/1/index.js | worker-server";
        assert_eq!(parts(servers), [("cursor".to_owned(), Part::Helper)]);
        for process in ["bash | /bin/bash | bash", "zsh | /bin/zsh | -zsh", "rg | /usr/bin/rg | rg | mcp"] {
            assert_eq!(parts(process), [], "{process}");
        }
    }

    #[test]
    fn every_row_knows_its_processes() {
        for provider in builtin::rows() {
            let rules = &provider.processes;
            assert!(!rules.cli.is_empty() && !rules.helpers.is_empty(), "{}", provider.name);
            assert!(rules.cli.iter().all(ProgramPattern::names_program), "{}", provider.name);
            assert!(rules.variables().next().is_some(), "{}", provider.name);
            let may_match = |comm: &str| rules.patterns().any(|(_, pattern)| pattern.may_match_comm(comm.as_bytes()));
            assert!(may_match(&provider.resume[0]), "{}: the program that resumes it", provider.name);
            // Most processes of a machine need not be looked at.
            for comm in ["bash", "systemd", "sshd", "kworker/0:1", "vim", "(sd-pam)", "Xorg", "postgres"] {
                let shells = comm == "bash" && matches!(provider.name.as_str(), "claude" | "codex");
                assert_eq!(may_match(comm), shells, "{}: {comm}", provider.name);
            }
        }
    }

    #[test]
    fn no_variable_is_two_clis() {
        let rows = builtin::rows();
        let variables: Vec<&str> = rows.iter().flat_map(|provider| provider.processes.variables()).collect();
        for variable in &variables {
            assert_eq!(variables.iter().filter(|other| *other == variable).count(), 1, "{variable}");
        }
    }
}
