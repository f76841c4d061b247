//! `session-sweep demo`: the main job on a small world, with the same code.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::Parser as _;

use super::UsageError;
use super::cli::Cli;
use crate::config::Environment;
use crate::context::Given;
use crate::exit::ExitStatus;
use crate::filesystem::create;
use crate::filesystem::proc::Proc;
use crate::output::write_all;

const HOUR: u64 = 3600;

/// A session of the demo: chat, session id, hours since it was used (`None`: no transcript).
struct Session(&'static str, &'static str, Option<u64>);

const CLAUDE: [Session; 5] = [
    Session("holiday-plans", "0856b851-3f5a-4c6e-9d0e-2b7f7d1b8a10", Some(0)),
    Session("tax-letter", "a33529f7-91c2-4d0b-8a44-5e6f70819203", Some(5)),
    Session("garden-bot", "b1c8d3f9-6a7b-4c8d-9e0f-1a2b3c4d5e6f", Some(30)),
    Session("long-refactoring", "c2d9e4fa-7b8c-4d9e-8f1a-2b3c4d5e6f70", Some(9)),
    Session("deleted-by-hand", "d3eaf50b-8c9d-4eaf-9a2b-3c4d5e6f7081", None),
];
const CODEX: [Session; 3] = [
    Session("fix-the-build", "01a1f848-9752-7c50-b5ba-bc312216b249", Some(1)),
    Session("port-to-rust", "01a1e311-b2fe-783b-9c92-fb743f05b546", Some(80)),
    Session("log-parser", "01a05921-24dd-7ab7-a1ef-f2deedeb56a7", Some(700)),
];
const GEMINI: [Session; 4] = [
    Session("recipe-ideas", "fa141908-b259-41f1-8a87-bba0410f1c12", Some(1)),
    Session("spanish-lesson", "10aa6637-785f-44ce-817e-7cb2de058ee4", Some(3)),
    Session("name-a-cat", "bb07424f-1c87-4157-ae08-e8849acb9a34", Some(50)),
    Session("quiz-night", "e2ca6b79-0d1e-4f2a-8b3c-4d5e6f708192", Some(200)),
];

pub(super) fn run(given: &Given) -> Result<ExitStatus> {
    if given.json {
        let message = "demo tells a story and has no JSON; give --json to audit, prune, record, restore or config instead \
            (resolve answers in JSON anyway)";
        return Err(UsageError(message.to_owned()).into());
    }
    let world = tempfile::Builder::new().prefix("session-sweep-demo-").tempdir()?;
    build(world.path())?;
    let home = world.path().join("home");
    let maps = world.path().join("bridge");
    let environment = Environment::from_iter([("HOME", home.as_os_str()), ("CLAUDE_SESSION_DIR", maps.as_os_str())]);
    let say = |text: &str| if given.quiet { Ok(()) } else { write_all(format!("\n{text}\n").as_bytes()) };
    say("A chat front end talks to three AI coding CLIs through a bridge. The bridge's\n\
         session map remembers which chat belongs to which CLI session, and only\n\
         grows. Here is such a world, in a temporary folder: three CLIs, a dozen\n\
         chats, one of them in use right now.")?;
    let step = |arguments: &[&str]| -> Result<()> {
        if given.quiet && arguments.first() == Some(&"resolve") {
            // It has no other use than its answer, and so gives that in any case.
            return Ok(());
        }
        say(&format!("$ session-sweep {}", arguments.join(" ")))?;
        let color = ["--color", given.color.unwrap_or("auto")];
        let mut cli = Cli::try_parse_from(std::iter::once(&"session-sweep").chain(arguments).chain(&color))?;
        cli.quiet = given.quiet;
        cli.config = Some("/dev/null".into());
        super::dispatch(cli, environment.clone())?;
        Ok(())
    };
    step(&["audit"])?;
    say("Mappings that were not used for two hours go; the transcripts stay where\n\
         they are.")?;
    step(&["prune"])?;
    say("A user comes back to a pruned chat. The bridge asks what to do, and continues\n\
         the old conversation:")?;
    step(&["resolve", "--model", "codex-cli", "--chat", "port-to-rust"])?;
    say("Gemini CLI 0.52 to 0.61 delete a session after it was resumed, unless their\n\
         own clean-up is off. It is not here, so the safe advice is to send the\n\
         history to a new session:")?;
    step(&["resolve", "--model", "gemini-cli", "--chat", "name-a-cat"])?;
    say("And whatever was pruned can be put back:")?;
    step(&["restore", "--since", "1h"])?;
    say("That was a temporary world; nothing of yours was touched. To look at your own:\n\n  \
         session-sweep audit")?;
    Ok(ExitStatus::Done)
}

