//! Holds `docs/safety.md` and `docs/processes.md` to the rows of the verdict.

use super::orphan;

/// The words in backquotes in one column of a page's tables that begin with `header`.
fn column<'p>(page: &'p str, header: &str, place: usize) -> Vec<&'p str> {
    let tables = page.split("\n\n").filter(|part| part.starts_with(header));
    let cells = tables.flat_map(|table| table.lines().skip(2)).filter_map(|line| line.split('|').nth(place));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_pages_name_every_row_in_order() {
    let rows: Vec<&str> = orphan::rows().collect();
    let guards = column(include_str!("../../docs/safety.md"), "| guard |", 1);
    assert_eq!(guards[..rows.len().min(guards.len())], rows, "docs/safety.md");
    let reasons = column(include_str!("../../docs/processes.md"), "| a process stays when |", 3);
    assert_eq!(reasons, rows, "docs/processes.md");
}
