//! When a recurring message is due next.
//!
//! Agents write cron expressions, and the host that they wrote them for follows them by the library cron-parser. So an
//! expression means here what it means there: the same fields, the same oddities (seconds in front where there are six
//! fields, `5*` for `50-59`, an empty text for every minute) and the same refusals. What is done better:
//!
//! * A day on which the clock changes loses no run and has none twice. A time that the clock leaps over comes as much
//!   later as the clock leaps; of a time that it shows twice, the first counts. Only a recurrence of every hour goes by
//!   what the clock shows, so that it has no hole and comes in both.
//! * `H` stands for the same value at each look, and for a day that each month has.
//! * An expression that no day fulfils is refused or has no next run, rather than one at a time it does not name.
//!
//! `tests/fixtures/queues/cron-goldens.tsv` has the library's own answers. croner searches the calendar; what an expression
//! says to it is worked out here, because it is of another dialect.

mod expression;
mod field;
#[cfg(test)]
mod goldens;
mod next;
mod rearm;
#[cfg(test)]
mod tests;

use croner::Cron;

pub(crate) use rearm::{Rearm, rearm};

/// A cron expression in the dialect of cron-parser 5.
#[derive(Debug, Clone)]
pub(crate) struct Recurrence {
    /// The same for croner, but for what the other fields say.
    cron: Cron,
    /// It comes in each hour of its days.
    every_hour: bool,
    /// It comes only in this week of a month, where days 1 to 7 are the first.
    week: Option<u32>,
}

/// Why an expression cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidRecurrence(String);

impl Recurrence {
    /// Reads an expression. `seed` decides what `H` stands for: the series' id, so that it is the same at each look.
    pub(crate) fn parse(expression: &str, seed: &str) -> Result<Self, InvalidRecurrence> {
        expression::parse(expression, seed).map_err(InvalidRecurrence)
    }
}
