//! What keeps a daemon going, whatever it does: when who is due, signals, what the service manager is told, and what became of
//! the ticks. What a tick does is `commands`' to know; nothing here has heard of an area.

pub(crate) mod notify;
pub(crate) mod signals;
pub(crate) mod tally;
pub(crate) mod timetable;
pub(crate) mod wait;
pub(crate) mod watchdog;

pub(crate) use notify::Notifier;
pub(crate) use signals::Signals;
pub(crate) use tally::{Ending, Tally, Tick, worth_a_warning};
pub(crate) use timetable::Timetable;
pub(crate) use wait::Waiter;
pub(crate) use watchdog::Watchdog;
