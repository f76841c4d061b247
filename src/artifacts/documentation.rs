//! Holds `docs/artifacts.md` to the table that it describes.

use std::fmt::Write as _;

use super::kinds::{Grain, KINDS};

const PAGE: &str = include_str!("../../docs/artifacts.md");

#[test]
fn the_page_lists_every_kind() {
    let mut table = "| kind | where, below the CLI's home | retention | what |\n|---|---|---|---|\n".to_owned();
    for kind in &KINDS {
        let place = |place: &&str| match kind.grain {
            Grain::File if !place.contains(".*") => format!("`{place}/**`"),
            _ => format!("`{place}`"),
        };
        let mut places: Vec<String> = kind.places.iter().map(place).collect();
        if kind.grain == Grain::Session {
            places.insert(0, "[its sessions](providers.md)".to_owned());
        }
        let (name, retention) = (format!("{}.{}", kind.provider, kind.name), kind.retention);
        let what = kind.retention_doc.trim_start_matches("Retention of ").split(';').next().unwrap_or_default();
        let _ = writeln!(table, "| `{name}` | {} | `{retention}` | {what} |", places.join(", "));
    }
    assert!(PAGE.contains(&format!("\n\n{table}\n")), "docs/artifacts.md must hold exactly this table:\n\n{table}");
}
