//! The CLI that a process was started by.

use super::candidates::Programs;
use crate::filesystem::proc::{Proc, Stat};
use crate::providers::Catalogue;

/// Nobody's family tree is deeper.
const MOST_ANCESTORS: usize = 64;

/// The nearest of a process's ancestors that is a CLI, and the provider's name.
pub(crate) fn nearest_cli(proc: &Proc, catalogue: &Catalogue, pid: u32) -> Option<(Stat, String)> {
    let programs = Programs::new(proc, catalogue);
    let look = |pid: u32| proc.stat(pid).ok().flatten();
    let ancestors = std::iter::successors(look(pid), |process| look(process.parent)).skip(1).take(MOST_ANCESTORS);
    ancestors.into_iter().find_map(|process| Some((process, provider_of(&process, &programs, catalogue)?)))
}

fn provider_of(process: &Stat, programs: &Programs<'_>, catalogue: &Catalogue) -> Option<String> {
    Some(catalogue.at(programs.cli(process)?.provider).provider.name.clone())
}
