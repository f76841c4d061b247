//! A sign of life on stderr for what takes longer than a second, where stderr is a terminal.

use std::io::IsTerminal as _;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::Builder;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What takes less time needs no sign of life.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Shows a spinner with `message` once `work` has taken a second, and takes it away again.
pub(crate) fn with_spinner<T>(quiet: bool, message: &'static str, work: impl FnOnce() -> T) -> T {
    if quiet || !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // Where no more threads can be made there is no sign of life.
        let _ = Builder::new().spawn_scoped(scope, move || {
            if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::new_spinner().with_message(message);
            bar.set_style(ProgressStyle::default_spinner());
            // Until the work's end drops the sender.
            while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}
