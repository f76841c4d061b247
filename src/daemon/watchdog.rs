//! Signs of life for the service manager, which starts a daemon anew that gives none for a whole period.
//!
//! A sign says that the work gets on, not that the process exists. Idle, the loop gives one every half period by itself. During
//! a tick a thread gives them, and only as long as the tick has taken a step ([`interrupt::steps`]) within the last period:
//! a tick that hangs is silent after one period and started anew after two.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::notify::Notifier;
use crate::interrupt;

const ALIVE: &str = "WATCHDOG=1";

/// How often the manager wants to hear something, and how it is told.
#[derive(Debug)]
pub(crate) struct Watchdog<'n> {
    notifier: &'n Notifier,
    period: Option<Duration>,
}

impl<'n> Watchdog<'n> {
    /// A period of `None`: the manager does not listen.
    pub(crate) const fn new(notifier: &'n Notifier, period: Option<Duration>) -> Self {
        Self { notifier, period }
    }

    /// After how long a silence the manager acts.
    pub(crate) const fn period(&self) -> Option<Duration> {
        self.period
    }

    /// The time between two signs.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.period.map(|period| period / 2)
    }

    /// A sign from the loop.
    pub(crate) fn is_alive(&self) {
        if self.period.is_some() {
            self.notifier.tell(ALIVE);
        }
    }

    /// Gives signs while `work` gets on.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some((period, interval)) = self.period.zip(self.interval()) else { return work() };
        self.is_alive();
        let (done, until) = channel::<()>();
        std::thread::scope(|scope| {
            // Where no thread can be made, a tick that takes longer than the period is taken for one that hangs.
            let started = std::thread::Builder::new().name("watchdog".to_owned()).spawn_scoped(scope, move || {
                let mut pace = Pace::new(period, interrupt::steps(), Instant::now());
                while until.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    if pace.gets_on(interrupt::steps(), Instant::now()) {
                        self.is_alive();
                    }
                }
            });
            if let Err(error) = started {
                log::warn!("no thread for the watchdog: {error}");
            }
            let came = work();
            drop(done);
            came
        })
    }
}

/// Whether something that counts its steps gets on.
#[derive(Debug)]
struct Pace {
    period: Duration,
    steps: u64,
    since: Instant,
}

impl Pace {
    const fn new(period: Duration, steps: u64, now: Instant) -> Self {
        Self { period, steps, since: now }
    }

    /// Whether there was a step within the last period.
    fn gets_on(&mut self, steps: u64, now: Instant) -> bool {
        if steps != self.steps {
            (self.steps, self.since) = (steps, now);
        }
        now.duration_since(self.since) < self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_no_step_for_a_whole_period_does_not_get_on() {
        let begun = Instant::now();
        let after = |second| begun + Duration::from_secs(second);
        let mut pace = Pace::new(Duration::from_secs(10), 7, begun);
        assert!(pace.gets_on(7, after(5)));
        assert!(pace.gets_on(8, after(9)));
        assert!(pace.gets_on(8, after(18)));
        assert!(!pace.gets_on(8, after(19)));
        assert!(!pace.gets_on(8, after(1_000)));
        assert!(pace.gets_on(9, after(1_001)), "slow is not hung");
    }

    #[test]
    fn nobody_listens_and_the_work_is_done() {
        let notifier = Notifier::to(None);
        assert_eq!(Watchdog::new(&notifier, None).during(|| 7), 7);
        assert_eq!(Watchdog::new(&notifier, Some(Duration::from_secs(60))).during(|| 7), 7);
    }
}
