//! What a hardened service may do.

use std::path::{Path, PathBuf};

/// What of the file system a hardened service sees and may write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// `ProtectSystem=strict`: nothing may be written…
    pub(crate) is_strict: bool,
    /// `ProtectHome=`: homes are read-only, or are not there.
    pub(crate) protects_homes: bool,
    /// `PrivateTmp=`: /tmp is another one.
    pub(crate) has_own_tmp: bool,
    /// …but these.
    pub(crate) writable: Vec<PathBuf>,
    /// `RestrictAddressFamilies=` or `PrivateNetwork=`: no program of this machine can be reached over its network.
    pub(crate) has_no_network: bool,
}

impl Reach {
    /// Why a run of the service cannot write below `folder`, if so.
    pub(crate) fn objection(&self, folder: &Path) -> Option<&'static str> {
        let is_below = |parents: &[&str]| parents.iter().any(|parent| folder.starts_with(parent));
        if self.writable.iter().any(|path| folder.starts_with(path)) {
            None
        } else if self.has_own_tmp && is_below(&["/tmp", "/var/tmp"]) {
            Some("the service has a /tmp of its own (PrivateTmp)")
        } else if self.is_strict && !is_below(&["/dev", "/proc", "/sys"]) {
            Some("the service may write only below its ReadWritePaths")
        } else if self.protects_homes && is_below(&["/home", "/root", "/run/user"]) {
            Some("the service may not write in homes (ProtectHome)")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hardened_service_may_write_is_known() {
        let strict = Reach { is_strict: true, writable: vec!["/srv/bridge".into()], ..Reach::default() };
        assert_eq!(strict.objection(Path::new("/srv/bridge")), None);
        assert_eq!(strict.objection(Path::new("/srv/bridge/below")), None);
        assert!(strict.objection(Path::new("/srv/bridge2")).is_some());
        assert_eq!(strict.objection(Path::new("/dev/shm/x")), None);
        let homes = Reach { protects_homes: true, ..Reach::default() };
        assert!(homes.objection(Path::new("/home/anna/bridge")).is_some_and(|why| why.contains("ProtectHome")));
        assert_eq!(homes.objection(Path::new("/srv/bridge")), None);
        let tmp = Reach { has_own_tmp: true, ..Reach::default() };
        assert!(tmp.objection(Path::new("/tmp/claude_sessions")).is_some_and(|why| why.contains("PrivateTmp")));
        let bound = Reach { has_own_tmp: true, writable: vec!["/tmp/claude_sessions".into()], ..Reach::default() };
        assert_eq!(bound.objection(Path::new("/tmp/claude_sessions")), None);
        assert_eq!(Reach::default().objection(Path::new("/tmp/x")), None);
    }
}
