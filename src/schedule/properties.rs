//! What `systemctl show` prints, in the C language and in UTC: blocks of `Key=value`, one per unit.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

/// The properties of one unit. Some are there more than once.
#[derive(Debug, Default)]
pub(super) struct Properties<'t>(Vec<(&'t str, &'t str)>);

impl<'t> Properties<'t> {
    /// All units of an answer, which a blank line separates.
    pub(super) fn of_answer(text: &'t str) -> Vec<Self> {
        text.split("\n\n").map(Self::of_block).filter(|unit| !unit.0.is_empty()).collect()
    }

    fn of_block(block: &'t str) -> Self {
        Self(block.lines().filter_map(|line| line.split_once('=')).collect())
    }

    /// A property's texts, one for each time that it is there.
    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &'t str> {
        self.0.iter().filter(move |(name, _)| *name == key).map(|(_, text)| *text)
    }

    /// The text of one that is there once; empty when it is not there.
    pub(super) fn text(&self, key: &str) -> &'t str {
        self.texts(key).next().unwrap_or_default()
    }

    /// Whether the property is there at all: an older systemd may not know it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.texts(key).next().is_some()
    }

    /// A time; nothing when there was or will be none.
    pub(super) fn time(&self, key: &str) -> Option<DateTime<Utc>> {
        parse_time(self.text(key))
    }

    /// A span of time.
    pub(super) fn span(&self, key: &str) -> Option<TimeDelta> {
        parse_span(self.text(key))
    }

    /// What each `ExecStart` starts: the program and the line, which names it first.
    pub(super) fn commands(&self) -> impl Iterator<Item = (PathBuf, &'t str)> {
        self.texts("ExecStart").filter_map(|text| {
            let (path, rest) = text.strip_prefix("{ path=")?.split_once(" ; argv[]=")?;
            Some((path.into(), rest.split_once(" ; ignore_errors=")?.0))
        })
    }

    /// The expressions of `OnCalendar`.
    pub(super) fn calendar(&self) -> Vec<String> {
        let expression = |text: &'t str| Some(text.strip_prefix("{ OnCalendar=")?.split_once(" ; ")?.0.to_owned());
        self.texts("TimersCalendar").filter_map(expression).collect()
    }

    /// A list of paths. What `-` and `+` in front say does not concern us, nor what a bind comes from.
    pub(super) fn paths(&self, key: &str) -> Vec<PathBuf> {
        let path = |word: String| {
            let plain = word.trim_start_matches(['-', '+']);
            plain.split(':').nth(1).filter(|_| key.starts_with("Bind")).unwrap_or(plain).into()
        };
        words(self.text(key)).into_iter().map(path).collect()
    }
}

/// `Fri 2026-11-20 17:01:46 UTC`.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let (_, date_time) = text.strip_suffix(" UTC")?.split_once(' ')?;
    Some(NaiveDateTime::parse_from_str(date_time, "%Y-%m-%d %H:%M:%S").ok()?.and_utc())
}

/// `7h 48min 608.763ms`; plain numbers are microseconds, as in `0`.
fn parse_span(text: &str) -> Option<TimeDelta> {
    if let Ok(microseconds) = text.parse() {
        return Some(TimeDelta::microseconds(microseconds));
    }
    let mut seconds = 0.0;
    let mut parts = text.split_ascii_whitespace().peekable();
    parts.peek()?;
    for part in parts {
        let (number, unit) = part.split_at(part.find(|c: char| c.is_ascii_alphabetic())?);
        let number: f64 = number.parse().ok()?;
        seconds += number
            * match unit {
                "us" => 0.000_001,
                "ms" => 0.001,
                "s" => 1.0,
                "min" => 60.0,
                "h" => 3_600.0,
                "d" | "day" | "days" => 86_400.0,
                "w" | "week" | "weeks" => 604_800.0,
                "month" | "months" => 2_629_800.0,
                "y" | "year" | "years" => 31_557_600.0,
                _ => return None,
            };
    }
    TimeDelta::try_milliseconds((seconds * 1_000.0) as i64)
}

/// The words of a list, in which one with a space stands in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|inside| inside.split_once('"'));
        let (word, behind) = quoted.unwrap_or_else(|| rest.split_once(' ').unwrap_or((rest, "")));
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMER: &str = include_str!("../../tests/fixtures/schedule/system/timers.txt");
    const SERVICE: &str = include_str!("../../tests/fixtures/schedule/system/services.txt");

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_recorded_timer_is_understood() {
        let units = Properties::of_answer(TIMER);
        assert_eq!(units.len(), 1);
        assert_eq!((units[0].text("ActiveState"), units[0].text("UnitFileState")), ("active", "enabled"));
        assert_eq!(units[0].time("NextElapseUSecRealtime"), Some(at("2026-11-20T17:02:22Z")));
        assert_eq!(units[0].time("LastTriggerUSec"), Some(at("2026-11-20T16:34:22Z")));
        assert_eq!(units[0].span("RandomizedDelayUSec"), Some(TimeDelta::minutes(5)));
        assert_eq!(units[0].text("Unit"), "session-sweep@anna.service");
        assert_eq!(units[0].text("Nothing"), "");
    }

    #[test]
    fn a_recorded_service_is_understood() {
        let units = Properties::of_answer(SERVICE);
        let (program, line) = units[0].commands().next().unwrap();
        assert_eq!(program, PathBuf::from("/usr/local/bin/session-sweep"));
        assert_eq!(line, "/usr/local/bin/session-sweep sweep --quiet --started-by timer");
        let paths = ["/srv/bridge", "/home/anna/.local/state/session-sweep", "/srv/with space"];
        assert_eq!(units[0].paths("ReadWritePaths"), paths.map(PathBuf::from));
        assert_eq!(units[0].paths("BindPaths"), [PathBuf::from("/tmp/x")]);
        assert_eq!(units[0].time("ExecMainStartTimestamp"), Some(at("2026-11-20T16:34:22Z")));
    }

    #[test]
    fn units_are_told_apart() {
        let units = Properties::of_answer("Id=a.timer\nX=1\n\nId=b.timer\nX=2=3\n");
        assert_eq!(units.iter().map(|unit| unit.text("Id")).collect::<Vec<_>>(), ["a.timer", "b.timer"]);
        assert_eq!(units[1].text("X"), "2=3");
        let twice = "{ OnCalendar=Mon *-*-* 09:00:00 ; next_elapse=x }\nTimersCalendar={ OnCalendar=hourly ; ";
        let twice = format!("TimersCalendar={twice}next_elapse=y }}");
        assert_eq!(Properties::of_answer(&twice)[0].calendar(), ["Mon *-*-* 09:00:00", "hourly"]);
        assert!(Properties::of_answer("\n").is_empty());
    }

    #[test]
    fn no_time_is_none() {
        for text in ["", "n/a", "infinity", "Fri 2026-11-20 17:01:46 CET", "Fri 2026-13-20 17:01:46 UTC"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn spans_are_read_in_every_unit() {
        for (text, milliseconds) in [
            ("0", 0),
            ("5min", 300_000),
            ("1h 30min", 5_400_000),
            ("7h 48min 608.763ms", 28_080_608),
            ("6h 17min 59.885940s", 22_679_885),
            ("1w 2d", 777_600_000),
            ("250us", 0),
        ] {
            assert_eq!(parse_span(text), Some(TimeDelta::milliseconds(milliseconds)), "{text}");
        }
        for text in ["", "infinity", "5parsec", "x"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }
}
