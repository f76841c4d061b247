//! The user whom this run works for.

use std::ffi::OsString;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) id: u32,
    /// The id as text where no name is known.
    pub(crate) name: String,
}

impl Login {
    /// The user of this process. The password file comes first: variables stay behind when the user changes.
    pub(super) fn of_process(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let id = rustix::process::geteuid().as_raw();
        let known = fs_err::read_to_string("/etc/passwd").ok().and_then(|text| name_in(&text, id));
        let told = || ["LOGNAME", "USER"].into_iter().find_map(variable)?.into_string().ok();
        Self { id, name: known.or_else(told).unwrap_or_else(|| id.to_string()) }
    }

    pub(crate) const fn is_root(&self) -> bool {
        self.id == 0
    }

    /// Whether `user`, a name or a number, is this one.
    pub(crate) fn is(&self, user: &str) -> bool {
        user == self.name || user.parse() == Ok(self.id)
    }
}

fn name_in(passwords: &str, id: u32) -> Option<String> {
    let mut users = passwords.lines().map(|line| line.split(':'));
    users.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_name_and_by_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\n#\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(name_in(text, 1000).as_deref(), Some("anna"));
        assert_eq!(name_in(text, 1001), None);
        let anna = Login { id: 1000, name: "anna".to_owned() };
        assert!(anna.is("anna") && anna.is("1000") && !anna.is("bert") && !anna.is("0") && !anna.is_root());
    }
}
