//! One mapping: which chat belongs to which session, as the map's text says it.

use std::borrow::Cow;
use std::ops::Range;

use chrono::{DateTime, Utc};
use rustc_hash::FxHashSet;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::Text;
use crate::policy::session_id::SessionId;

/// Fields that hold the session's id in a mapping that is an object; the first one present counts.
pub(super) const ID_FIELDS: [&str; 4] = ["claudeSessionId", "sessionId", "session_id", "uuid"];
/// Fields whose value names the chat when the mapping's key is the session's id (hermes-claude-cli-bridge,
/// hocgin/claude-cli-bridge).
pub(super) const CHAT_FIELDS: [&str; 2] = ["hermes_session_id", "identity"];
/// Fields with a time of use, in seconds or (above 1e11) milliseconds since 1970, or as RFC 3339 text.
pub(super) const TIME_FIELDS: [&str; 12] = [
    "lastUsedAt",
    "last_used_at",
    "lastActivity",
    "last_activity",
    "updatedAt",
    "updated_at",
    "updated",
    "createdAt",
    "created_at",
    "created",
    "lastUsed",
    "timestamp",
];
/// Those of them that tell when a mapping was made, not when it was used.
pub(super) const CREATED_FIELDS: [&str; 3] = ["createdAt", "created_at", "created"];
/// Above this an epoch number counts milliseconds; as seconds it would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// One mapping of the session map. Spans are byte offsets in the map's text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<'t> {
    /// The model the map files it under; `None` where the map names none.
    pub(crate) model: Option<Cow<'t, str>>,
    /// The chat's id.
    pub(crate) chat: Cow<'t, str>,
    /// The session's id as written; not validated yet.
    pub(crate) session: Cow<'t, str>,
    /// The newest time of use in the mapping itself.
    pub(crate) recorded: Recorded,
    /// How the mapping is written.
    pub(super) form: Form,
    /// It stands at the top, with no model above it and in no list.
    pub(super) at_top: bool,
    /// The whole member (`"key": value`) or array element.
    pub(super) member: Span,
    /// The value alone.
    pub(super) value: Span,
}

/// How a mapping is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value is the session's id.
    Id,
    /// The value is an object that holds the session's id.
    Object,
    /// The key is the session's id; the value, an object, names the chat.
    Inverted,
}

/// A time of use that the mapping itself records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// No such field.
    Nothing,
    /// The newest one.
    At(DateTime<Utc>),
    /// A time field cannot be read as a time.
    Unreadable(&'static str),
}

/// Byte offsets in the map's text; a map has at most 256 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What a mapping that is an object says.
#[derive(Debug, Default)]
pub(super) struct EntryObject<'t> {
    pub(super) session: Option<Cow<'t, str>>,
    pub(super) chat: Option<Cow<'t, str>>,
    pub(super) model: Option<Cow<'t, str>>,
    pub(super) cwd: Option<Cow<'t, str>>,
    pub(super) recorded: Option<Recorded>,
    /// It has a field that only a mapping has, besides the session's id.
    pub(super) is_described: bool,
    /// Other members look like chats of their own: what is called like an id field may be a chat of that name.
    pub(super) has_rivals: bool,
}

/// A scalar inside an entry; borrowed where the text has no escapes.
enum Scalar<'t> {
    Text(Cow<'t, str>),
    Number(f64),
    Null,
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            #[expect(clippy::cast_precision_loss, reason = "a time of use needs no more than 53 bits")]
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            #[expect(clippy::cast_precision_loss, reason = "a time of use needs no more than 53 bits")]
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number as f64))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Other)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Deserialize<'de> for EntryObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EntryObject<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EntryObject<'de>, A::Error> {
                let mut object = EntryObject::default();
                let mut id_rank = usize::MAX;
                let mut seen: FxHashSet<Text<'de>> = FxHashSet::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if seen.contains(&key) {
                        return Err(de::Error::custom(format_args!("duplicate key `{}`", key.0.escape_default())));
                    }
                    let value = map.next_value::<Scalar<'de>>()?;
                    object.note_rival(&key.0, &value);
                    match (key.0.as_ref(), value) {
                        ("cwd", Scalar::Text(text)) => object.cwd = Some(text),
                        ("model", Scalar::Text(text)) => object.model = Some(text),
                        (name, Scalar::Text(text)) if ID_FIELDS.contains(&name) => {
                            let rank = ID_FIELDS.iter().position(|field| *field == name).unwrap_or(usize::MAX);
                            // Two of them are two chats, or one mapping that says more.
                            object.is_described |= id_rank != usize::MAX;
                            if rank < id_rank {
                                id_rank = rank;
                                object.session = Some(text);
                            }
                        }
                        (name, Scalar::Text(text)) if CHAT_FIELDS.contains(&name) => object.chat = Some(text),
                        (name, value) => {
                            if let Some(field) = TIME_FIELDS.iter().find(|field| **field == name) {
                                object.note_time(field, &value);
                            }
                        }
                    }
                    seen.insert(key);
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(EntryVisitor)
    }
}

/// Fields of known mappings that name the chat besides [`CHAT_FIELDS`].
const CHAT_NAMES: [&str; 2] = ["conversationId", "clawdbotId"];

impl EntryObject<'_> {
    /// Takes note of what a member says about the whole: that it is a mapping, or that it is a level of them. A chat's
    /// name is any text that its user likes, `uuid` included.
    fn note_rival(&mut self, key: &str, value: &Scalar<'_>) {
        let names_chat = CHAT_FIELDS.contains(&key) || CHAT_NAMES.contains(&key);
        if let (Scalar::Text(text), false, false) = (value, names_chat, ID_FIELDS.contains(&key)) {
            self.has_rivals |= SessionId::new(text).is_ok_and(SessionId::is_distinctive);
        }
        self.is_described |= names_chat || matches!(key, "cwd" | "model") || TIME_FIELDS.contains(&key);
    }

    fn note_time(&mut self, field: &'static str, value: &Scalar<'_>) {
        let time = match value {
            Scalar::Null => return,
            Scalar::Number(number) => time_from_epoch(*number),
            Scalar::Text(text) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
            Scalar::Other => None,
        };
        self.recorded = Some(match (self.recorded, time) {
            (Some(Recorded::Unreadable(first)), _) => Recorded::Unreadable(first),
            (_, None) => Recorded::Unreadable(field),
            (Some(Recorded::At(known)), Some(time)) => Recorded::At(known.max(time)),
            (_, Some(time)) => Recorded::At(time),
        });
    }
}

/// Seconds or (above 1e11) milliseconds since 1970 as an instant; `None` when no calendar reaches there.
pub(crate) fn time_from_epoch(number: f64) -> Option<DateTime<Utc>> {
    let milliseconds = if number.abs() > MILLISECONDS_FROM { number } else { number * 1000.0 };
    if !milliseconds.is_finite() || milliseconds.abs() > 8.0e15 {
        return None;
    }
    DateTime::from_timestamp_millis(milliseconds as i64)
}
