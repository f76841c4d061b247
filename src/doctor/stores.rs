//! Whether the CLIs' stores are where a timer looks for them, too.

use super::{Facts, Finding};

/// One provider's home.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) provider: String,
    /// Where this environment says that it is, shortened.
    pub(crate) home: String,
    /// Whether it is there, or why that is not known.
    pub(crate) present: Result<bool, String>,
    /// The variable that says so, where the home is another one without it, shortened.
    pub(crate) moved_from: Option<(String, String)>,
}

pub(super) fn stores(facts: &Facts) -> Finding {
    let Some(stores) = &facts.stores else { return Finding::without_settings() };
    for store in stores {
        if let Err(why) = &store.present {
            let message = format!("the {} store {} cannot be read: {why}", store.provider, store.home);
            return Finding::wrong(message, "run as the user who runs the CLIs");
        }
    }
    let present: Vec<&Store> = stores.iter().filter(|store| store.present == Ok(true)).collect();
    for store in &present {
        if let Some((variable, without)) = &store.moved_from {
            let message = format!(
                "{} is in {} by {variable}, which timers and cron do not see: they look in {without}",
                store.provider, store.home
            );
            let [name, home] = [&store.provider, &store.home].map(|text| toml::Value::String(text.clone()));
            let lines = format!("`[[provider]]`, `name = {name}` and `home = {home}`");
            return Finding::warning(message, format!("add three lines to the configuration: {lines}"));
        }
    }
    if present.is_empty() {
        return Finding::warning("no folder of any known CLI is there", "run as the user who runs the CLIs");
    }
    let names: Vec<&str> = present.iter().map(|store| store.provider.as_str()).collect();
    Finding::ok(names.join(", "))
}
