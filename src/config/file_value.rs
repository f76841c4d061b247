//! The settings that one table of a file gives, not yet checked.

use super::section::Section;
use super::setting::{SETTINGS, Setting, Store};

/// One setting in a file.
#[derive(Debug)]
pub(super) struct FileValue {
    pub(super) setting: &'static Setting,
    pub(super) value: RawValue,
    pub(super) line: usize,
}

/// A value that only its setting can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawValue {
    /// One text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl FileValue {
    /// What `section`, the table called `table`, and the tables in it give.
    pub(super) fn of_tables(section: &mut Section<'_>, table: &str) -> Vec<Self> {
        let below =
            |setting: &'static Setting| setting.table().strip_prefix(table)?.strip_prefix('.')?.split('.').next();
        let mut tables: Vec<&str> = SETTINGS.iter().filter_map(below).collect();
        tables.dedup();
        let mut values = Self::of_table(section, table, &tables);
        for name in tables {
            let Some(mut inner) = section.section(name) else { continue };
            values.append(&mut Self::of_tables(&mut inner, &format!("{table}.{name}")));
            section.problems.append(&mut inner.problems);
        }
        values
    }

    /// What `section`, the table called `table`, gives. Keys that are neither settings nor among `besides` are refused.
    pub(super) fn of_table(section: &mut Section<'_>, table: &str, besides: &[&'static str]) -> Vec<Self> {
        let settings = || SETTINGS.iter().filter(|setting| setting.table() == table);
        section.refuse_unknown(&besides.iter().copied().chain(settings().map(Setting::name)).collect::<Vec<_>>());
        let mut values = Vec::new();
        for setting in settings() {
            let name = setting.name();
            let value = match &setting.store {
                Store::List(_) | Store::Arguments(_) => section.list(name).map(RawValue::List),
                Store::Flag(_) => section.boolean(name).map(|flag| RawValue::Text(flag.to_string())),
                Store::Number(_) => section.number(name).map(RawValue::Text),
                Store::Text(_) | Store::Path(_) | Store::Retention(_) | Store::MaxSize(_) => {
                    section.text(name).map(RawValue::Text)
                }
            };
            let line = section.line(name);
            values.extend(value.map(|value| Self { setting, value, line }));
        }
        values
    }
}
