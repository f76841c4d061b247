//! Timers that are switched on for a user whose systemd is not running: read from the unit files.

use std::path::Path;

use chrono::TimeDelta;

use super::calendar::When;
use super::command::Command;
use super::{Kind, PROGRAM, Reach, Schedule, Schedules, State, Surroundings, systemd};

/// Adds those that start our program, and those whose service cannot be read but whose name is ours.
pub(super) fn look(surroundings: &Surroundings, schedules: &mut Schedules) {
    let Ok(entries) = std::fs::read_dir(surroundings.user_units.join("timers.target.wants")) else { return };
    for entry in entries.flatten() {
        let place = entry.file_name().to_string_lossy().into_owned();
        // A link that leads nowhere switches nothing on.
        let (Some(unit), Ok(timer)) = (place.strip_suffix(".timer"), std::fs::read_to_string(entry.path())) else {
            continue;
        };
        let service = values(&timer, "Unit").last().map_or_else(|| format!("{unit}.service"), |&name| name.to_owned());
        let beside = entry.path().canonicalize().ok().and_then(|path| Some(path.parent()?.join(&service)));
        let mut service = [Some(surroundings.user_units.join(&service)), beside].into_iter().flatten();
        let service = service.find_map(|path| std::fs::read_to_string(path).ok());
        let command = service.as_deref().and_then(command);
        if command.is_none() && (service.is_some() || !unit.starts_with(PROGRAM)) {
            continue;
        }
        let home = Some(surroundings.home.as_path());
        let program = command.as_ref().and_then(|command| command.locate(systemd::PATH, home, &Path::is_file));
        let calendar: Vec<String> = values(&timer, "OnCalendar").into_iter().map(str::to_owned).collect();
        schedules.found.push(Schedule {
            kind: Kind::SystemdUser,
            state: State::UntilLogout,
            user: surroundings.login.name.clone(),
            place,
            since: None,
            when: if calendar.is_empty() { When::Unknown } else { When::Calendar(calendar) },
            next: None,
            interval: None,
            delay: TimeDelta::zero(),
            last: None,
            program,
            arguments: command.map(|command| command.arguments).unwrap_or_default(),
            reach: Reach::default(),
        });
    }
}

/// What a service starts that is ours. Before the program stand signs for systemd.
fn command(service: &str) -> Option<Command> {
    let lines = values(service, "ExecStart").into_iter();
    lines.map(|line| line.trim_start_matches(['-', '@', ':', '+', '!'])).find_map(Command::find)
}

/// The values of a key. An empty one takes back those before it.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let mut values = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        match line.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start())) {
            Some((name, "")) if name == key => values.clear(),
            Some((name, value)) if name == key => values.push(value),
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_unit_file_are_read() {
        let text = "[Timer]\n#OnCalendar=a\nOnCalendar = b\nOnCalendar=\nOnCalendar=c d\nOnCalendar=e\nUnit=x\n";
        assert_eq!(values(text, "OnCalendar"), ["c d", "e"]);
        let started = command("[Service]\nExecStart=/bin/true\nExecStart=-%h/bin/session-sweep sweep -q\n").unwrap();
        let program = started.locate(systemd::PATH, Some(Path::new("/home/anna")), &|_| false);
        assert_eq!(program, Some("/home/anna/bin/session-sweep".into()));
        assert_eq!(started.arguments, ["sweep", "-q"]);
        assert_eq!(command("ExecStart=/bin/true"), None);
    }
}
