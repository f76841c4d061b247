//! Which area is due at an instant: pure, so that a day is tested in a moment.
//!
//! Instants are durations since the machine started, its sleep included: a laptop that slept through a tick makes up for it
//! when it wakes, once.

use std::time::Duration;

/// When an area that found the lock taken tries again, unless its interval is shorter.
const AGAIN: Duration = Duration::from_secs(10);

/// When each area is due next, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timetable {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    interval: Duration,
    /// `None`: it is switched off.
    next: Option<Duration>,
    /// From when on its interval counts, after a tick; `None` before the first one, where it was put off, and where it was asked
    /// for: it waits for its turn then, whatever its interval is.
    last: Option<Duration>,
}

impl Timetable {
    /// All areas that have an interval are due at once.
    pub(crate) fn new(intervals: &[Option<Duration>], now: Duration) -> Self {
        let row = |interval: &Option<Duration>| Row {
            interval: interval.unwrap_or_default(),
            next: interval.map(|_| now),
            last: None,
        };
        Self { rows: intervals.iter().map(row).collect() }
    }

    /// Other intervals from now on. An area that stays on keeps its rhythm, but is not further away than its new interval; one
    /// that waits for its turn keeps that; one that comes on is due at once.
    pub(crate) fn change(&mut self, intervals: &[Option<Duration>], now: Duration) {
        for (row, interval) in self.rows.iter_mut().zip(intervals) {
            let next = interval.map(|interval| match (row.next, row.last) {
                (Some(next), _) if row.interval == interval => next,
                (Some(_), Some(last)) => (last + interval).max(now),
                (Some(next), None) => next.min(now + interval),
                (None, _) => now,
            });
            let last = row.last.filter(|_| row.next.is_some() && next.is_some());
            *row = Row { interval: interval.unwrap_or_default(), next, last };
        }
    }

    /// The area that has been due for longest; of several the first.
    pub(crate) fn due(&self, now: Duration) -> Option<usize> {
        self.next().filter(|(_, next)| *next <= now).map(|(area, _)| area)
    }

    /// The area that is due next, and when.
    pub(crate) fn next(&self) -> Option<(usize, Duration)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(area, row)| Some((area, row.next?))).min_by_key(|(_, next)| *next)
    }

    /// An area's tick began and ended: the next one is an interval after its beginning. What it missed while it ran is left
    /// out, so that a tick that takes longer than its interval does not follow itself at once.
    pub(crate) fn ticked(&mut self, area: usize, began: Duration, ended: Duration) {
        let row = &mut self.rows[area];
        let next = if began + row.interval > ended { began } else { ended } + row.interval;
        row.next = row.next.map(|_| next);
        row.last = Some(next.saturating_sub(row.interval));
    }

    /// An area could not have its tick: another run has the lock.
    pub(crate) fn put_off(&mut self, area: usize, now: Duration) {
        let row = &mut self.rows[area];
        row.next = row.next.map(|_| now + AGAIN.min(row.interval));
        row.last = None;
    }

    /// All areas that are on are due.
    pub(crate) fn all_at(&mut self, now: Duration) {
        for row in &mut self.rows {
            row.next = row.next.map(|next| next.min(now));
            row.last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    /// Runs what is due until an instant, each tick for so many seconds; which area when.
    fn run(table: &mut Timetable, until: u64, takes: u64) -> Vec<(usize, u64)> {
        let mut ran = Vec::new();
        while let Some((area, next)) = table.next().filter(|(_, next)| *next < at(until)) {
            let began = ran.last().map_or(next, |(_, last)| next.max(at(*last + takes)));
            assert_eq!(table.due(began), Some(area));
            ran.push((area, began.as_secs()));
            table.ticked(area, began, began + at(takes));
        }
        ran
    }

    #[test]
    fn each_area_has_its_own_interval_and_one_comes_after_the_other() {
        let mut table = Timetable::new(&[Some(at(120)), None, Some(at(60))], at(1_000));
        assert_eq!(table.due(at(999)), None);
        let expected = [(0, 1_000), (2, 1_001), (2, 1_061), (0, 1_120), (2, 1_121)];
        assert_eq!(run(&mut table, 1_180, 1), expected);
    }

    #[test]
    fn a_day_has_as_many_ticks_as_intervals() {
        let mut table = Timetable::new(&[Some(at(300)), Some(at(300)), Some(at(60)), Some(at(86_400))], at(0));
        let ran = run(&mut table, 86_400, 0);
        let ticks = |area| ran.iter().filter(|(ran, _)| *ran == area).count();
        assert_eq!([ticks(0), ticks(1), ticks(2), ticks(3)], [288, 288, 1_440, 1]);
    }

    #[test]
    fn a_tick_that_takes_too_long_leaves_out_what_it_missed() {
        let mut table = Timetable::new(&[Some(at(60)), Some(at(600))], at(0));
        table.ticked(0, at(0), at(200));
        assert_eq!(table.next(), Some((1, at(0))), "the others get their turn first");
        table.ticked(1, at(200), at(201));
        assert_eq!(table.next(), Some((0, at(260))));
        // Asleep for a day: one tick, not 1,440.
        table.ticked(0, at(86_660), at(86_661));
        assert_eq!(table.rows[0].next, Some(at(86_720)));
    }

    #[test]
    fn an_area_that_finds_the_lock_taken_tries_again_soon() {
        let mut table = Timetable::new(&[Some(at(300)), Some(at(5))], at(0));
        table.put_off(0, at(0));
        table.put_off(1, at(0));
        assert_eq!((table.rows[0].next, table.rows[1].next), (Some(at(10)), Some(at(5))));
    }

    #[test]
    fn other_intervals_keep_the_rhythm() {
        let mut table = Timetable::new(&[Some(at(300)), Some(at(60)), None, Some(at(60))], at(0));
        (0..4).for_each(|area| table.ticked(area, at(0), at(1)));
        table.change(&[Some(at(100)), None, Some(at(60)), Some(at(60))], at(40));
        assert_eq!(
            table.rows.iter().map(|row| row.next).collect::<Vec<_>>(),
            [Some(at(100)), None, Some(at(40)), Some(at(60))]
        );
        // What would have been due before is due now.
        table.change(&[Some(at(10)), None, None, None], at(40));
        assert_eq!(table.next(), Some((0, at(40))));
        table.all_at(at(41));
        assert_eq!(table.next(), Some((0, at(40))));
        table.ticked(0, at(41), at(42));
        table.all_at(at(43));
        assert_eq!(table.next(), Some((0, at(43))));
    }

    #[test]
    fn other_intervals_do_not_cost_an_area_its_turn() {
        let day = at(86_400);
        let mut table = Timetable::new(&[Some(at(60)), Some(at(60)), Some(at(60))], at(0));
        (0..3).for_each(|area| table.ticked(area, at(0), at(1)));
        table.put_off(0, at(60));
        table.change(&[Some(day), Some(day), None], at(61));
        assert_eq!(table.rows[0].next, Some(at(70)), "it was put off");
        assert_eq!(table.rows[1].next, Some(day), "it had its turn");
        table.all_at(at(62));
        table.change(&[Some(at(60)), Some(at(2 * 86_400)), Some(day)], at(63));
        assert_eq!(
            table.rows.iter().map(|row| row.next).collect::<Vec<_>>(),
            [Some(at(62)), Some(at(62)), Some(at(63))]
        );
        // What it did before it was switched off is long ago.
        table.change(&[None, None, None], at(64));
        table.change(&[Some(day), Some(day), Some(day)], at(65));
        assert!((0..3).all(|area| table.rows[area].next == Some(at(65))));
    }
}
