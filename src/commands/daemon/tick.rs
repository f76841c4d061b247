//! One tick of one area: under the sweep's lock, survived whatever it comes to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;

use super::areas::{Area, Came, PROGRAM};
use crate::commands::run_log::Outcome;
use crate::commands::{status_of, sweep_lock};
use crate::context::Context;
use crate::daemon::{Ending, Tick};
use crate::exit::ExitStatus;

/// Runs an area's tick.
pub(super) fn tick(area: &Area, context: &Context) -> (Tick, Outcome) {
    // A lock that is taken is not waited for: a tick later is as good. Without one there is no tick.
    let came = sweep_lock::take(context, PROGRAM, None).and_then(|_lock| caught(|| (area.run)(context)));
    let (tick, outcome) = came.map_or_else(of_failure, of_came);
    (tick, Outcome { area: Some(area.name), ..outcome })
}

/// A fault of this program in one tick is not the end of the daemon: the next tick looks at everything anew.
fn caught(run: impl FnOnce() -> Result<Came>) -> Result<Came> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(Panicked.into()))
}

#[derive(Debug, thiserror::Error)]
#[error("the tick broke off by a fault of this program, which the line before tells; please report it")]
struct Panicked;

fn of_failure(error: anyhow::Error) -> (Tick, Outcome) {
    let ending = match status_of(&error) {
        _ if error.is::<Panicked>() => Ending::Panicked,
        ExitStatus::Locked => Ending::PutOff,
        _ => Ending::Failed,
    };
    (Tick::without(ending, vec![format!("{error:#}")]), Outcome::failed(error))
}

fn of_came(Came { outcome, seen, done, notes }: Came) -> (Tick, Outcome) {
    let failure = outcome.failure.iter().map(|error| format!("{error:#}"));
    let problems = failure.chain(outcome.problems.iter().cloned()).collect();
    let ending = match outcome.status {
        ExitStatus::Done | ExitStatus::WorkToDo | ExitStatus::Found => Ending::Done,
        ExitStatus::Partial => Ending::Partial,
        ExitStatus::Locked => Ending::PutOff,
        ExitStatus::Failed | ExitStatus::Usage => Ending::Failed,
    };
    (Tick { ending, seen, done, problems, notes }, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_end_of_a_tick_and_of_nothing_else() {
        let came = caught(|| panic!("a fault"));
        let (tick, outcome) = came.map_or_else(of_failure, of_came);
        assert_eq!((tick.ending, outcome.status), (Ending::Panicked, ExitStatus::Failed));
        assert!(tick.problems[0].contains("a fault of this program"), "{tick:?}");
    }
}
