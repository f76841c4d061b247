//! The value of a new mapping where mappings are objects: as its siblings are, field by field.

use std::ops::Range;

use super::add::NewMapping;
use super::entry::{CHAT_FIELDS, CREATED_FIELDS, ID_FIELDS, TIME_FIELDS};
use crate::json::{JSON_SPACE, Members, leading_space};

/// The members of a small object with the ranges of their values.
fn object_members(value: &str) -> Vec<(String, Range<usize>)> {
    let Ok(members) = serde_json::from_str::<Members<'_>>(value) else { return Vec::new() };
    let base = value.as_ptr() as usize;
    let range = |raw: &str| {
        let start = raw.as_ptr() as usize - base;
        start..start + raw.len()
    };
    members.0.into_iter().map(|(key, raw)| (key.0.into_owned(), range(raw.get()))).collect()
}

/// The field from which a mapping's session id is read: the first of the known ones that it has.
fn id_field_of(members: &[(String, Range<usize>)]) -> Option<&str> {
    let has = |field: &&&str| members.iter().any(|(key, _)| key == **field);
    ID_FIELDS.iter().find(has).copied()
}

/// What a field of a mapping becomes for another session: `None` leaves it as it is.
fn field_value(
    key: &str,
    raw: &str,
    id_field: Option<&str>,
    mapping: &NewMapping<'_>,
    quoted: &dyn Fn(&str) -> String,
) -> Option<String> {
    if Some(key) == id_field {
        return Some(quoted(mapping.session));
    }
    if key == "cwd" {
        return mapping.cwd.map(quoted);
    }
    if TIME_FIELDS.contains(&key) && !CREATED_FIELDS.contains(&key) {
        return Some(time_like(raw, mapping.now));
    }
    (CHAT_FIELDS.contains(&key) || matches!(key, "conversationId" | "clawdbotId")).then(|| quoted(mapping.chat))
}

/// An instant written the way `raw` is: text, milliseconds, seconds or seconds with a fraction.
fn time_like(raw: &str, now: chrono::DateTime<chrono::Utc>) -> String {
    if raw.starts_with('"') {
        return format!("\"{}\"", now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    }
    match raw.parse::<f64>() {
        Ok(number) if number.abs() > 1e11 => now.timestamp_millis().to_string(),
        Ok(_) if raw.contains('.') => format!("{}.{:03}", now.timestamp(), now.timestamp_subsec_millis()),
        _ => now.timestamp().to_string(),
    }
}

/// The changes that make an object in the map lead to `mapping`'s session; `offset` is where it stands.
pub(super) fn object_changes(
    value: &str,
    offset: usize,
    mapping: &NewMapping<'_>,
    quoted: &dyn Fn(&str) -> String,
) -> Vec<(Range<usize>, String)> {
    let members = object_members(value);
    let id_field = id_field_of(&members);
    let change = |(key, range): &(String, Range<usize>)| {
        let text = field_value(key, &value[range.clone()], id_field, mapping, quoted)?;
        Some((range.start + offset..range.end + offset, text))
    };
    members.iter().filter_map(change).collect()
}

/// An object for `mapping` with the fields of `sibling` whose meaning is known; the others start empty.
pub(super) fn object_like(
    sibling: &str,
    mapping: &NewMapping<'_>,
    spaced: bool,
    quoted: &dyn Fn(&str) -> String,
) -> String {
    let (colon, comma) = if spaced { (": ", ", ") } else { (":", ",") };
    let members = object_members(sibling);
    let id_field = id_field_of(&members);
    let field = |(key, range): &(String, Range<usize>)| {
        let raw = &sibling[range.clone()];
        let value = if CREATED_FIELDS.contains(&key.as_str()) || TIME_FIELDS.contains(&key.as_str()) {
            time_like(raw, mapping.now)
        } else if key == "model" {
            quoted(mapping.model)
        } else if let Some(value) = field_value(key, raw, id_field, mapping, quoted) {
            value
        } else if raw.parse::<f64>().is_ok() {
            "0".to_owned()
        } else {
            return None;
        };
        Some(format!("{}{colon}{value}", quoted(key)))
    };
    let fields: Vec<String> = members.iter().filter_map(field).collect();
    let newline = sibling.starts_with("{\n").then(|| leading_space(&sibling[1..]));
    match newline {
        Some(length) => {
            let lead = &sibling[1..=length];
            let close = &sibling[sibling.trim_end_matches('}').trim_end_matches(JSON_SPACE).len()..sibling.len() - 1];
            format!("{{{lead}{}{close}}}", fields.join(&format!(",{lead}")))
        }
        None => format!("{{{}}}", fields.join(comma)),
    }
}
