//! What became of one area's ticks: for metrics, for the log, and for noticing an area that gets nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How a tick ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// All was done that was to be done.
    Done,
    /// Something was refused or could not be looked at.
    Partial,
    /// It failed.
    Failed,
    /// Another run held the lock; it comes again soon.
    PutOff,
    /// It broke off by a fault of this program.
    Panicked,
}

impl Ending {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Done, Self::Partial, Self::Failed, Self::PutOff, Self::Panicked];

    /// For metrics and status lines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::PutOff => "put_off",
            Self::Panicked => "panicked",
        }
    }
}

/// What one tick came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) ending: Ending,
    /// What was looked at, each with its number.
    pub(crate) seen: Vec<(&'static str, usize)>,
    /// What was done.
    pub(crate) done: Vec<(&'static str, usize)>,
    /// What could not be looked at or done, as it is; made safe where it is shown.
    pub(crate) problems: Vec<String>,
    /// What is well as it is and yet worth a word, once.
    pub(crate) notes: Vec<String>,
}

impl Tick {
    /// One that came to nothing.
    pub(crate) const fn without(ending: Ending, problems: Vec<String>) -> Self {
        Self { ending, seen: Vec::new(), done: Vec::new(), problems, notes: Vec::new() }
    }

    /// Whether something was done.
    pub(crate) fn has_done(&self) -> bool {
        self.done.iter().any(|(_, number)| *number > 0)
    }

    /// Whether it only refused.
    fn only_refused(&self) -> bool {
        self.ending == Ending::Partial && !self.has_done()
    }
}

/// What became of an area's ticks since the daemon started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// How many ended so.
    pub(crate) ticks: BTreeMap<Ending, u64>,
    /// The last tick's instant and how long it took; one that was put off was none.
    pub(crate) last: Option<(DateTime<Utc>, Duration)>,
    /// The instant of the last tick of which all was done.
    pub(crate) last_done: Option<DateTime<Utc>>,
    /// What the last tick looked at.
    pub(crate) seen: BTreeMap<&'static str, usize>,
    /// What all ticks did.
    pub(crate) done: BTreeMap<&'static str, u64>,
    /// The last ending, but for ticks that were put off, and what its problems and notes were.
    before: Option<(Ending, Vec<String>, Vec<String>)>,
    /// How many ticks in a row only refused.
    refusals: u32,
    /// How many ticks in a row were put off.
    put_offs: u32,
}

/// What is to be said of a tick beside what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    /// It ended otherwise than the one before, or for another reason. Of those that are put off in a row only the first one is
    /// new, whoever has the lock.
    pub(crate) is_new: bool,
    /// So many ticks in a row only refused, or were put off, which is worth a warning.
    pub(crate) stuck: Option<u32>,
}

/// After so many ticks that only refuse or are put off, somebody should know; again after ten times as many.
const STUCK: u32 = 10;

impl Tally {
    /// Adds a tick of the instant `at`.
    pub(crate) fn add(&mut self, tick: &Tick, at: DateTime<Utc>, took: Duration) -> Noted {
        *self.ticks.entry(tick.ending).or_default() += 1;
        if tick.ending == Ending::PutOff {
            self.put_offs = self.put_offs.saturating_add(1);
            return Noted { is_new: self.put_offs == 1, stuck: worth_a_warning(self.put_offs) };
        }
        let was_put_off = std::mem::take(&mut self.put_offs) > 0;
        self.last = Some((at, took));
        if tick.ending == Ending::Done {
            self.last_done = Some(at);
        }
        self.seen = tick.seen.iter().copied().collect();
        for (what, number) in &tick.done {
            *self.done.entry(what).or_default() += *number as u64;
        }
        let came = (tick.ending, tick.problems.clone(), tick.notes.clone());
        let is_new = was_put_off || self.before.as_ref() != Some(&came);
        self.before = Some(came);
        self.refusals = if tick.only_refused() { self.refusals.saturating_add(1) } else { 0 };
        Noted { is_new, stuck: worth_a_warning(self.refusals) }
    }
}

