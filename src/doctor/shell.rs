//! Words for a shell: what is copied from a remedy does what it says, whatever a path is called.

use std::borrow::Cow;

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for word in ["plain/x.y", "", "a b", "it's", "; reboot", "$(reboot)", "~", "a\nb", "*", "\\", "-n"] {
            let line = format!("printf %s. {}", quoted(word));
            let output = std::process::Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{word}."), "{line}");
        }
        assert_eq!(quoted("plain/x.y"), "plain/x.y");
    }
}
