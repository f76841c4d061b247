//! What becomes of a session's container and of its claimed messages: decided from heartbeat, claims and declared timeouts.
//!
//! Thresholds and order are those of nanoclaw 2.0.64's host sweep; what differs is said where it does. Whatever cannot be
//! read decides nothing: a container that nobody can judge goes on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The limits that a sweep of queues keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// A session that was woken is not judged, nor woken again, for so long.
    pub(crate) interval: Duration,
    /// How long a container may go without a heartbeat.
    pub(crate) ceiling: Duration,
    /// How long a claim may stand without a heartbeat after it.
    pub(crate) claim_stuck: Duration,
    /// A message that was tried so often is failed, not tried again.
    pub(crate) tries: u32,
    /// The delay before the first retry; it doubles with each one.
    pub(crate) backoff: Duration,
}

/// A message that a container said it works on: a row of `processing_ack` with status `processing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The message.
    pub(crate) message: String,
    /// When it was claimed; nothing where that cannot be read.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The same as it is written.
    pub(crate) since_text: String,
}

/// The tool call that a container says it is in: the row of `container_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolCall {
    /// `Bash` is the only tool whose timeout counts.
    pub(crate) tool: Option<String>,
    /// The timeout that the call declared.
    pub(crate) timeout: Option<Duration>,
    /// When the row was written; nothing where that cannot be read.
    pub(crate) updated: Option<DateTime<Utc>>,
}

/// What is known of a container that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'f> {
    /// When it started.
    pub(crate) started: Option<DateTime<Utc>>,
    /// Since when it has been this session's: its start, or when its host took it over. Nothing where nobody tells.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The time of `.heartbeat`; nothing where there is none.
    pub(crate) heartbeat: Option<DateTime<Utc>>,
    /// The tool call that it is in.
    pub(crate) tool: Option<&'f ToolCall>,
    /// In the order of the table.
    pub(crate) claims: &'f [Claim],
    /// When this session was woken last, as far as it is remembered.
    pub(crate) woken: Option<DateTime<Utc>>,
}

/// What is to become of a container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It goes on.
    Fine,
    /// It goes on, since it cannot be judged; why.
    Unknown(&'static str),
    /// It has been silent for longer than any container may be.
    PastCeiling {
        /// How long it has been silent.
        silent: Duration,
        /// How long it may be.
        ceiling: Duration,
    },
    /// It claimed a message and has been silent since.
    ClaimStuck {
        /// The message.
        message: String,
        /// How long ago it was claimed, or the container started where that was later.
        age: Duration,
        /// How long it may be.
        tolerance: Duration,
    },
}

impl Judgement {
    /// Whether the container is to be stopped.
    pub(crate) const fn stops(&self) -> bool {
        matches!(self, Self::PastCeiling { .. } | Self::ClaimStuck { .. })
    }
}

/// Judges a container that runs.
///
/// Unlike nanoclaw 2.0: without a heartbeat the container's own time counts, and neither a heartbeat nor a claim nor a tool
/// call that is older than the container says anything of it. A claim that cannot be dated is passed over.
pub(crate) fn judge(running: Running<'_>, thresholds: &Thresholds, now: DateTime<Utc>) -> Judgement {
    if was_just_woken(running.woken, thresholds, now) {
        return Judgement::Fine;
    }
    let Some(since) = running.since else {
        return Judgement::Unknown("the runtime does not tell since when it runs");
    };
    let heartbeat = running.heartbeat.filter(|heartbeat| *heartbeat >= since);
    let declared = declared_timeout(running.tool, running.started.unwrap_or(since));
    let ceiling = thresholds.ceiling.max(declared);
    let silent = elapsed(heartbeat.unwrap_or(since), now);
    if silent > ceiling {
        return Judgement::PastCeiling { silent, ceiling };
    }
    let tolerance = thresholds.claim_stuck.max(declared);
    let stuck = running.claims.iter().find_map(|claim| {
        let claimed = claim.since?;
        let age = elapsed(claimed.max(since), now);
        let is_stuck = age > tolerance && heartbeat.is_none_or(|heartbeat| heartbeat <= claimed);
        is_stuck.then(|| Judgement::ClaimStuck { message: claim.message.clone(), age, tolerance })
    });
    stuck.unwrap_or(Judgement::Fine)
}

/// Whether a heartbeat is so young that something beats, whatever a container runtime tells: it may be asked in another
/// place than the one in which the agents are.
pub(crate) fn contradicts_death(heartbeat: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    /// An agent that works gives several in this time.
    const YOUNG: Duration = Duration::from_secs(10);
    heartbeat.is_some_and(|heartbeat| elapsed(heartbeat, now) < YOUNG)
}

/// How far a heartbeat lies ahead, where that is more than clocks of machines differ by.
pub(crate) fn ahead_of(heartbeat: DateTime<Utc>, now: DateTime<Utc>) -> Option<Duration> {
    /// Clocks that are kept by NTP differ by less.
    const TOLERANCE: Duration = Duration::from_secs(60);
    (heartbeat - now).to_std().ok().filter(|ahead| *ahead > TOLERANCE)
}

/// Whether a session was woken so recently that what it says is still of the time before.
pub(crate) fn was_just_woken(woken: Option<DateTime<Utc>>, thresholds: &Thresholds, now: DateTime<Utc>) -> bool {
    woken.is_some_and(|woken| woken <= now && elapsed(woken, now) < thresholds.interval)
}

/// The timeout of a Bash call that is this container's own, whichever host it had then. One whose time cannot be read counts:
/// it widens the limits.
fn declared_timeout(tool: Option<&ToolCall>, started: DateTime<Utc>) -> Duration {
    let own = tool.filter(|call| call.updated.is_none_or(|updated| updated >= started));
    let bash = own.filter(|call| call.tool.as_deref() == Some("Bash"));
    bash.and_then(|call| call.timeout).unwrap_or_default()
}

/// From then to now; nothing when that lies ahead.
fn elapsed(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - then).to_std().unwrap_or_default()
}

/// What becomes of a message whose claim nobody works on any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It is to be tried again already, at a time that lies ahead.
    Waits,
    /// It is tried again.
    Again {
        /// How often it will have been tried.
        tries: u32,
        /// Not before.
        at: DateTime<Utc>,
    },
    /// It was tried often enough.
    Fail,
}

/// Decides about a pending message that was tried `tries` times and is not to be touched before `process_after`.
pub(crate) fn retry(
    tries: u32,
    process_after: Option<DateTime<Utc>>,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
) -> Retry {
    if process_after.is_some_and(|after| after > now) {
        return Retry::Waits;
    }
    if tries >= thresholds.tries {
        return Retry::Fail;
    }
    let delay = thresholds.backoff.saturating_mul(2_u32.saturating_pow(tries));
    let at = TimeDelta::from_std(delay).ok().and_then(|delay| now.checked_add_signed(delay));
    at.map_or(Retry::Fail, |at| Retry::Again { tries: tries + 1, at })
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
