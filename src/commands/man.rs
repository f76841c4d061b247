//! `session-sweep man`: pages for every command, from the same definitions as the help.

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::UsageError;
use super::cli::{Cli, Man};
use crate::exit::ExitStatus;
use crate::filesystem::write_own;

pub(super) fn run(arguments: &Man) -> Result<ExitStatus> {
    let mut command = Cli::command();
    command.build();
    if let Some(folder) = &arguments.out {
        fs_err::create_dir_all(folder)?;
        for (name, page) in pages(&command, "session-sweep")? {
            let path = folder.join(format!("{name}.1"));
            write_own(&path, &[&page], 0o644).with_context(|| format!("cannot write the page of {name}"))?;
        }
        return Ok(ExitStatus::Done);
    }
    let name = std::iter::once("session-sweep").chain(arguments.page.iter().map(String::as_str)).collect::<Vec<_>>();
    let name = name.join("-");
    let Some((_, page)) = pages(&command, "session-sweep")?.into_iter().find(|(known, _)| *known == name) else {
        return Err(UsageError(format!("there is no command `{}`", arguments.page.join(" "))).into());
    };
    crate::output::write_all(&page)?;
    Ok(ExitStatus::Done)
}

/// Name and text of the page of `command` and of all below it.
fn pages(command: &clap::Command, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut page = Vec::new();
    // clap keeps names for ever; the pages are few and the process ends with them.
    let titled = command.clone().name(name.to_owned()).bin_name(name.replace('-', " ").replacen(
        "session sweep",
        "session-sweep",
        1,
    ));
    clap_mangen::Man::new(titled).render(&mut page)?;
    let mut all = vec![(name.to_owned(), page)];
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        all.extend(pages(below, &format!("{name}-{}", below.get_name()))?);
    }
    Ok(all)
}