/// Writes stores and map below `world`.
fn build(world: &Path) -> Result<()> {
    let home = world.join("home");
    let work = world.join("work");
    fs_err::create_dir_all(&work)?;
    let cwd = work.to_string_lossy();
    for Session(_, id, age) in &CLAUDE {
        let text = format!("{{\"type\":\"user\",\"cwd\":\"{cwd}\",\"sessionId\":\"{id}\"}}\n");
        write(&home.join(format!(".claude/projects/-home-you-work/{id}.jsonl")), &text, *age)?;
    }
    for Session(_, id, age) in &CODEX {
        let text = format!("{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"cwd\":\"{cwd}\"}}}}\n");
        let day = crate::providers::SessionId::new(id)?.uuid_v7_day().unwrap_or_default();
        let date = chrono::NaiveDate::from_epoch_days(day as i32).unwrap_or_default();
        let folder = home.join(".codex/sessions").join(date.format("%Y/%m/%d").to_string());
        write(&folder.join(format!("rollout-{}T09-27-49-{id}.jsonl", date.format("%Y-%m-%d"))), &text, *age)?;
    }
    let project = home.join(".gemini/tmp/work");
    for Session(_, id, age) in &GEMINI {
        let text =
            format!("{{\"sessionId\":\"{id}\",\"kind\":\"main\"}}\n{{\"type\":\"user\",\"content\":\"hello\"}}\n");
        write(&project.join(format!("chats/session-2026-11-20T09-28-{}.jsonl", &id[..8])), &text, *age)?;
    }
    write(&project.join(".project_root"), &cwd, Some(0))?;
    // This very process plays the CLI that has a session open.
    let (pid, in_use) = (std::process::id(), CLAUDE[3].1);
    let start = Proc::default().start_ticks(pid).ok().flatten().unwrap_or_default();
    let record = format!("{{\"pid\":{pid},\"sessionId\":\"{in_use}\",\"procStart\":\"{start}\"}}");
    write(&home.join(format!(".claude/sessions/{pid}.json")), &record, Some(0))?;
    let level = |sessions: &[Session]| -> serde_json::Map<String, serde_json::Value> {
        sessions.iter().map(|Session(chat, id, _)| ((*chat).to_owned(), (*id).into())).collect()
    };
    let map = serde_json::json!({
        "claude-cli": level(&CLAUDE), "codex-cli": level(&CODEX), "gemini-cli": level(&GEMINI)
    });
    write(&world.join("bridge/session_map.json"), &map.to_string(), Some(0))
}

/// Writes a file that was last changed `hours` ago; none at all for `None`.
fn write(path: &Path, text: &str, hours: Option<u64>) -> Result<()> {
    let Some(hours) = hours else { return Ok(()) };
    fs_err::create_dir_all(path.parent().context("a file has a folder")?)?;
    create(path, &[text.as_bytes()], 0o600)?;
    let file = fs_err::OpenOptions::new().write(true).open(path)?;
    let now = fs_err::metadata(path)?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    file.into_file().set_modified(now - Duration::from_secs(hours * HOUR + 60))?;
    Ok(())
}
