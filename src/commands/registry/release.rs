//! `session-sweep registry release`: end one session now.

use anyhow::Result;

use super::arguments::Release;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::registry::SessionView;
use crate::registry::RegistryError;

pub(super) fn run(context: &Context, arguments: &Release) -> Result<ExitStatus> {
    let number = arguments.number;
    let registry = context.registry();
    let held = registry.lock(context.registry_lock("session-sweep registry release"))?;
    let mut session = None;
    let changed = held.update(|roster| {
        let Some(known) = roster.find(number) else {
            return Err(RegistryError::Refused(format!(
                "there is no session {number} in {}; `session-sweep registry list --all` shows all",
                registry.path().display()
            )));
        };
        let text = |field| known.text(field).map(std::borrow::Cow::into_owned);
        session = Some((known.id().into_owned(), text("role"), text("goal"), text("terminal")));
        Ok((!known.is_inactive()).then(|| roster.ended(&[number], context.now)))
    })?;
    held.forget(number)?;
    held.note_released(number)?;
    let Some((session_id, role, goal, terminal)) = session else { return Ok(ExitStatus::Failed) };
    context.output.show(&SessionView {
        command: "registry release",
        number,
        session_id,
        role: role.unwrap_or_default(),
        goal: goal.unwrap_or_default(),
        status: "inactive".to_owned(),
        terminal,
        beat: None,
        changed,
        said: format!("session {number} {}", if changed { "has ended" } else { "had ended before" }),
    })?;
    Ok(ExitStatus::Done)
}
