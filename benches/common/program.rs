//! The programs that run: where they are, and the environment they see.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// This program as [`installed`].
static OWN_COPY: OnceLock<PathBuf> = OnceLock::new();

/// A copy of a program, as an installation makes one. What the linker leaves lies in the page cache in small pieces, and
/// starting it costs a tenth of a millisecond more.
pub(crate) fn installed(program: &Path, scratch: &Path) -> PathBuf {
    let copy = scratch.join("bin").join(program.file_name().expect("a program's path has a name"));
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    // Removed first: a file that runs cannot be written.
    let _ = fs::remove_file(&copy);
    fs::copy(program, &copy).unwrap();
    copy
}

/// Installs this program too, for its hidden roles.
pub(crate) fn install_own(scratch: &Path) {
    OWN_COPY.get_or_init(|| installed(&own_path(), scratch));
}

/// This program in one of its hidden roles.
pub(crate) fn hidden(role: &str) -> Command {
    let mut command = Command::new(OWN_COPY.get().cloned().unwrap_or_else(own_path));
    command.arg(format!("__{role}"));
    command
}

fn own_path() -> PathBuf {
    std::env::current_exe().expect("the benchmark's own path")
}

/// The words that start this program in a hidden role.
pub(crate) fn own(role: &str, rest: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = hidden(role);
    let start = [command.get_program().to_owned()].into_iter().chain(command.get_args().map(OsString::from));
    start.chain(rest).collect()
}

/// The first of these programs that is installed.
pub(crate) fn on_path(names: &[&str]) -> Option<OsString> {
    let path = std::env::var_os("PATH")?;
    let found = names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    found.into_iter().find(|program| program.is_file()).map(PathBuf::into_os_string)
}

/// Nothing of the person who runs this: neither their homes nor their settings.
pub(crate) fn set_environment(command: &mut Command, home: &Path, state: &Path) {
    command.env_clear().env("HOME", home).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    for (variable, folder) in [
        ("XDG_STATE_HOME", "state"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "data"),
    ] {
        command.env(variable, state.join(folder));
    }
}
