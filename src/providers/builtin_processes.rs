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
const SERVERS: [&str; 22] = [
    "mcp-server-*",
    "*-mcp-server",
    "npm exec *mcp*",
    "npm exec @modelcontextprotocol/*",
    "npx *mcp*",
    "npx @modelcontextprotocol/*",
    "sh mcp-server-*",
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
    rules.marks = texts(&["CLAUDECODE", "CLAUDE_PID", "CLAUDE_CODE_ENTRYPOINT"]);
    rules
}

/// Codex. The npm package starts a native program from a script. Its sandbox is the same program under another name.
///
/// `CODEX_THREAD_ID` since 0.93, `CODEX_SESSION_ID` and `CODEX_CI` seen in 0.169; the sandbox's variables are named in
/// OpenAI's `AGENTS.md` for Codex itself.
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
    rules.helpers.extend(programs(&["* */cursor-agent/versions/*/index.js worker-server"]));
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
