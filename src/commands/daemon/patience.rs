//! Steps that are allowed to take longer than the service manager waits for a sign of life. Waiting for a lock is none of them:
//! who waits gets on.

use std::time::Duration;

use crate::config::Config;
use crate::policy::duration::format_duration;
use crate::session_map::bridge::LONGEST_STEP;

/// What to say of settings by which one step may last as long as the watchdog's period.
pub(super) fn too_long(config: &Config, period: Option<Duration>) -> Vec<String> {
    let Some(period) = period else { return Vec::new() };
    let settings = &config.settings;
    let post_prune = Some(settings.post_prune.limit).filter(|_| !settings.post_prune.command.is_empty());
    let wakes = config.queues.iter().filter(|queue| !queue.settings.wake.command.is_empty());
    let bridge = settings.bridge.url.as_ref().map(|_| settings.bridge.timeout.saturating_mul(LONGEST_STEP));
    let steps = [
        ("bridge.timeout", bridge),
        ("map.post_prune_limit", post_prune),
        ("processes.grace", Some(settings.processes.grace).filter(|_| settings.processes.enabled)),
        ("queues.wait", config.queues.iter().map(|queue| queue.settings.wait).max()),
        ("queues.wake.limit", wakes.map(|queue| queue.settings.wake.limit).max()),
    ];
    let steps = steps.into_iter().filter_map(|(key, step)| Some((key, step.filter(|step| *step >= period)?)));
    let line = |(key, step)| {
        format!(
            "{key} lets one step take {}, not shorter than the watchdog's {}: a tick that waits so long is taken for one \
             that hangs; lower it, or raise WatchdogSec",
            format_duration(step),
            format_duration(period)
        )
    };
    steps.map(line).collect()
}
