//! The machine's clock and our own folder.

use chrono::{DateTime, Utc};

use super::{Facts, Finding};
use crate::filesystem::FolderObjection;
use crate::policy::mapping::FUTURE_TOLERANCE;
use crate::policy::shell::{quoted, quoted_for_unit};
use crate::policy::timestamp::Timestamp;

/// 2026-01-01: before this program was written.
const EARLIEST: i64 = 1_767_225_600;

pub(super) fn clock(facts: &Facts) -> Finding {
    let remedy = "set the clock: sudo timedatectl set-ntp true";
    let now = Timestamp(facts.now);
    if facts.now < DateTime::<Utc>::from_timestamp(EARLIEST, 0).unwrap_or_default() {
        return Finding::wrong(format!("{now} cannot be true: this program is younger"), remedy);
    }
    let newest = facts.runs().iter().map(|run| run.at).max();
    if let Some(newest) = newest.filter(|newest| *newest - facts.now > FUTURE_TOLERANCE) {
        let message = format!("it is {now}, and the newest run in the log began {}", Timestamp(newest));
        return Finding::wrong(message, remedy);
    }
    match facts.is_synchronized {
        Some(false) => Finding::warning(format!("{now}; it is not synchronized over the network"), remedy),
        Some(true) => Finding::ok(format!("{now}, synchronized")),
        None => Finding::ok(now.to_string()),
    }
}

pub(super) fn state_folder(facts: &Facts) -> Finding {
    let Some((path, objection)) = &facts.state else {
        return Finding::unknown("its place is not known without HOME", "set HOME");
    };
    let shown = path.display();
    match objection {
        Err(why) => return Finding::unknown(why, "see who owns the folders above it"),
        Ok(Some(why)) => {
            let remedy = match why {
                FolderObjection::WritableByOthers(_) => format!("chmod 700 {}", quoted(&path.to_string_lossy())),
                FolderObjection::BelongsTo { user, .. } => {
                    format!("run as that user: sudo -u '#{user}' session-sweep …")
                }
                FolderObjection::Symlink | FolderObjection::NoFolder => {
                    format!("put {shown} aside; the next run makes it anew")
                }
            };
            return Finding::wrong(format!("{shown} {why}"), remedy);
        }
        Ok(None) => {}
    }
    for schedule in facts.schedules() {
        if let Some(why) = schedule.reach.objection(path) {
            let unit = schedule.place.replace(".timer", ".service");
            let writable = format!("-{}", path.display());
            let writable = quoted_for_unit(&writable);
            let remedy = format!("./install.sh, or a drop-in for {unit} with ReadWritePaths={writable}");
            return Finding::warning(format!("{unit} keeps no log: it cannot write {shown}: {why}"), remedy);
        }
    }
    Finding::ok(shown.to_string())
}
