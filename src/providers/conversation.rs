//! Whether a chat file of Gemini CLI holds a conversation.
//!
//! A resumed session leaves a second file with the same eight characters in its name and no message of its own in it,
//! and a window that nobody typed into leaves such a file too.

use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::de::IoRead;

use super::transcript::{CHUNK, Records, is_one_document, open_regular, parse};

/// Whether somebody spoke in this session: a record of a user or the model, or a document with such a message.
/// What `$set` puts in counts only with a reply of the model, because the CLI itself sets a first message there.
///
/// # Errors
/// The file cannot be opened or read.
pub(crate) fn holds_messages(path: &Path) -> Result<bool> {
    holds(path).with_context(|| format!("could not read {}", path.display()))
}

fn holds(path: &Path) -> std::io::Result<bool> {
    let (file, _) = open_regular(path)?;
    if is_one_document(&file)? {
        match document(&file) {
            Ok(record) => return Ok(record.holds_messages()),
            Err(error) if error.is_io() => return Err(error.into()),
            Err(_) => std::io::Seek::rewind(&mut &file)?,
        }
    }
    let mut records = Records::new(file);
    while let Some(record) = records.next(PhantomData::<Record>)? {
        if record.is_ok_and(|record| record.holds_messages()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn document(file: &File) -> serde_json::Result<Record> {
    parse(IoRead::new(BufReader::with_capacity(CHUNK, file)), PhantomData)
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "type")]
    speaker: Option<Speaker>,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(rename = "$set")]
    set: Option<Set>,
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    speaker: Option<Speaker>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Gemini,
    #[serde(other)]
    Other,
}

impl Record {
    fn holds_messages(&self) -> bool {
        let spoken = |speaker| matches!(speaker, Some(Speaker::User | Speaker::Gemini));
        let replied = |message: &Message| message.speaker == Some(Speaker::Gemini);
        spoken(self.speaker)
            || self.messages.iter().any(|message| spoken(message.speaker))
            || self.set.as_ref().is_some_and(|set| set.messages.iter().any(replied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(content: &str) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), content.as_bytes()).unwrap();
        holds_messages(file.path()).unwrap()
    }

    const HEADER: &str = "{\"sessionId\":\"a\",\"projectHash\":\"b\",\"kind\":\"main\"}\n\
                          {\"$set\":{\"messages\":[{\"id\":\"c\",\"type\":\"user\",\"content\":[{\"text\":\"<session_context>\"}]}]}}\n";

    #[test]
    fn a_stub_holds_no_conversation() {
        assert!(!holds(""));
        assert!(!holds(HEADER));
        assert!(!holds(&format!("{HEADER}{{\"id\":\"d\",\"type\":\"info\"}}\n{{\"type\":\"us")));
        assert!(!holds("{\n  \"sessionId\": \"a\",\n  \"messages\": []\n}"));
        assert!(!holds("{\n  \"sessionId\": \"a\",\n  \"messages\": [{\"type\":\"info\"}]\n}"));
    }

    #[test]
    fn a_word_of_the_user_or_the_model_is_a_conversation() {
        assert!(holds(&format!("{HEADER}text\n{{\"id\":\"d\",\"type\":\"user\",\"content\":[]}}\n")));
        assert!(holds(&format!(
            "{HEADER}{{\"$set\":{{\"messages\":[{{\"type\":\"user\"}},{{\"type\":\"gemini\"}}]}}}}"
        )));
        assert!(holds("{\n  \"sessionId\": \"a\",\n  \"messages\": [{\"type\":\"user\"}]\n}"));
        assert!(holds("{\"sessionId\":\"a\",\"messages\":[{\"type\":\"gemini\"}]}"));
        assert!(holds("{\"cut\":\"o\n{\"type\":\"user\"}\n"));
    }
}
