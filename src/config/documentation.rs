//! Holds `docs/configuration.md` to the tables it describes.

use std::fmt::Write as _;

use super::janitor::SHARED;
use super::provider_keys::KEYS;
use super::setting::SETTINGS;

const PAGE: &str = include_str!("../../docs/configuration.md");

fn settings_table() -> String {
    let mut table = "| key | environment | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for setting in SETTINGS.iter() {
        let variables: Vec<String> = setting.variables().map(|variable| format!("`{variable}`")).collect();
        let default = if setting.default.is_empty() { "(empty)".to_owned() } else { format!("`{}`", setting.default) };
        let _ = writeln!(table, "| `{}` | {} | {default} | {} |", setting.key, variables.join(", "), setting.doc);
    }
    table
}

fn janitor_table() -> String {
    let mut table = "| setting | member of the janitor's file | its variable |\n| --- | --- | --- |\n".to_owned();
    for shared in &SHARED {
        let variable = shared.variable.map_or_else(String::new, |variable| format!("`{variable}` "));
        let _ = writeln!(table, "| `{}` | `{}` | {variable}|", shared.key, shared.member);
    }
    table
}

fn provider_table() -> String {
    let mut table = "| key | example | meaning |\n| --- | --- | --- |\n".to_owned();
    for key in &KEYS {
        let _ = writeln!(table, "| `{}` | `{}` | {} |", key.name, key.example, key.doc);
    }
    table
}

#[track_caller]
fn page_holds(table: &str) {
    assert!(PAGE.contains(&format!("\n\n{table}\n")), "docs/configuration.md must hold exactly this table:\n\n{table}");
}

#[test]
fn the_page_lists_every_setting() {
    page_holds(&settings_table());
}

#[test]
fn the_page_lists_what_the_janitor_has_too() {
    page_holds(&janitor_table());
}

#[test]
fn the_page_lists_every_provider_key() {
    page_holds(&provider_table());
}

#[test]
fn the_pages_examples_are_right() {
    let blocks: Vec<&str> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2);
    for block in blocks {
        let file = super::file::ConfigFile::of_text(std::path::Path::new("example.toml"), block);
        assert_eq!(file.problems, [], "{block}");
    }
}
