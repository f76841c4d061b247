//! Timers of systemd: the user's own and the machine's.

use chrono::{DateTime, TimeDelta, Utc};

use super::calendar::When;
use super::command::Command;
use super::properties::Properties;
use super::{Kind, Last, LastResult, ORIGINAL, Reach, Schedule, Schedules, State, Surroundings, unit_files};
use crate::programs::Answer;

/// What a timer starts says whether it is ours, not its name; those that are enabled are loaded, and listed.
const TIMERS: &str = "*.timer";
/// Where systemd looks for a program that is named without a folder.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TIMER_PROPERTIES: &str = "Id,ActiveState,ActiveEnterTimestamp,UnitFileState,NextElapseUSecRealtime,NextElapseUSecMonotonic,\
                                LastTriggerUSec,RandomizedDelayUSec,TimersCalendar,Unit";
const SERVICE_PROPERTIES: &str = "Id,LoadState,ActiveState,Result,ExecMainStatus,ExecMainStartTimestamp,ExecStart,User,\
                                  ReadWritePaths,BindPaths,ProtectSystem,ProtectHome,PrivateTmp,PrivateNetwork,\
                                  RestrictAddressFamilies,IPAddressDeny,IPAddressAllow";

/// Adds the timers of both.
pub(super) fn look(surroundings: &Surroundings, schedules: &mut Schedules) {
    // The manager's own sign that it is there: without one `systemctl` fails, and there is nothing to see.
    if surroundings.runtime.join("systemd").is_dir() {
        look_at(surroundings, Kind::SystemdUser, schedules);
    } else {
        unit_files::look(surroundings, schedules);
    }
    look_at(surroundings, Kind::SystemdSystem, schedules);
}

fn look_at(surroundings: &Surroundings, kind: Kind, schedules: &mut Schedules) {
    let ask = |arguments: &[&str]| {
        let whose = if kind == Kind::SystemdUser { "--user" } else { "--system" };
        surroundings.programs.ask("systemctl", &[&[whose], arguments].concat())
    };
    let is_timer = |word: &&str| word.strip_suffix(".timer").is_some();
    let answer = (|| {
        let listed = text_of(ask(&["list-units", "--all", "--plain", "--no-legend", "--full", TIMERS]))?;
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split_ascii_whitespace().find(is_timer)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let timers = text_of(ask(&[&["show", "-p", TIMER_PROPERTIES], &names[..]].concat()))?;
        let timers = Properties::of_answer(&timers);
        let units: Vec<&str> = timers.iter().map(|timer| timer.text("Unit")).filter(|unit| !unit.is_empty()).collect();
        let services = match &units[..] {
            [] => String::new(),
            units => text_of(ask(&[&["show", "-p", SERVICE_PROPERTIES], units].concat()))?,
        };
        let services = Properties::of_answer(&services);
        for timer in &timers {
            let service = services.iter().find(|service| service.text("Id") == timer.text("Unit"));
            let found = service.and_then(|service| schedule(surroundings, kind, timer, service));
            schedules.found.extend(found);
            if service.is_some_and(|service| is_switched_on(timer) && service.text("ExecStart").contains(ORIGINAL)) {
                schedules.other_pruners.push(timer.text("Id").to_owned());
            }
        }
        Ok(())
    })();
    // Started by another init, as in a container: there are no timers.
    if let Err(why) = answer.or_else(|why: String| if why.contains("not been booted") { Ok(()) } else { Err(why) }) {
        schedules.failed(kind.name(), &why);
    }
}

fn text_of(answer: Answer) -> Result<String, String> {
    match answer {
        Answer::Said(text) => Ok(text),
        Answer::NotInstalled => Ok(String::new()),
        Answer::Failed(why) => Err(why),
    }
}

fn is_switched_on(timer: &Properties<'_>) -> bool {
    timer.text("ActiveState") == "active" || timer.text("UnitFileState").starts_with("enabled")
}

/// A timer with the service that it starts; nothing where it is off or starts something else.
fn schedule(
    surroundings: &Surroundings,
    kind: Kind,
    timer: &Properties<'_>,
    service: &Properties<'_>,
) -> Option<Schedule> {
    let (program, command) = service.commands().find_map(|(path, line)| {
        let command = Command::find(line)?;
        let located = command.locate(PATH, None, &std::path::Path::is_file);
        Some((if command.is_first { Some(path) } else { located }, command))
    })?;
    let is_enabled = timer.text("UnitFileState").starts_with("enabled");
    let state = match (timer.text("ActiveState") == "active", is_enabled) {
        (true, true) if kind == Kind::SystemdUser && ends_with_session(surroundings) => State::UntilLogout,
        (true, true) => State::On,
        (true, false) => State::UntilReboot,
        (false, true) => State::Stopped,
        (false, false) => return None,
    };
    let user = match (service.text("User"), kind) {
        ("", Kind::SystemdSystem) => "root",
        ("", _) => &surroundings.login.name,
        (user, _) => user,
    };
    let monotonic = || after_boot(surroundings, timer.span("NextElapseUSecMonotonic")?);
    let next = [timer.time("NextElapseUSecRealtime"), monotonic()].into_iter().flatten().min();
    let last = last_run(timer.time("LastTriggerUSec"), service);
    let calendar = timer.calendar();
    let when = if calendar.is_empty() { When::Unknown } else { When::Calendar(calendar) };
    let interval = match when.first_two(surroundings.now, &surroundings.programs)[..] {
        [one, other] => Some(other - one),
        _ => None,
    };
    Some(Schedule {
        kind,
        state,
        user: user.to_owned(),
        place: timer.text("Id").to_owned(),
        since: timer.time("ActiveEnterTimestamp"),
        when,
        next,
        interval: interval.or_else(|| Some(next? - last?.at)),
        delay: timer.span("RandomizedDelayUSec").unwrap_or_default(),
        last,
        program,
        arguments: command.arguments,
        reach: reach(service),
    })
}

