//! The daemon's figures as OpenMetrics text, for `node_exporter`'s textfile collector. docs/daemon.md lists them.

mod text;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::daemon::{Ending, Tally};
use text::{Family, Kind, Sample, Text};

/// What is measured of a daemon.
pub(crate) struct MetricsView<'m> {
    /// The folder of its state, of which there is one daemon: it tells the figures of several on one machine apart.
    pub(crate) state: &'m str,
    pub(crate) started: DateTime<Utc>,
    /// Each area with its interval, where it is on, and what became of its ticks.
    pub(crate) areas: Vec<(&'static str, Option<Duration>, &'m Tally)>,
    /// Whether the configuration was right when it was read last.
    pub(crate) config_is_right: bool,
    /// When the configuration that counts was read.
    pub(crate) config_read: DateTime<Utc>,
}

/// How every text begins, and no file of anybody else.
pub(crate) const BEGINNING: &str = "# TYPE session_sweep_";

const SECONDS: Option<&str> = Some("seconds");

/// Every metric there is.
static FAMILIES: [Family; 10] = [
    gauge("session_sweep_build_info", None, "The program that runs; always 1."),
    gauge("session_sweep_start_timestamp_seconds", SECONDS, "When the daemon started."),
    gauge(
        "session_sweep_config_last_reload_successful",
        None,
        "Whether the configuration was right when it was read last (1), or the one before counts (0).",
    ),
    gauge(
        "session_sweep_config_last_reload_success_timestamp_seconds",
        SECONDS,
        "When the configuration that counts was read.",
    ),
    gauge("session_sweep_interval_seconds", SECONDS, "How often an area has its tick; not there for one that is off."),
    counter("session_sweep_ticks", None, "How many ticks of an area ended how."),
    gauge(
        "session_sweep_last_tick_timestamp_seconds",
        SECONDS,
        "When an area's last tick began; before its first one, when the daemon started.",
    ),
    gauge(
        "session_sweep_last_success_timestamp_seconds",
        SECONDS,
        "When an area's last tick began of which all was done; before the first one, when the daemon started.",
    ),
    gauge("session_sweep_last_tick_duration_seconds", SECONDS, "How long an area's last tick took."),
    gauge("session_sweep_items", None, "How much of what an area's last tick looked at."),
];

/// What all ticks did: apart, since it has nothing to show before something was done.
static ACTIONS: Family = counter("session_sweep_actions", None, "How often an area did what.");
/// The same, of what is measured in bytes.
static BYTES: Family = counter("session_sweep_action_bytes", Some("bytes"), "How many bytes an area did what with.");
/// What an action is called behind which bytes are meant.
const OF_BYTES: &str = "_bytes";

const fn gauge(name: &'static str, unit: Option<&'static str>, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, unit, help }
}

const fn counter(name: &'static str, unit: Option<&'static str>, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, unit, help }
}

