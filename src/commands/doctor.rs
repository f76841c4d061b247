//! `session-sweep doctor`: what is wrong with this installation, and what to do about it; read-only.

use anstream::ColorChoice;
use anyhow::Result;

use super::doctor_facts::gather;
use crate::config::Environment;
use crate::context::Given;
use crate::doctor::{Status, examine};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::output::doctor::DoctorView;

pub(super) fn run(given: &Given, environment: Environment) -> Result<ExitStatus> {
    let facts = gather(given, environment);
    let findings = examine(&facts);
    let color = facts.color.unwrap_or(ColorChoice::Auto);
    let view = DoctorView { now: facts.now, user: &facts.login.name, findings: &findings };
    let output = Output::new(given.json, given.quiet, given.verbose, color);
    output.show(&view)?;
    let bad = findings.iter().filter(|(_, finding)| matches!(finding.status, Status::Wrong | Status::Unknown));
    let bad: Vec<String> = bad.map(|(check, finding)| format!("{}: {}", check.id, finding.message)).collect();
    super::tell_when_quiet(output, bad.iter());
    let has = |status| findings.iter().any(|(_, finding)| finding.status == status);
    Ok(if has(Status::Wrong) {
        ExitStatus::Failed
    } else if has(Status::Unknown) {
        ExitStatus::Partial
    } else {
        ExitStatus::Done
    })
}
