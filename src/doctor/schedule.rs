//! Whether it runs by itself, once, and did lately.

use chrono::{DateTime, Utc};

use super::{Facts, Finding};
use crate::exit::ExitStatus;
use crate::policy::duration::{format_age, format_duration};
use crate::policy::shell::quoted;
use crate::policy::timestamp::Timestamp;
use crate::schedule::runs::{Run, StartedBy};
use crate::schedule::{Kind, Last, LastResult, Schedule, State, When};

const INSTALL: &str = "./install.sh";

/// There is one schedule, and it is on.
pub(super) fn schedule(facts: &Facts) -> Finding {
    let mut own = facts.schedules();
    // The one that works is the one to keep.
    own.sort_by_key(|schedule| schedule.state != State::On);
    let gaps = &facts.schedules.not_looked_at;
    if let Some(pid) = facts.daemon {
        return beside_daemon(pid, &own);
    }
    match &own[..] {
        [] if !gaps.is_empty() => gap(facts),
        [] if facts.only_others() => {
            let others: Vec<&str> = facts.schedules.found.iter().map(|schedule| schedule.user.as_str()).collect();
            let message = format!("nothing runs session-sweep for root, but for {}", others.join(", "));
            let remedies: Vec<String> =
                others.iter().map(|other| format!("sudo -u {} session-sweep doctor", quoted(other))).collect();
            Finding::warning(message, remedies.join("; "))
        }
        [] => Finding::wrong(format!("nothing runs session-sweep for {}", facts.login.name), INSTALL),
        [one] if one.kind == Kind::Cron && facts.cron_is_running == Some(false) => Finding::wrong(
            format!("{} has a line for it, and no cron runs on this machine", one.place),
            "sudo systemctl enable --now cron (or crond, or what this machine has)",
        ),
        [one] => match one.remedy() {
            Some(remedy) if one.state == State::Stopped => {
                Finding::wrong(format!("{} is {}", one.place, one.state.in_words()), remedy)
            }
            Some(remedy) => Finding::warning(format!("{} is {}", one.place, one.state.in_words()), remedy),
            None if !gaps.is_empty() => gap(facts),
            None if !facts.schedules.other_pruners.is_empty() => {
                let others = facts.schedules.other_pruners.join(", ");
                let message = format!("beside {}, cleanup_idle_sessions prunes the same map: {others}", one.place);
                Finding::warning(message, "remove its line for cron, or its timer: systemctl disable --now TIMER")
            }
            None => Finding::ok(format!("{}: {}{}", one.kind.name(), one.place, every(one))),
        },
        [first, others @ ..] => {
            let name = |schedule: &&Schedule| match (schedule.kind, &schedule.when) {
                // Two lines may stand in one file.
                (Kind::Cron, When::Cron(expression)) => format!("{} ({expression})", schedule.place),
                _ => schedule.place.clone(),
            };
            let places: Vec<String> = own.iter().map(name).collect();
            let removals: Vec<String> = others.iter().map(|schedule| schedule.removal()).collect();
            let message = format!("it is scheduled {} times: {}", own.len(), places.join(", "));
            Finding::wrong(message, format!("keep {}: {}", name(first), removals.join("; ")))
        }
    }
}

/// What runs where a daemon does: that is enough. A timer beside it works too, one after the other, and does nothing that the
/// daemon has not done before.
fn beside_daemon(pid: u32, own: &[&Schedule]) -> Finding {
    let on: Vec<&&Schedule> = own.iter().filter(|schedule| schedule.state != State::Stopped).collect();
    if on.is_empty() {
        return Finding::ok(format!("the daemon runs: process {pid}"));
    }
    let places: Vec<&str> = on.iter().map(|schedule| schedule.place.as_str()).collect();
    let removals: Vec<String> = on.iter().map(|schedule| schedule.removal()).collect();
    let message = format!("the daemon (process {pid}) runs, and so does {}: one of them is enough", places.join(", "));
    Finding::warning(message, format!("keep the daemon: {}; or the schedule: end the daemon", removals.join("; ")))
}