impl MetricsView<'_> {
    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::with(("state_folder", self.state));
        let [build, start, right, read, interval, ticks, last, success, took, items] = &FAMILIES;
        text.add(build, [Sample::new([("version", env!("CARGO_PKG_VERSION"))], 1)]);
        text.add(start, [Sample::new([], self.started.timestamp())]);
        text.add(right, [Sample::new([], u8::from(self.config_is_right))]);
        text.add(read, [Sample::new([], self.config_read.timestamp())]);
        let on = self.areas.iter().filter_map(|(area, interval, _)| Some((*area, (*interval)?)));
        text.add(interval, on.map(|(area, interval)| Sample::new([("area", area)], interval.as_secs())));
        let endings = self.areas.iter().filter(|(_, interval, tally)| interval.is_some() || !tally.ticks.is_empty());
        let endings = endings.flat_map(|(area, _, tally)| Ending::ALL.map(|ending| (*area, ending, tally)));
        text.add(
            ticks,
            endings.map(|(area, ending, tally)| {
                let count = tally.ticks.get(&ending).copied().unwrap_or_default();
                Sample::new([("area", area), ("outcome", ending.name())], count)
            }),
        );
        // What an area that is off looked at last would look like what it looks at.
        let on = || self.areas.iter().filter(|(_, interval, _)| interval.is_some());
        // An area that never had a tick has to be told by its age, too.
        let since = |at: Option<DateTime<Utc>>| at.unwrap_or(self.started).timestamp();
        let began = on().map(|(area, _, tally)| Sample::new([("area", *area)], since(tally.last.map(|(at, _)| at))));
        text.add(last, began);
        text.add(success, on().map(|(area, _, tally)| Sample::new([("area", *area)], since(tally.last_done))));
        let ran = on().filter_map(|(area, _, tally)| Some((*area, tally.last?.1)));
        text.add(took, ran.map(|(area, took)| Sample::new([("area", area)], took.as_secs_f64())));
        let seen = on().flat_map(|(area, _, tally)| tally.seen.iter().map(|seen| (*area, seen)));
        text.add(items, seen.map(|(area, (what, count))| Sample::new([("area", area), ("what", *what)], count)));
        let done = || self.areas.iter().flat_map(|(area, _, tally)| tally.done.iter().map(|done| (*area, done)));
        let times = done().filter(|(_, (what, _))| !what.ends_with(OF_BYTES));
        text.add(&ACTIONS, times.map(|(area, (what, count))| Sample::new([("area", area), ("action", *what)], count)));
        let bytes = done().filter_map(|(area, (what, count))| Some((area, what.strip_suffix(OF_BYTES)?, count)));
        text.add(&BYTES, bytes.map(|(area, what, count)| Sample::new([("area", area), ("action", what)], count)));
        text.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Tick;

    fn view_of(tallies: &[(&'static str, Option<Duration>, Tally)]) -> String {
        let started = DateTime::from_timestamp(1_795_176_000, 0).unwrap();
        let areas = tallies.iter().map(|(area, interval, tally)| (*area, *interval, tally)).collect();
        MetricsView {
            state: "/home/a/.local/state/session-sweep",
            started,
            areas,
            config_is_right: true,
            config_read: started,
        }
        .text()
    }

    #[test]
    fn what_ticks_came_to_is_told_by_area() {
        let mut tally = Tally::default();
        let at = DateTime::from_timestamp(1_795_176_060, 0).unwrap();
        let tick = Tick {
            seen: vec![("checked", 12)],
            done: vec![("pruned", 7), ("freed_bytes", 4_096)],
            ..Tick::without(Ending::Done, vec![])
        };
        tally.add(&tick, at, Duration::from_millis(12));
        tally.add(&Tick::without(Ending::PutOff, vec![]), at, Duration::ZERO);
        let tallies = [("map", Some(Duration::from_secs(300)), tally), ("queues", None, Tally::default())];
        insta::assert_snapshot!(view_of(&tallies), @r#"
        # TYPE session_sweep_build_info gauge
        # HELP session_sweep_build_info The program that runs; always 1.
        session_sweep_build_info{version="0.1.0",state_folder="/home/a/.local/state/session-sweep"} 1
        # TYPE session_sweep_start_timestamp_seconds gauge
        # UNIT session_sweep_start_timestamp_seconds seconds
        # HELP session_sweep_start_timestamp_seconds When the daemon started.
        session_sweep_start_timestamp_seconds{state_folder="/home/a/.local/state/session-sweep"} 1795176000
        # TYPE session_sweep_config_last_reload_successful gauge
        # HELP session_sweep_config_last_reload_successful Whether the configuration was right when it was read last (1), or the one before counts (0).
        session_sweep_config_last_reload_successful{state_folder="/home/a/.local/state/session-sweep"} 1
        # TYPE session_sweep_config_last_reload_success_timestamp_seconds gauge
        # UNIT session_sweep_config_last_reload_success_timestamp_seconds seconds
        # HELP session_sweep_config_last_reload_success_timestamp_seconds When the configuration that counts was read.
        session_sweep_config_last_reload_success_timestamp_seconds{state_folder="/home/a/.local/state/session-sweep"} 1795176000
        # TYPE session_sweep_interval_seconds gauge
        # UNIT session_sweep_interval_seconds seconds
        # HELP session_sweep_interval_seconds How often an area has its tick; not there for one that is off.
        session_sweep_interval_seconds{area="map",state_folder="/home/a/.local/state/session-sweep"} 300
        # TYPE session_sweep_ticks counter
        # HELP session_sweep_ticks How many ticks of an area ended how.
        session_sweep_ticks_total{area="map",outcome="done",state_folder="/home/a/.local/state/session-sweep"} 1
        session_sweep_ticks_total{area="map",outcome="partial",state_folder="/home/a/.local/state/session-sweep"} 0
        session_sweep_ticks_total{area="map",outcome="failed",state_folder="/home/a/.local/state/session-sweep"} 0
        session_sweep_ticks_total{area="map",outcome="put_off",state_folder="/home/a/.local/state/session-sweep"} 1
        session_sweep_ticks_total{area="map",outcome="panicked",state_folder="/home/a/.local/state/session-sweep"} 0
        # TYPE session_sweep_last_tick_timestamp_seconds gauge
        # UNIT session_sweep_last_tick_timestamp_seconds seconds
        # HELP session_sweep_last_tick_timestamp_seconds When an area's last tick began; before its first one, when the daemon started.
        session_sweep_last_tick_timestamp_seconds{area="map",state_folder="/home/a/.local/state/session-sweep"} 1795176060
        # TYPE session_sweep_last_success_timestamp_seconds gauge
        # UNIT session_sweep_last_success_timestamp_seconds seconds
        # HELP session_sweep_last_success_timestamp_seconds When an area's last tick began of which all was done; before the first one, when the daemon started.
        session_sweep_last_success_timestamp_seconds{area="map",state_folder="/home/a/.local/state/session-sweep"} 1795176060
        # TYPE session_sweep_last_tick_duration_seconds gauge
        # UNIT session_sweep_last_tick_duration_seconds seconds
        # HELP session_sweep_last_tick_duration_seconds How long an area's last tick took.
        session_sweep_last_tick_duration_seconds{area="map",state_folder="/home/a/.local/state/session-sweep"} 0.012
        # TYPE session_sweep_items gauge
        # HELP session_sweep_items How much of what an area's last tick looked at.
        session_sweep_items{area="map",what="checked",state_folder="/home/a/.local/state/session-sweep"} 12
        # TYPE session_sweep_actions counter
        # HELP session_sweep_actions How often an area did what.
        session_sweep_actions_total{area="map",action="pruned",state_folder="/home/a/.local/state/session-sweep"} 7
        # TYPE session_sweep_action_bytes counter
        # UNIT session_sweep_action_bytes bytes
        # HELP session_sweep_action_bytes How many bytes an area did what with.
        session_sweep_action_bytes_total{area="map",action="freed",state_folder="/home/a/.local/state/session-sweep"} 4096
        # EOF
        "#);
    }

    #[test]
    fn an_area_that_never_ran_is_told_and_one_that_is_off_is_not() {
        let interval = Some(Duration::from_secs(300));
        let mut ran = Tally::default();
        let tick = Tick { seen: vec![("checked", 12)], ..Tick::without(Ending::Done, vec![]) };
        ran.add(&tick, DateTime::from_timestamp(1_795_176_060, 0).unwrap(), Duration::ZERO);
        let mut put_off = Tally::default();
        put_off.add(&Tick::without(Ending::PutOff, vec![]), DateTime::UNIX_EPOCH, Duration::ZERO);
        let text = view_of(&[("map", interval, put_off), ("registry", None, ran)]);
        for what in ["tick", "success"] {
            let since = format!("session_sweep_last_{what}_timestamp_seconds{{area=\"map\",");
            assert!(text.lines().any(|line| line.starts_with(&since) && line.ends_with(" 1795176000")), "{text}");
        }
        let of_registry = text.lines().filter(|line| line.contains("area=\"registry\""));
        assert!(of_registry.clone().count() > 0, "its ticks happened");
        assert!(of_registry.clone().all(|line| line.starts_with("session_sweep_ticks_total{")), "{text}");
    }

    #[test]
    fn names_are_as_the_format_wants_them() {
        for Family { name, unit, help, .. } in FAMILIES.iter().chain([&ACTIONS, &BYTES]) {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))), "{name}");
            assert!(!name.ends_with("_total") && help.ends_with('.'), "{name}");
        }
        let text = view_of(&[]);
        assert!(text.starts_with(BEGINNING) && text.ends_with("\n# EOF\n"), "{text}");
    }

    #[test]
    fn the_page_lists_every_metric() {
        let page = include_str!("../../../docs/daemon.md");
        for Family { name, kind, .. } in FAMILIES.iter().chain([&ACTIONS, &BYTES]) {
            let suffix = if *kind == Kind::Counter { "_total" } else { "" };
            assert!(page.contains(&format!("| `{name}{suffix}` |")), "docs/daemon.md does not list {name}{suffix}");
        }
    }
}
