//! A notice on the desktop, where there is one.

use crate::context::Context;
use crate::programs::{Answer, Programs};
use crate::sweep::processes::apply::Applied;

/// Tells what was ended by notify-send, where that is installed. That nobody is there to see it is no failure.
pub(super) fn show(context: &Context, applied: &Applied) {
    let ended = applied.processes_ended();
    if ended == 0 {
        return;
    }
    let freed = crate::output::bytes::Bytes(applied.freed());
    say(context, &format!("Left over and ended: {ended}; {freed} free."));
}

/// Says something by notify-send.
pub(super) fn say(context: &Context, text: &str) {
    let path = context.environment.get("PATH").unwrap_or_default().to_owned();
    let programs = Programs { path, variables: Vec::new() };
    match programs.ask("notify-send", &["--app-name=session-sweep", "session-sweep", text]) {
        Answer::Failed(why) => log::debug!("no notice: {why}"),
        Answer::NotInstalled | Answer::Said(_) => {}
    }
}