fn gap(facts: &Facts) -> Finding {
    let gaps = &facts.schedules.not_looked_at;
    let remedy = if facts.login.is_root() { "put right what is named here" } else { "run as root" };
    Finding::unknown(format!("not everything could be looked at: {}", gaps.join("; ")), remedy)
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
    let deadline = |at: usize| facts.deadlines.get(at).copied().flatten();
    let Some(first) = own.first() else {
        return if facts.daemon.is_some() {
            last_tick(facts.runs(), facts.areas.as_deref(), facts.now)
        } else if facts.only_others() {
            Finding::ok("nothing is scheduled for root")
        } else {
            Finding::unknown("nothing is scheduled, so no run is due", INSTALL)
        };
    };
    let runs = own.iter().enumerate();
    let runs = runs.filter_map(|(at, schedule)| Some((at, *schedule, schedule.last_run(facts.runs())?)));
    let Some((at, schedule, last)) = runs.max_by_key(|(_, _, last)| last.at) else {
        return no_run(facts, first, deadline(0));
    };
    let ago = format_age((facts.now - last.at).to_std().unwrap_or_default());
    match deadline(at) {
        Some(deadline) if deadline < facts.now => {
            let message =
                format!("the last run was {ago} ago, and another should have begun by {}", Timestamp(deadline));
            Finding::wrong(message, how_to_see(schedule))
        }
        deadline => {
            let finding = result(facts, schedule, last, &ago);
            // A start of the machine is no time that could have passed.
            if deadline.is_some() || schedule.when == When::Boot || finding.status != super::Status::Ok {
                return finding;
            }
            let message = format!("the last run was {ago} ago, and when the next one is due could not be found out");
            Finding::unknown(message, how_to_see(schedule))
        }
    }
}

/// How the last tick of each area ended that did something or ended otherwise than the one before.
/// Areas that are switched off by now do not count; where nobody knows which are on, all do.
fn last_tick(runs: &[Run], areas: Option<&[&str]>, now: DateTime<Utc>) -> Finding {
    let is_on = |run: &&Run| match (areas, &run.area) {
        (Some(on), Some(area)) => on.contains(&area.as_str()),
        _ => true,
    };
    let ticks = || runs.iter().filter(|run| run.started_by == StartedBy::Daemon).filter(is_on);
    // Of each area its last one counts.
    let is_last = |run: &&Run| ticks().rfind(|other| other.area == run.area).is_some_and(|last| last == *run);
    let last: Vec<&Run> = ticks().filter(is_last).collect();
    let mut bad: Vec<&Run> = last.iter().copied().filter(|run| run.status() != ExitStatus::Done).collect();
    if last.is_empty() {
        return Finding::ok("the daemon runs, and has done nothing yet");
    }
    // The worst one first.
    bad.sort_by(|one, other| match one.status() {
        status if status == other.status() => std::cmp::Ordering::Equal,
        status if status.and(other.status()) == status => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Greater,
    });
    let Some(worst) = bad.first() else { return Finding::ok("the daemon's last ticks went well") };
    let tell = |run: &&Run| {
        let area = run.area.as_deref().unwrap_or("an area");
        let word = if run.status() == ExitStatus::Locked { "put off" } else { run.status().word() };
        let error = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        let ago = format_age((now - run.at).to_std().unwrap_or_default());
        format!("of {area} are {word}{error} (since {ago} ago)")
    };
    let told: Vec<String> = bad.iter().map(tell).collect();
    let message = format!("the daemon's ticks {}", told.join("; "));
    match worst.status() {
        ExitStatus::Failed | ExitStatus::Usage => {
            Finding::wrong(message, "put right what is named here; session-sweep sweep --dry-run shows whether it is")
        }
        ExitStatus::Locked => Finding::warning(message, "see what the process that is named here does"),
        _ => Finding::warning(message, "session-sweep sweep --dry-run shows what is in the way"),
    }
}

