//! What a person at a terminal sees, and what only they see.

use std::process::Command;

use serde_json::{Value, json};

use crate::left_behind::nested;
use crate::machine::{on_terminal, strace};
use crate::world::{CLAUDE_ID, Ran, World};

/// A Claude chat that has been idle for long, under the bridge of somebody whose terminal can show colours.
fn scene() -> World {
    let mut world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    world.variable("TERM", "xterm");
    world
}

/// Runs that take over a second: the call that is held up, and what is said meanwhile. Sessions are looked at by their
/// names in an open folder, stores are read by whole paths.
fn slow_runs(world: &World) -> Option<Vec<(&'static [&'static str], Command, &'static str)>> {
    let name = format!("{CLAUDE_ID}.jsonl");
    let path = world.home().join(".claude/projects/-work").join(&name);
    let held_up = |path: &str, arguments| {
        strace(&["-P", path, "-e", "inject=statx,newfstatat:delay_enter=1500000:when=1"], &world.command(arguments))
    };
    let (prune, quiet, audit): (&[&str], &[&str], &[&str]) = (&["prune", "-n"], &["prune", "-n", "-q"], &["audit"]);
    Some(vec![
        (prune, held_up(&name, prune)?, "looking at sessions"),
        (audit, held_up(path.to_str().unwrap(), audit)?, "reading stores"),
        (quiet, held_up(&name, quiet)?, ""),
    ])
}

fn has_progress(text: &str) -> bool {
    text.contains("looking at sessions") || text.contains("reading stores")
}

#[test]
fn progress_is_shown_on_a_terminal_when_it_takes_over_a_second() {
    let world = scene();
    for (arguments, slow, message) in slow_runs(&world).unwrap_or_default() {
        let Some(mut slow) = on_terminal(&slow) else { return };
        let slow = Ran::of(&mut slow).ends_with(0).stdout;
        assert_eq!((slow.contains(message), has_progress(&slow)), (true, !message.is_empty()), "{slow:?}");
        // It is taken away again: what a quick run shows comes last.
        let quick = Ran::of(&mut on_terminal(&world.command(arguments)).unwrap()).ends_with(0).stdout;
        assert!(!has_progress(&quick) && slow.ends_with(&quick), "{arguments:?}: {slow:?}\n{quick:?}");
    }
}

#[test]
fn no_progress_is_shown_in_a_pipe() {
    let world = scene();
    for (arguments, mut slow, _) in slow_runs(&world).unwrap_or_default() {
        let ran = Ran::of(&mut slow).ends_with(0);
        assert_eq!((ran.stderr.as_str(), ran.stdout), ("", world.run(arguments).stdout), "{arguments:?}");
    }
}

#[test]
fn colours_are_for_terminals_and_for_who_asks_for_them() {
    let coloured = |variables: &[(&str, &str)], terminal: bool, arguments: &[&str]| {
        let mut world = scene();
        for (name, value) in variables {
            world.variable(name, value);
        }
        let mut command = world.command(&[&["prune", "-n"], arguments].concat());
        if terminal {
            command = on_terminal(&command)?;
        }
        Some(Ran::of(&mut command).ends_with(0).stdout.contains("\u{1b}["))
    };
    let (force, none) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    for (variables, in_pipe, on_terminal) in
        [(&[][..], false, true), (&[none], false, false), (&[force], true, true), (&[force, none], false, false)]
    {
        assert_eq!(coloured(variables, false, &[]), Some(in_pipe), "{variables:?}");
        assert!(coloured(variables, true, &[]).is_none_or(|found| found == on_terminal), "{variables:?}");
        // What is said on the command line comes first.
        assert_eq!(coloured(variables, false, &["--color", "always"]), Some(true), "{variables:?}");
        assert_eq!(coloured(variables, false, &["--color", "never"]), Some(false), "{variables:?}");
    }
}

#[test]
fn names_cannot_play_tricks_on_a_terminal() {
    let world = scene();
    let evil = "\u{1b}[31mred\u{7}\r\n0 checked\u{202e}\u{2066}\u{200b}\u{9b}2J\u{7f}";
    world.map(&json!({"claude-cli": {evil: CLAUDE_ID}, evil: {"b": "../../x"}}).to_string());
    let tricks = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let resolve = ["resolve", "--model", "claude-cli", "--chat", evil];
    for arguments in [
        &["prune", "-n", "-v", "--color", "never"][..],
        &["audit", "-v", "--color", "never"],
        &["prune", "-n", "--json"],
        &["audit", "--json"],
        &resolve,
    ] {
        let Some(mut command) = on_terminal(&world.command(arguments)) else { return };
        // The terminal itself makes `\r\n` of each line's end.
        let text = Ran::of(&mut command).stdout.replace("\r\n", "\n");
        assert!(text.contains("claude"), "{arguments:?}: {text:?}");
        assert_eq!(text.chars().find(|c| tricks(*c)), None, "{arguments:?}: {text:?}");
        if text.starts_with('{') {
            let document: Value = serde_json::from_str(&text).unwrap();
            assert!(text.contains("\\u202e") && text.lines().count() > 1, "{text}");
            assert!(arguments != resolve || document["chat"] == evil, "{document}");
        }
    }
}
