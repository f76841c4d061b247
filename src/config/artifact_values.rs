//! What the values of `artifacts.*` must look like: a text in, the value or what is wrong with it out.

use std::path::PathBuf;

/// How many transcripts of a project stay.
pub(super) fn keep_last(text: &str) -> Result<usize, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_number && (1..=100_000).contains(number));
    number.ok_or_else(|| "not a whole number from 1 to 100000".to_owned())
}

/// Folders that are the same from wherever this is started.
pub(super) fn root_folders(list: Vec<String>) -> Result<Vec<PathBuf>, String> {
    let wrong = |folder: &&String| !folder.starts_with('/') || folder.contains(char::is_control);
    match list.iter().find(wrong) {
        Some(folder) => Err(format!("{folder:?} is no absolute path")),
        None => Ok(list.into_iter().map(PathBuf::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_transcript_stays() {
        assert_eq!((keep_last("1"), keep_last("100000")), (Ok(1), Ok(100_000)));
        for text in ["0", "-1", "100001", "", "x", "1.5", "+2"] {
            assert!(keep_last(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roots_are_absolute() {
        let check = |folders: &[&str]| root_folders(folders.iter().map(ToString::to_string).collect());
        assert_eq!(check(&["/a", "/b c"]).unwrap(), [PathBuf::from("/a"), PathBuf::from("/b c")]);
        for folder in ["a", "~/a", "./a", "/a\nb"] {
            assert!(check(&[folder]).is_err(), "{folder}");
        }
    }
}