/// That number of ticks in a row, where it is one to speak of.
pub(crate) fn worth_a_warning(ticks: u32) -> Option<u32> {
    (ticks >= STUCK && 10_u32.pow(ticks.ilog10()) == ticks).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Tick {
        Tick::without(Ending::Partial, vec!["no".to_owned()])
    }

    fn add(tally: &mut Tally, tick: &Tick) -> Noted {
        tally.add(tick, DateTime::UNIX_EPOCH, Duration::from_millis(3))
    }

    #[test]
    fn an_area_that_only_refuses_is_noticed_after_ten_ticks() {
        let mut tally = Tally::default();
        let stuck: Vec<u32> = (0..1_500).filter_map(|_| add(&mut tally, &refusal()).stuck).collect();
        assert_eq!(stuck, [10, 100, 1_000]);
        // One that does something beside its refusals gets on.
        add(&mut tally, &Tick { done: vec![("pruned", 1)], ..refusal() });
        let stuck = |tally: &mut Tally| (0..9).any(|_| add(tally, &refusal()).stuck.is_some());
        assert!(!stuck(&mut tally));
        add(&mut tally, &Tick::without(Ending::PutOff, Vec::new()));
        assert_eq!(add(&mut tally, &refusal()).stuck, Some(10), "one that was put off is none of the ten");
        add(&mut tally, &Tick::without(Ending::Done, Vec::new()));
        assert!(!stuck(&mut tally));
    }

    #[test]
    fn what_repeats_itself_is_not_new() {
        let mut tally = Tally::default();
        assert!(add(&mut tally, &refusal()).is_new);
        assert!(!add(&mut tally, &refusal()).is_new);
        assert!(add(&mut tally, &Tick::without(Ending::Partial, vec!["never".to_owned()])).is_new);
        assert!(add(&mut tally, &Tick::without(Ending::Done, Vec::new())).is_new);
        assert!(!add(&mut tally, &Tick::without(Ending::Done, Vec::new())).is_new);
        let noted = Tick { notes: vec!["well".to_owned()], ..Tick::without(Ending::Done, Vec::new()) };
        assert!(add(&mut tally, &noted).is_new);
        assert!(!add(&mut tally, &noted).is_new);
    }

    #[test]
    fn an_area_that_is_put_off_for_ever_is_noticed() {
        let mut tally = Tally::default();
        let put_off = |by: u32| Tick::without(Ending::PutOff, vec![format!("sweep.lock is locked by pid {by}")]);
        let noted: Vec<Noted> = (0..1_500).map(|by| add(&mut tally, &put_off(by))).collect();
        let new: Vec<usize> = (0..1_500).filter(|tick| noted[*tick].is_new).collect();
        assert_eq!(new, [0], "it begins once");
        assert_eq!(noted.iter().filter_map(|noted| noted.stuck).collect::<Vec<_>>(), [10, 100, 1_000]);
        assert_eq!(tally.last, None, "put off is no tick");
        // That it is over is news, too, and the next time it begins anew.
        assert!(add(&mut tally, &Tick::without(Ending::Done, Vec::new())).is_new);
        assert!(!add(&mut tally, &Tick::without(Ending::Done, Vec::new())).is_new);
        assert_eq!(add(&mut tally, &put_off(1)), Noted { is_new: true, stuck: None });
    }

    #[test]
    fn only_a_tick_of_which_all_was_done_is_a_success() {
        let mut tally = Tally::default();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        for (second, ending) in (0..).zip(Ending::ALL).chain([(7, Ending::Failed), (8, Ending::Panicked)]) {
            tally.add(&Tick::without(ending, Vec::new()), at(second), Duration::ZERO);
            assert_eq!(tally.last_done, Some(at(0)), "{ending:?}");
        }
        assert_eq!(tally.last.map(|(last, _)| last), Some(at(8)), "a tick it was all the same");
        tally.add(&Tick::without(Ending::Done, Vec::new()), at(9), Duration::ZERO);
        assert_eq!(tally.last_done, Some(at(9)));
    }

    #[test]
    fn what_was_done_adds_up_and_what_was_seen_does_not() {
        let mut tally = Tally::default();
        let tick =
            Tick { seen: vec![("checked", 5)], done: vec![("pruned", 2)], ..Tick::without(Ending::Done, vec![]) };
        add(&mut tally, &tick);
        add(&mut tally, &tick);
        assert_eq!((tally.seen["checked"], tally.done["pruned"], tally.ticks[&Ending::Done]), (5, 4, 2));
    }
}