/// How the last run ended.
fn result(facts: &Facts, schedule: &Schedule, last: Last, ago: &str) -> Finding {
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

fn no_run(facts: &Facts, schedule: &Schedule, deadline: Option<DateTime<Utc>>) -> Finding {
    if schedule.arguments.iter().any(|argument| argument == "prune") {
        let message = "it starts `prune`, which keeps no log of its runs";
        return Finding::warning(message, "let it start `session-sweep sweep` instead; ./install.sh does");
    }
    match (schedule.next, deadline) {
        (_, Some(deadline)) if deadline < facts.now => {
            let message = format!("it has not run, and should have by {}", Timestamp(deadline));
            Finding::wrong(message, how_to_see(schedule))
        }
        (Some(next), _) => Finding::warning(
            format!("it has not run yet; the first run is due at {}", Timestamp(next)),
            format!("session-sweep doctor after that time; if it says the same: {}", how_to_see(schedule)),
        ),
        (None, _) => Finding::wrong("it has not run, and no run is due", how_to_see(schedule)),
    }
}

/// Where to look for what happened.
fn how_to_see(schedule: &Schedule) -> String {
    let unit = quoted(schedule.place.strip_suffix(".timer").unwrap_or(&schedule.place));
    match schedule.kind {
        Kind::SystemdUser => format!("journalctl --user -u {unit}"),
        Kind::SystemdSystem => format!("journalctl -u {unit}"),
        Kind::Cron => "see that cron runs (systemctl status cron), and what it mailed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    /// Of the daemon's ticks: area, exit code, error.
    fn finding(ticks: &[(&str, u8, Option<&str>)], areas: Option<&[&str]>) -> Finding {
        let at = |second| DateTime::from_timestamp(1_795_176_000 + second, 0).unwrap();
        let run = |(second, (area, exit, error)): (usize, &(&str, u8, Option<&str>))| Run {
            at: at(second as i64),
            started_by: StartedBy::Daemon,
            area: Some((*area).to_owned()),
            took_ms: 12,
            exit: *exit,
            map: None,
            totals: None,
            registry: None,
            processes: None,
            queues: None,
            artifacts: None,
            error: error.map(ToOwned::to_owned),
        };
        let runs: Vec<Run> = ticks.iter().enumerate().map(run).collect();
        last_tick(&runs, areas, at(60))
    }

    #[test]
    fn a_failed_area_is_worse_than_a_partial_one_and_each_that_is_not_well_is_named() {
        let ticks = [
            ("queues", 3, Some("it is locked")),
            ("map", 4, Some("one was refused")),
            ("registry", 1, Some("it burned")),
            ("processes", 0, None),
        ];
        let all = finding(&ticks, None);
        assert_eq!(all.status, Status::Wrong);
        assert_eq!(
            all.message,
            "the daemon's ticks of registry are failed: it burned (since 58s ago); of queues are put off: it is locked \
             (since 1m ago); of map are partial: one was refused (since 59s ago)"
        );
        let on = finding(&ticks, Some(&["map", "processes"]));
        assert_eq!((on.status, on.message.contains("registry")), (Status::Warning, false), "{on:?}");
        assert_eq!(finding(&ticks, Some(&["processes"])).status, Status::Ok);
        assert_eq!(finding(&ticks[..1], None).status, Status::Warning, "put off is not well");
        assert!(finding(&[], None).message.contains("nothing yet"));
    }

    #[test]
    fn of_each_area_its_last_tick_counts() {
        let well = finding(&[("map", 1, Some("it burned")), ("map", 0, None)], None);
        assert_eq!((well.status, well.message.as_str()), (Status::Ok, "the daemon's last ticks went well"));
    }
}
