//! Words for a shell and for a unit file: what is copied from a remedy does what it says, whatever a path is called.

use std::borrow::Cow;

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

/// A path as the list of a unit file has it.
pub(crate) fn quoted_for_unit(path: &str) -> Cow<'_, str> {
    if quoted(path) == path && !path.contains('%') {
        return path.into();
    }
    let escaped = path.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{escaped}\"").into()
}

#[cfg(test)]
mod tests {
    use super::{quoted, quoted_for_unit};

    #[test]
    fn a_path_in_a_unit_file_is_one_word_without_specifiers() {
        for (path, expected) in [("/a/b", "/a/b"), ("/a b", "\"/a b\""), ("/%h\"\\", "\"/%%h\\\"\\\\\"")] {
            assert_eq!(quoted_for_unit(path), expected);
        }
    }

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
