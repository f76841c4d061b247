//! What a command needs to know of the world: built once per run, from flags, environment and files.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{self, Config, Dirs, Environment, Override, Problems};
use crate::filesystem::LockPolicy;
use crate::output::Output;
use crate::providers::{Catalogue, Located, builtin};
use crate::registry::Registry;
use crate::session_map::{FLAT_MODEL, SessionMap};

/// What a map is called in its folder.
pub(crate) const MAP_NAME: &str = "session_map.json";

/// One run's view of the world. Nothing below `commands` and `sweep` sees the whole of it.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) dirs: Dirs,
    pub(crate) environment: Environment,
    /// The run's one instant.
    pub(crate) now: DateTime<Utc>,
    /// When the run really began, whatever instant it rehearses.
    pub(crate) started: DateTime<Utc>,
    pub(crate) catalogue: Catalogue,
    pub(crate) output: Output,
}

/// What the command line says to every command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) overrides: Vec<Override>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    /// As given on the command line, for what starts a command line of its own.
    pub(crate) color: Option<&'static str>,
}

impl Context {
    /// Resolves settings and homes.
    ///
    /// # Errors
    /// Everything that is wrong with configuration or environment.
    pub(crate) fn new(given: &Given, environment: Environment) -> Result<Self, Problems> {
        let dirs = Dirs::find(&environment)?;
        let named = given.config_file.as_deref();
        let config = config::load(&dirs, &environment, named, &given.overrides, builtin::rows())?;
        Ok(Self::with(config, dirs, environment, given))
    }

    /// Puts a context together from what is known already.
    pub(crate) fn with(config: Config, dirs: Dirs, environment: Environment, given: &Given) -> Self {
        let rows = config.settings.providers.iter();
        let homes = rows.map(|row| Located {
            provider: row.clone(),
            home: dirs.provider_home(&row.home, &environment),
            live_home: dirs.provider_home(row.live_home.as_ref().unwrap_or(&row.home), &environment),
        });
        let homes = homes.collect();
        let output = Output::new(given.json, given.quiet, given.verbose, config.settings.color);
        let started = clock();
        Self {
            now: given.at.unwrap_or(started),
            started,
            catalogue: Catalogue::new(homes),
            config,
            dirs,
            environment,
            output,
        }
    }

    /// The session map that flags and settings name.
    pub(crate) fn map(&self, named: Option<PathBuf>) -> SessionMap {
        SessionMap::at(named.unwrap_or_else(|| self.config.settings.map_dir.join(MAP_NAME)))
    }

    /// How to take the map's lock for `program`.
    pub(crate) fn lock<'a>(&self, program: &'a str) -> LockPolicy<'a> {
        self.lock_waiting(self.config.settings.wait, program)
    }

    /// The registry that flags and settings name.
    pub(crate) fn registry(&self) -> Registry {
        Registry::at(self.config.settings.registry.base.clone())
    }

    /// How to take the registry's lock for `program`.
    pub(crate) fn registry_lock<'a>(&self, program: &'a str) -> LockPolicy<'a> {
        self.lock_waiting(self.config.settings.registry.wait, program)
    }

    fn lock_waiting<'a>(&self, wait: Duration, program: &'a str) -> LockPolicy<'a> {
        LockPolicy {
            wait: (!wait.is_zero()).then_some(wait),
            program,
            // Whoever finds the lock taken is told since when, by everybody's clock.
            now: self.started,
            on_wait: |holder| match holder {
                Some(holder) => log::warn!("waiting for {holder}"),
                None => log::warn!("waiting for another run"),
            },
            in_an_item: false,
        }
    }

    /// Whether this model is of the provider whose chats flat maps of plain ids hold.
    pub(crate) fn is_of_flat_provider(&self, model: &str) -> bool {
        self.catalogue.claiming(model) == self.catalogue.claiming(FLAT_MODEL)
    }

    /// Whether a known provider claims this model.
    pub(crate) fn is_model(&self, name: &str) -> bool {
        self.catalogue.claiming(name).is_some()
    }
}

/// The one place that asks the clock.
#[expect(clippy::disallowed_methods, reason = "the run's instant is taken here, once")]
pub(crate) fn clock() -> DateTime<Utc> {
    Utc::now()
}
