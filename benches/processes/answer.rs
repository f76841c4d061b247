//! The right answer: who was left behind, of which CLIs that cannot be told, and which have a parent that lives.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::crowd::Crowd;
use crate::stand_in::Role;

/// What a scan's document says of the crowd's processes that is not so.
pub(crate) fn differences(document: &[u8], crowd: &Crowd) -> Vec<String> {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let Some(processes) = document["processes"].as_array() else { return vec!["it is no document".to_owned()] };
    let mut found = Vec::new();
    // Whatever is in a service is the service's.
    let (left, adrift) = if is_in_service() { ("owned", "owned") } else { ("orphaned", "unknown") };
    for (role, verdict) in [(Role::Left, left), (Role::Adrift, adrift), (Role::Cli, "owned")] {
        let of_role = processes.iter().filter(|item| item["verdict"] == verdict).filter_map(pid);
        let said: BTreeSet<u32> = of_role.filter(|pid| crowd.role(*pid) == Some(role)).collect();
        let missing = crowd.with_role(role).filter(|pid| !said.contains(pid)).count();
        if missing > 0 {
            found.push(format!("it has {missing} of {role:?} not as {verdict}"));
        }
    }
    let others = processes.iter().filter_map(pid).filter_map(|pid| crowd.role(pid));
    let others = others.filter(|role| !matches!(role, Role::Left | Role::Adrift | Role::Cli)).count();
    if others > 0 {
        found.push(format!("it nominates {others} others"));
    }
    found
}

fn pid(item: &Value) -> Option<u32> {
    item["pid"].as_u64().and_then(|pid| pid.try_into().ok())
}

fn is_in_service() -> bool {
    std::fs::read_to_string("/proc/self/cgroup").is_ok_and(|groups| groups.contains(".service"))
}
