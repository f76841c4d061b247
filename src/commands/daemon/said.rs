//! What the daemon says of its ticks, in one line each.

use log::Level;

use crate::daemon::notify::cut;
use crate::daemon::tally::Noted;
use crate::daemon::{Ending, Tick};
use crate::output::bytes::Bytes;
use crate::output::escape::Escaped;

/// How many problems of one tick are told; the rest is counted.
const TOLD: usize = 3;

/// The line for a tick, and how much it matters: what merely repeats itself is for whoever looks closely.
pub(super) fn line(area: &str, tick: &Tick, noted: Noted) -> (Level, String) {
    let level = match tick.ending {
        Ending::Failed | Ending::Panicked => Level::Error,
        Ending::Done | Ending::Partial | Ending::PutOff if noted.is_new || tick.has_done() => Level::Info,
        Ending::Done | Ending::Partial | Ending::PutOff => Level::Debug,
    };
    (level, format!("{area}: {}", summary(tick, usize::MAX)))
}

/// The warning for an area that gets nowhere.
pub(super) fn stuck(area: &str, ticks: u32, tick: &Tick) -> String {
    let what = match tick.ending {
        Ending::PutOff => "were put off",
        _ => "were only refused something and did nothing",
    };
    format!("{area}: {ticks} ticks in a row {what}: {}", problems(tick, usize::MAX))
}

/// What a tick came to, as short as a status line has to be; the log has all of it.
pub(super) fn in_short(tick: &Tick) -> String {
    const LONGEST_PROBLEM: usize = 200;
    summary(tick, LONGEST_PROBLEM)
}

/// What a tick came to, in words: `7 pruned; 12 mappings`. Of each problem so many bytes are told.
fn summary(tick: &Tick, longest: usize) -> String {
    let problems = problems(tick, longest);
    match tick.ending {
        Ending::Done => done(tick, longest),
        Ending::Partial => format!("{}; not all: {problems}", done(tick, longest)),
        Ending::Failed if tick.has_done() => format!("{}; then it failed: {problems}", done(tick, longest)),
        Ending::Failed => format!("failed: {problems}"),
        Ending::PutOff => format!("put off: {problems}; it tries again by itself"),
        Ending::Panicked => problems,
    }
}

fn done(tick: &Tick, longest: usize) -> String {
    let words = |list: &[(&str, usize)]| -> Vec<String> {
        let list = list.iter().filter(|(_, number)| *number > 0);
        let word = |what: &str, number: usize| match what.strip_suffix("_bytes") {
            Some(what) => format!("{} {what}", Bytes(number as u64)),
            None => format!("{number} {}", what.replace('_', " ")),
        };
        list.map(|(what, number)| word(what, *number)).collect()
    };
    let done = words(&tick.done);
    let done = if done.is_empty() { "nothing done".to_owned() } else { done.join(", ") };
    let mut seen = words(tick.seen.get(..1).unwrap_or_default());
    seen.extend(told(&tick.notes, longest));
    if seen.is_empty() { done } else { format!("{done}; {}", seen.join("; ")) }
}

fn problems(tick: &Tick, longest: usize) -> String {
    told(&tick.problems, longest).join("; ")
}

/// The first few of a list, safe to show, and how many more there are.
fn told(list: &[String], longest: usize) -> Vec<String> {
    let tell = |text: &String| cut(&Escaped(text).to_string(), longest).into_owned();
    let more = list.len().saturating_sub(TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    list.iter().take(TOLD).map(tell).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Noted = Noted { is_new: true, stuck: None };
    const OLD: Noted = Noted { is_new: false, stuck: None };

    fn tick(ending: Ending, pruned: usize, problems: &[&str]) -> Tick {
        let problems = problems.iter().map(ToString::to_string).collect();
        Tick {
            ending,
            seen: vec![("mappings", 12), ("idle", 7)],
            done: vec![("pruned", pruned), ("x_y", 0)],
            problems,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_tick_is_one_line_that_matters_as_much_as_it_did() {
        let said = |tick: &Tick, noted| {
            let (level, line) = line("map", tick, noted);
            format!("{level} {line}")
        };
        let noted =
            Tick { notes: vec!["/srv/a is left to its host, which runs".to_owned()], ..tick(Ending::Done, 0, &[]) };
        let lines = [
            said(&tick(Ending::Done, 7, &[]), OLD),
            said(&tick(Ending::Done, 0, &[]), NEW),
            said(&tick(Ending::Done, 0, &[]), OLD),
            said(&noted, NEW),
            said(&tick(Ending::Partial, 0, &["a\u{1b}[31m", "b\nc", "d", "e", "f"]), NEW),
            said(&tick(Ending::Partial, 0, &["a"]), OLD),
            said(&tick(Ending::Partial, 2, &["a"]), OLD),
            said(&tick(Ending::Failed, 0, &["it burned"]), OLD),
            said(&tick(Ending::Failed, 2, &["it burned"]), OLD),
            said(&tick(Ending::PutOff, 0, &["sweep.lock is locked by pid 7"]), NEW),
            said(&tick(Ending::PutOff, 0, &["sweep.lock is locked by pid 8"]), OLD),
            stuck("map", 10, &tick(Ending::Partial, 0, &["a"])),
            stuck("map", 100, &tick(Ending::PutOff, 0, &["sweep.lock is locked by pid 8"])),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        INFO map: 7 pruned; 12 mappings
        INFO map: nothing done; 12 mappings
        DEBUG map: nothing done; 12 mappings
        INFO map: nothing done; 12 mappings; /srv/a is left to its host, which runs
        INFO map: nothing done; 12 mappings; not all: a\u{1b}[31m; b\u{a}c; d; and 2 more
        DEBUG map: nothing done; 12 mappings; not all: a
        INFO map: 2 pruned; 12 mappings; not all: a
        ERROR map: failed: it burned
        ERROR map: 2 pruned; 12 mappings; then it failed: it burned
        INFO map: put off: sweep.lock is locked by pid 7; it tries again by itself
        DEBUG map: put off: sweep.lock is locked by pid 8; it tries again by itself
        map: 10 ticks in a row were only refused something and did nothing: a
        map: 100 ticks in a row were put off: sweep.lock is locked by pid 8
        "#);
    }

    #[test]
    fn long_problems_are_cut_for_the_status_and_whole_in_the_log() {
        let long = "x".repeat(1_000);
        let tick = tick(Ending::Partial, 0, &[&long, "short", &long]);
        assert!(line("map", &tick, NEW).1.contains(&format!("not all: {long}; short; {long}")));
        let cut = format!("{}…", "x".repeat(200));
        assert!(in_short(&tick).ends_with(&format!("not all: {cut}; short; {cut}")), "{}", in_short(&tick));
    }
}
