//! Holds the tables of `docs/providers.md` to the built-in rows.

use super::builtin;
use super::row::Home;

const PAGE: &str = include_str!("../../docs/providers.md");

/// The cells of the first table below a heading, without its head.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn home_cell(home: &Home) -> String {
    let variables = home.variables.iter().map(|(name, appended)| match appended.as_str() {
        "" => format!("`{name}`"),
        appended => format!("`{name}` with `/{appended}`"),
    });
    variables.chain([format!("`~/{}`", home.default.display())]).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_lists_every_rows_model_names() {
    let listed: Vec<_> = table("## Built in").iter().map(|cells| format!("{}: {}", cells[0], cells[1])).collect();
    let models = |models: &[String]| models.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", ");
    let rows: Vec<_> = builtin::rows().iter().map(|row| format!("{}: {}", row.name, models(&row.models))).collect();
    assert_eq!(listed, rows);
}

#[test]
fn the_page_lists_every_rows_home() {
    let cells = table("### Where sessions are");
    let listed: Vec<_> = cells.iter().map(|cells| format!("{}: {}", cells[0], cells[1])).collect();
    let rows: Vec<_> = builtin::rows().iter().map(|row| format!("{}: {}", row.name, home_cell(&row.home))).collect();
    assert_eq!(listed, rows);
}

#[test]
fn the_page_lists_every_rows_command() {
    let cells = table("### How they resume");
    let listed: Vec<_> = cells.iter().map(|cells| format!("{}: {}", cells[0], cells[1])).collect();
    let rows = builtin::rows();
    let rows: Vec<_> = rows.iter().map(|row| format!("{}: `{}`", row.name, row.resume.join(" "))).collect();
    assert_eq!(listed, rows);
}

#[test]
fn the_page_lists_every_rows_programs_and_variables() {
    let cells = table("### Which processes are theirs");
    let listed: Vec<_> = cells.iter().map(|cells| format!("| {} |", cells.join(" | "))).collect();
    let code = |items: Vec<String>| match items.as_slice() {
        [] => "none".to_owned(),
        items => items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", "),
    };
    let row = |provider: &super::Provider| {
        let rules = &provider.processes;
        let programs = rules.cli.iter().map(ToString::to_string);
        let programs = programs.filter(|text| !text.starts_with("nodejs ") && !text.starts_with("bun ")).collect();
        let [session, marks] = [&rules.session_variables, &rules.marks].map(|variables| code(variables.clone()));
        format!("| {} | {} | {session} | {marks} |", provider.name, code(programs))
    };
    let rows: Vec<_> = builtin::rows().iter().map(row).collect();
    assert_eq!(listed, rows, "docs/providers.md must hold:\n{}", rows.join("\n"));
}

#[test]
fn the_page_says_of_every_row_whether_all_its_places_are_known() {
    for (cells, row) in table("## Built in").iter().zip(builtin::rows()) {
        assert_eq!(cells[2].starts_with("observed: "), row.complete, "{}", row.name);
    }
}
