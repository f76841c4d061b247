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

/// A run, the call that is held up in it, and what is said when that takes long. A single session is looked at by its path
/// from the home, stores are read by whole paths.
type Slow = (&'static [&'static str], String, &'static str);

fn slow_runs(world: &World) -> [Slow; 3] {
    let name = format!("projects/-work/{CLAUDE_ID}.jsonl");
    let path = world.home().join(".claude").join(&name).to_str().unwrap().to_owned();
    [
        (&["prune", "-n"], name.clone(), "looking at sessions"),
        (&["audit"], path, "reading stores"),
        (&["prune", "-n", "-q"], name, ""),
    ]
}

/// The run with its call held up.
fn held_up(world: &World, (arguments, path, _): &Slow, milliseconds: u32) -> Option<Command> {
    let inject = format!("inject=statx,newfstatat:delay_enter={milliseconds}000:when=1");
    strace(&["-P", path, "-e", &inject], &world.command(arguments))
}

fn has_progress(text: &str) -> bool {
    text.contains("looking at sessions") || text.contains("reading stores")
}

#[test]
fn progress_is_shown_on_a_terminal_when_it_takes_over_a_second() {
    let world = scene();
    for run in slow_runs(&world) {
        let shown = |milliseconds| {
            let mut command = on_terminal(&held_up(&world, &run, milliseconds)?)?;
            Some(Ran::of(&mut command).ends_with(0).stdout)
        };
        let Some((slow, quick)) = shown(1500).zip(shown(300)) else { return };
        assert_eq!((slow.contains(run.2), has_progress(&slow)), (true, !run.2.is_empty()), "{run:?}: {slow:?}");
        // It is taken away again: what a quick run shows comes last.
        assert!(!has_progress(&quick) && slow.ends_with(&quick), "{run:?}: {slow:?}\n{quick:?}");
    }
}

#[test]
fn no_progress_is_shown_in_a_pipe() {
    let world = scene();
    for run in slow_runs(&world) {
        let Some(mut slow) = held_up(&world, &run, 1500) else { return };
        let ran = Ran::of(&mut slow).ends_with(0);
        assert_eq!((ran.stderr.as_str(), ran.stdout), ("", world.run(run.0).stdout), "{run:?}");
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