/// Whether the user's systemd ends with the user's last session; where nobody says so, it does not.
fn ends_with_session(surroundings: &Surroundings) -> bool {
    let answer = surroundings.programs.ask("loginctl", &["show-user", &surroundings.login.name, "-p", "Linger"]);
    matches!(answer, Answer::Said(text) if text.trim() == "Linger=no")
}

/// What counts from the start of the machine; zero is what a timer has that does not.
fn after_boot(surroundings: &Surroundings, span: TimeDelta) -> Option<DateTime<Utc>> {
    surroundings.boot()?.checked_add_signed(Some(span).filter(|span| !span.is_zero())?)
}

/// When the service ran last and how that ended. After a start of the machine only the trigger is known.
fn last_run(triggered: Option<DateTime<Utc>>, service: &Properties<'_>) -> Option<Last> {
    let Some(started) = service.time("ExecMainStartTimestamp") else {
        return Some(Last { at: triggered?, result: None });
    };
    let result = match (service.text("ActiveState"), service.text("Result")) {
        ("activating" | "active" | "deactivating", _) => Some(LastResult::Running),
        (_, "success" | "exit-code") => service.text("ExecMainStatus").parse().ok().map(LastResult::Exit),
        _ => Some(LastResult::Ended),
    };
    Some(Last { at: started, result })
}

fn reach(service: &Properties<'_>) -> Reach {
    let mut writable = service.paths("ReadWritePaths");
    writable.extend(service.paths("BindPaths"));
    Reach {
        is_strict: service.text("ProtectSystem") == "strict",
        protects_homes: !matches!(service.text("ProtectHome"), "" | "no"),
        has_own_tmp: !matches!(service.text("PrivateTmp"), "" | "no"),
        writable,
        has_no_network: service.text("PrivateNetwork") == "yes"
            || forbids_internet(service)
            || forbids_all_addresses(service),
    }
}

/// `IPAddressDeny=any` with nothing that is allowed all the same; systemd names both halves of the internet.
fn forbids_all_addresses(service: &Properties<'_>) -> bool {
    let denied = service.text("IPAddressDeny");
    service.text("IPAddressAllow").is_empty() && (denied == "any" || denied.contains("0.0.0.0/0"))
}

/// The list names what is allowed; where it begins with `~`, what is forbidden, and alone that is nothing.
fn forbids_internet(service: &Properties<'_>) -> bool {
    let families = service.text("RestrictAddressFamilies");
    let is_listed = families.trim_start_matches('~').split(' ').any(|family| family == "AF_INET");
    service.has("RestrictAddressFamilies") && families.starts_with('~') == is_listed
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "ExecMainStartTimestamp=Fri 2026-11-20 16:34:04 UTC\n";

    fn result(text: &str) -> Option<LastResult> {
        let text = format!("{SERVICE}{text}");
        last_run(None, &Properties::of_answer(&text)[0]).unwrap().result
    }

    #[test]
    fn how_the_last_run_ended_is_told_in_every_case() {
        assert_eq!(result("ActiveState=inactive\nResult=success\nExecMainStatus=0"), Some(LastResult::Exit(0)));
        assert_eq!(result("ActiveState=failed\nResult=exit-code\nExecMainStatus=203"), Some(LastResult::Exit(203)));
        assert_eq!(result("ActiveState=activating\nResult=success\nExecMainStatus=0"), Some(LastResult::Running));
        assert_eq!(result("ActiveState=failed\nResult=timeout\nExecMainStatus=15"), Some(LastResult::Ended));
    }

    #[test]
    fn whether_a_service_may_open_connections_is_understood() {
        for (families, expected) in [
            ("RestrictAddressFamilies=~", false),
            ("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", false),
            ("RestrictAddressFamilies=~AF_INET6", false),
            ("RestrictAddressFamilies=~AF_INET AF_INET6", true),
            ("RestrictAddressFamilies=AF_UNIX", true),
            ("RestrictAddressFamilies=", true),
            ("PrivateNetwork=yes", true),
            ("PrivateNetwork=no", false),
            ("IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=", true),
            ("IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=127.0.0.0/8", false),
            ("IPAddressDeny=\nIPAddressAllow=", false),
        ] {
            assert_eq!(reach(&Properties::of_answer(families)[0]).has_no_network, expected, "{families}");
        }
    }

    #[test]
    fn after_a_start_of_the_machine_only_the_trigger_is_known() {
        let text = "ActiveState=inactive\nResult=success\nExecMainStatus=0\nExecMainStartTimestamp=";
        let never = Properties::of_answer(text);
        assert_eq!(last_run(None, &never[0]), None);
        let at = DateTime::from_timestamp(1_795_176_000, 0).unwrap();
        assert_eq!(last_run(Some(at), &never[0]), Some(Last { at, result: None }));
    }
}
