//! What a contender says, and what it should have said: how much there is of each kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::home::Home;

/// How many differences tell enough.
const SHOWN: usize = 3;

/// What a home holds.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Of each kind that there is any of.
    pub(crate) kinds: BTreeMap<String, Amount>,
    /// What is of no kind.
    pub(crate) other: Amount,
    /// How many sessions the CLI deletes itself within a week.
    pub(crate) ending: u64,
    /// The length of what the one link says.
    pub(crate) link: u64,
}

/// How much there is of something.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Amount {
    /// What goes at once: files, folders or sessions.
    pub(crate) items: u64,
    /// All files.
    pub(crate) files: u64,
    /// Their sizes.
    pub(crate) bytes: u64,
    /// The items that are past their retention.
    pub(crate) overdue: u64,
}

impl Content {
    /// All of it together.
    pub(crate) fn total(&self) -> Amount {
        let all = self.kinds.values().chain([&self.other]);
        all.fold(Amount::default(), |sum, one| Amount {
            files: sum.files + one.files,
            bytes: sum.bytes + one.bytes,
            ..sum
        })
    }
}

/// How an answer is written down.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// The tool's JSON.
    Document,
    /// `FILES BYTES …`.
    Sums,
    /// `KIBIBYTES …`, rounded up. Versions of `du` differ in whether folders have a size.
    Kibibytes,
}

impl Form {
    /// What differs from what is there, the first of it.
    pub(crate) fn differences(self, given: &[u8], home: &Home) -> Vec<String> {
        let total = home.content.total();
        let text = str::from_utf8(given).unwrap_or_default();
        let numbers: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        match self {
            Self::Document => in_document(given, &home.content),
            Self::Sums if numbers.starts_with(&[total.files, total.bytes]) => Vec::new(),
            Self::Kibibytes if numbers.first().is_some_and(|given| kibibytes(home).contains(given)) => Vec::new(),
            Self::Sums | Self::Kibibytes => vec![format!("{numbers:?}, where there are {total:?}")],
        }
    }
}

/// What `du` may say: files and link, without folders and with them.
fn kibibytes(home: &Home) -> [u64; 2] {
    let bytes = home.content.total().bytes + home.content.link;
    [bytes, bytes + home.folder_bytes].map(|bytes| bytes.div_ceil(1024))
}

#[derive(Default, Deserialize)]
struct Document {
    homes: Vec<Told>,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Told {
    kinds: Vec<Row>,
    other: Amount,
    total: Amount,
    own_cleanup: Cleanup,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    #[serde(flatten)]
    amount: Amount,
}

#[derive(Deserialize)]
struct Cleanup {
    sessions_within_7_days: u64,
}

fn in_document(given: &[u8], content: &Content) -> Vec<String> {
    let document: Document = serde_json::from_slice(given).unwrap_or_default();
    let [told] = &document.homes[..] else { return vec![format!("{} homes", document.homes.len())] };
    let mut found = document.problems;
    let mut compare = |what: &str, given: Amount, right: Amount| {
        found.extend((given != right).then(|| format!("{what}: {given:?} instead of {right:?}")));
    };
    compare("other", told.other, content.other);
    compare("total", told.total, content.total());
    let kinds: BTreeMap<&str, Amount> = told.kinds.iter().map(|row| (&row.kind[..], row.amount)).collect();
    for (kind, right) in &content.kinds {
        compare(kind, kinds.get(&kind[..]).copied().unwrap_or_default(), *right);
    }
    for (kind, given) in kinds.into_iter().filter(|(kind, _)| !content.kinds.contains_key(*kind)) {
        compare(kind, given, Amount::default());
    }
    let ending = told.own_cleanup.sessions_within_7_days;
    found.extend((ending != content.ending).then(|| format!("{ending} sessions will end, not {}", content.ending)));
    found.truncate(SHOWN);
    found
}
