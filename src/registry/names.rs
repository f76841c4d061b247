//! Which session a heartbeat's file belongs to, by its name alone.
//!
//! `2025-11-16_23-22-40-session-8.json`: a stamp (local time in the wild, UTC from some writers, so never used as a time), then
//! the id. An id belongs to a session only as a whole: `x-session-2` is not `session-2`.

use rustc_hash::FxHashMap;

use super::roster::Roster;

/// `2025-11-16_23-22-40`, with `0` for any digit.
const STAMP: &[u8] = b"0000-00-00_00-00-00";
const ENDING: &[u8] = b".json";

/// Every id under which heartbeats of a registry's sessions may be filed.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    places: FxHashMap<Vec<u8>, u32>,
    /// By place: the sessions, as places in the roster. Mostly one; where two sessions claim an id, it counts for both.
    owners: Vec<Vec<u32>>,
}

impl KnownIds {
    /// Each session's `session-<number>` and its `session_id`.
    pub(super) fn of(roster: &Roster<'_>) -> Self {
        let mut known = Self::default();
        for (session, index) in roster.sessions.iter().zip(0..) {
            known.add(session.number.default_id().into_bytes(), index);
            known.add(session.id().as_bytes().to_vec(), index);
        }
        known
    }

    fn add(&mut self, id: Vec<u8>, session: u32) {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.owners.push(Vec::new());
            self.owners.len() as u32 - 1
        });
        let owners = &mut self.owners[place as usize];
        if !owners.contains(&session) {
            owners.push(session);
        }
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The sessions that an id belongs to.
    pub(super) fn owners(&self, id: u32) -> &[u32] {
        &self.owners[id as usize]
    }

    /// The id in a file's name, the longest known one: the whole of it, else what follows the stamp.
    pub(super) fn id_in(&self, name: &[u8]) -> Option<u32> {
        let stem = name.strip_suffix(ENDING)?;
        self.places.get(stem).or_else(|| self.places.get(after_stamp(stem)?)).copied()
    }
}

/// Whether a file looks like a heartbeat of anybody.
pub(super) fn is_beat(name: &[u8]) -> bool {
    name.ends_with(ENDING) && !name.starts_with(b".")
}

/// What follows the stamp, and the fraction of a second that may follow it.
fn after_stamp(stem: &[u8]) -> Option<&[u8]> {
    let (stamp, mut rest) = stem.split_at_checked(STAMP.len())?;
    let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if !stamp.iter().zip(STAMP).all(fits) {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = &fraction[fraction.iter().take_while(|byte| byte.is_ascii_digit()).count()..];
    }
    rest.strip_prefix(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_belongs_as_a_whole_or_not_at_all() {
        let text = r#"{"2": {"session_id": "session-2"}, "13": {"session_id": "collective-mind"},
            "4": {"session_id": "x-session-2"}, "5": {"session_id": "session-13"}, "6": {"session_id": "2025-11-16_23-22-40-a"}}"#;
        let roster = Roster::parse(text).unwrap();
        let known = KnownIds::of(&roster);
        let numbers = |name: &str| -> Vec<u32> {
            let owners = known.id_in(name.as_bytes()).map(|id| known.owners(id)).unwrap_or_default();
            owners.iter().map(|index| roster.sessions[*index as usize].number.get()).collect()
        };
        for (name, expected) in [
            ("2025-11-16_23-22-40-session-2.json", &[2][..]),
            ("2025-11-16_23-22-40.000123-session-2.json", &[2]),
            ("session-2.json", &[2]),
            ("2025-11-16_23-22-40-collective-mind.json", &[13]),
            // Number 5 says that this is its id, too.
            ("2025-11-16_23-22-40-session-13.json", &[13, 5]),
            ("2025-11-16_23-22-40-x-session-2.json", &[4]),
            ("2025-11-16_23-22-40-session-4.json", &[4]),
            ("2025-11-16_23-22-40-a.json", &[6]),
            ("2025-11-16_23-22-40-2025-11-16_23-22-40-a.json", &[6]),
            ("2025-11-16_23-22-40-y-session-2.json", &[]),
            ("2025-11-16_23-22-4x-session-2.json", &[]),
            ("2025-11-16_23-22-40.1x-session-2.json", &[]),
            ("y-session-2.json", &[]),
            ("2025-11-16_23-22-40session-2.json", &[]),
            ("2025-11-16_23-22-40-session-22.json", &[]),
            ("2025-11-16_23-22-40-*.json", &[]),
            ("2025-11-16_23-22-40-session-2.jsonl", &[]),
            (".json", &[]),
        ] {
            assert_eq!(numbers(name), expected, "{name}");
        }
    }
}
