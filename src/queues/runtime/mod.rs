//! Asks the container runtimes of this machine which containers there are, and stops one.
//!
//! A listing is complete or an error: where a runtime that may have containers does not answer, nobody knows which sessions
//! live. A container is found and stopped by its id alone, and is gone when a listing shows that it is. Nothing is removed.

mod apple;
mod container;
mod docker;
mod engine;
mod workspace;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

pub(crate) use container::Container;
#[cfg(test)]
pub(crate) use container::State;
pub(crate) use engine::Stopped;
use engine::{Dialect, Engine, Limits};

use crate::policy::choices::RuntimeChoice;
use crate::programs::Programs;

/// The runtimes that are known, in the order in which they are asked.
const KNOWN: [&str; 3] = ["docker", "podman", "container"];
/// What to do where a runtime is installed that nobody uses.
const REMEDY: &str = "name the one that is used in queues.runtime";

/// The container runtimes that are asked.
#[derive(Debug)]
pub(crate) struct Runtimes {
    engines: Vec<Engine>,
    /// Why there are none.
    missing: String,
    /// What to do when one does not answer.
    remedy: Option<&'static str>,
}

impl Runtimes {
    /// Finds the programs that are `choice` in `path`, the value of `PATH`. Asks none of them.
    pub(crate) fn find(choice: &RuntimeChoice, path: &OsStr) -> Self {
        let programs = Programs { path: path.to_owned(), variables: Vec::new() };
        let engine = |name: &str| {
            let path = if Path::new(name).is_absolute() { Some(name.into()) } else { programs.find(name) };
            Some(Engine { name: name.to_owned(), path: path?, dialect: dialect(name)?, limits: Limits::default() })
        };
        match choice {
            RuntimeChoice::Auto => Self {
                engines: KNOWN.into_iter().filter_map(engine).collect(),
                missing: format!("docker, podman and container are all not in PATH: {REMEDY}, by its path"),
                remedy: Some(REMEDY),
            },
            RuntimeChoice::Named(name) => Self {
                engines: engine(name).into_iter().collect(),
                missing: format!("there is no container runtime {name}, which queues.runtime names"),
                remedy: None,
            },
        }
    }

    /// What they are called.
    pub(crate) fn names(&self) -> Vec<String> {
        self.engines.iter().map(|engine| engine.name.clone()).collect()
    }

    /// One that has each user's containers apart: another user's run would see none of theirs.
    pub(crate) fn of_each_user(&self) -> Option<&str> {
        self.engines.iter().find(|engine| engine.is_of_each_user()).map(|engine| &*engine.name)
    }

    /// All containers of all of them. Err: why it cannot be told which there are, and what to do.
    pub(crate) fn list(&self) -> Result<Vec<Container>, String> {
        if self.engines.is_empty() {
            return Err(self.missing.clone());
        }
        let mut containers = Vec::new();
        for engine in &self.engines {
            let remedy = self.remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            let failed = |why| format!("the container runtime {} does not answer: {why}{remedy}", engine.name);
            containers.extend(engine.list(None).map_err(failed)?);
        }
        // What is called docker may be podman, and tells of the same ones.
        let mut seen = HashSet::new();
        containers.retain(|container: &Container| seen.insert(container.id.clone()));
        Ok(containers)
    }

    /// Stops a container, and looks whether it is gone.
    pub(crate) fn stop(&self, container: &Container) -> Stopped {
        match self.engines.iter().find(|engine| engine.name == container.runtime) {
            Some(engine) => engine.stop(&container.id),
            None => Stopped::Unknown(format!("{} is not asked any more", container.runtime)),
        }
    }
}

/// How the program of this name or absolute path is spoken to.
fn dialect(program: &str) -> Option<Dialect> {
    let path = Path::new(program);
    if path.is_absolute() { Dialect::of(path.file_name()?.to_str()?) } else { Dialect::of(program) }
}

#[cfg(test)]
mod real_engine;
#[cfg(test)]
mod tests;
