//! Whether it runs by itself, once, and did lately.

use chrono::TimeDelta;

use super::{Facts, Finding};
use crate::exit::ExitStatus;
use crate::policy::duration::{format_age, format_duration};
use crate::policy::timestamp::Timestamp;
use crate::schedule::{Kind, LastResult, Schedule, State};

const INSTALL: &str = "./install.sh";

/// There is one schedule, and it is on.
pub(super) fn schedule(facts: &Facts) -> Finding {
    let own = facts.schedules();
    let gaps = &facts.schedules.not_looked_at;
    let gap = || Finding::unknown(format!("not everything could be looked at: {}", gaps.join("; ")), "run as root");
    match &own[..] {
        [] if !gaps.is_empty() => gap(),
        [] => {
            let others: Vec<&str> = facts.schedules.found.iter().map(|schedule| schedule.user.as_str()).collect();
            let others = if others.is_empty() { String::new() } else { format!(" (for {}, yes)", others.join(", ")) };
            Finding::wrong(format!("nothing runs session-sweep for {}{others}", facts.login.name), INSTALL)
        }
        [one] => match one.remedy() {
            Some(remedy) if one.state == State::Stopped => {
                Finding::wrong(format!("{} is {}", one.place, one.state.in_words()), remedy)
            }
            Some(remedy) => Finding::warning(format!("{} is {}", one.place, one.state.in_words()), remedy),
            None if !gaps.is_empty() => gap(),
            None => Finding::ok(format!("{}: {}{}", one.kind.name(), one.place, every(one))),
        },
        [first, others @ ..] => {
            let places: Vec<&str> = own.iter().map(|schedule| schedule.place.as_str()).collect();
            let removals: Vec<String> = others.iter().map(|schedule| schedule.removal()).collect();
            let message = format!("it is scheduled {} times: {}", own.len(), places.join(", "));
            Finding::wrong(message, format!("keep {}: {}", first.place, removals.join("; ")))
        }
    }
}

fn every(schedule: &Schedule) -> String {
    let interval = schedule.interval.and_then(|interval| interval.to_std().ok());
    interval.map(|interval| format!(", every {}", format_duration(interval))).unwrap_or_default()
}

/// The newest run that a schedule started is not too long ago, and was no failure.
pub(super) fn last_run(facts: &Facts) -> Finding {
    let own = facts.schedules();
    if let Err(why) = &facts.runs {
        return Finding::unknown(why, "see who owns the state folder");
    }
    let Some(first) = own.first() else {
        return Finding::unknown("nothing is scheduled, so no run is due", INSTALL);
    };
    let runs = own.iter().filter_map(|schedule| Some((*schedule, schedule.last_run(facts.runs())?)));
    let Some((schedule, last)) = runs.max_by_key(|(_, last)| last.at) else { return no_run(first) };
    let age = facts.now - last.at;
    let ago = format_age(age.to_std().unwrap_or_default());
    if let Some(longest) = longest(schedule).filter(|longest| age > *longest) {
        let longest = format_age(longest.to_std().unwrap_or_default());
        let message = format!("the last run was {ago} ago, and at most {longest} may lie between two");
        return Finding::wrong(message, how_to_see(schedule));
    }
    let error = facts.runs().iter().rfind(|run| run.at == last.at).and_then(|run| run.error.clone());
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    match last.result {
        None | Some(LastResult::Running) => Finding::ok(format!("begun {ago} ago")),
        Some(LastResult::Ended) => {
            Finding::wrong(format!("the last run, {ago} ago, was ended from outside"), how_to_see(schedule))
        }
        Some(LastResult::Exit(203)) if schedule.kind != Kind::Cron => {
            Finding::wrong(format!("{ago} ago systemd could not start the program"), INSTALL)
        }
        Some(LastResult::Exit(code)) => {
            let status = ExitStatus::of_code(code);
            let message = format!("the last run, {ago} ago: {}{error}", status.meaning());
            match status {
                ExitStatus::Done => Finding::ok(format!("done, {ago} ago")),
                ExitStatus::Locked | ExitStatus::Partial => {
                    Finding::warning(message, "session-sweep sweep --dry-run shows what is in the way")
                }
                _ => Finding::wrong(message, how_to_see(schedule)),
            }
        }
    }
}

/// How much time may lie between two runs: one may be missed, and the machine may be busy.
fn longest(schedule: &Schedule) -> Option<TimeDelta> {
    Some(schedule.interval? * 2 + schedule.delay)
}

fn no_run(schedule: &Schedule) -> Finding {
    if schedule.arguments.iter().any(|argument| argument == "prune") {
        let message = "it starts `prune`, which keeps no log of its runs";
        return Finding::warning(message, "let it start `session-sweep sweep` instead; ./install.sh does");
    }
    match schedule.next {
        Some(next) => Finding::warning(
            format!("it has not run yet; the first run is due at {}", Timestamp(next)),
            format!("session-sweep doctor after that time; if it says the same: {}", how_to_see(schedule)),
        ),
        None => Finding::wrong("it has not run, and no run is due", how_to_see(schedule)),
    }
}

/// Where to look for what happened.
fn how_to_see(schedule: &Schedule) -> String {
    let unit = schedule.place.replace(".timer", "");
    match schedule.kind {
        Kind::SystemdUser => format!("journalctl --user -u {unit}"),
        Kind::SystemdSystem => format!("journalctl -u {unit}"),
        Kind::Cron => "see that cron runs (systemctl status cron), and what it mailed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missed_run_is_no_alarm_two_are() {
        let schedule = Schedule {
            kind: Kind::SystemdUser,
            state: State::On,
            user: "anna".to_owned(),
            place: "session-sweep.timer".to_owned(),
            next: None,
            interval: Some(TimeDelta::hours(1)),
            delay: TimeDelta::minutes(5),
            last: None,
            program: None,
            arguments: Vec::new(),
            reach: crate::schedule::Reach::default(),
        };
        assert_eq!(longest(&schedule), Some(TimeDelta::minutes(125)));
        assert_eq!(longest(&Schedule { interval: None, ..schedule }), None);
    }
}
