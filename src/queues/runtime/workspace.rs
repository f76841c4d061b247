//! Which folder of this machine is at `/workspace`.

use std::path::{Component, Path, PathBuf};

/// Where a session's agent has the session's folder.
pub(super) const WORKSPACE: &str = "/workspace";
/// Where the virtual machine of Docker Desktop has this machine's folders.
const ABROAD: [&str; 2] = ["/run/desktop/mnt/host", "/host_mnt"];

/// A mount's source as a path of this machine without links, as far as it exists; what makes no sense here stays as it is.
pub(super) fn resolve(source: &str) -> PathBuf {
    let source = Path::new(source);
    if !source.is_absolute() {
        return source.to_owned();
    }
    if let Ok(real) = source.canonicalize() {
        return real;
    }
    let here = ABROAD.iter().find_map(|prefix| Some(Path::new("/").join(source.strip_prefix(prefix).ok()?)));
    let source = here.as_deref().unwrap_or(source);
    // The folder of a session may be gone while its container is not.
    let real = source.ancestors().find_map(|folder| {
        let rest = source.strip_prefix(folder).ok()?;
        let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
        is_plain
            .then(|| folder.canonicalize().ok())
            .flatten()
            .map(|real| if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    real.unwrap_or_else(|| source.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_far_as_the_folders_exist() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs_err::create_dir_all(real.join("root/data")).unwrap();
        symlink(real.join("root"), real.join("link")).unwrap();
        let of = |path: PathBuf| resolve(path.to_str().unwrap());
        assert_eq!(of(real.join("link/data")), real.join("root/data"));
        assert_eq!(of(real.join("link/data/gone/session")), real.join("root/data/gone/session"));
        // What a folder that is not there has above it, nobody knows.
        let odd = real.join("link/gone/../data");
        assert_eq!(of(odd.clone()).into_os_string(), odd.into_os_string());
    }

    #[test]
    fn the_virtual_machine_of_docker_desktop_has_this_machines_folders_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        for prefix in ["/host_mnt", "/run/desktop/mnt/host"] {
            assert_eq!(resolve(&format!("{prefix}{}", real.display())), real);
            assert_eq!(resolve(&format!("{prefix}{}/gone", real.display())), real.join("gone"));
        }
    }

    #[test]
    fn a_volumes_name_is_no_path() {
        // Tests are run in the package's folder, which has one of this name.
        assert!(Path::new("src").exists());
        assert_eq!(resolve("src"), Path::new("src"));
    }
}
