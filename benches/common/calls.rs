//! How many system calls each contender makes, where `strace` can count them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::program::on_path;

/// Prints the counts as a Markdown table: of each contender its name, its command and how that ends. They are told in the
/// file `told` before.
pub(crate) fn print_table(contenders: impl IntoIterator<Item = (&'static str, Command, i32)>, told: &Path) {
    let Some(strace) = on_path(&["strace"]) else { return };
    println!("\n## System calls\n");
    println!("| contender | calls | most of them |");
    println!("|---|---:|---|");
    for (name, counted, code) in contenders {
        let mut command = Command::new(&strace);
        command.args(["-f", "-c", "-U", "calls,name", "-S", "calls", "-o"]).arg(told);
        command.arg(counted.get_program()).args(counted.get_args()).env_clear();
        command.envs(counted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if !command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.code() == Some(code))
        {
            continue;
        }
        let table = fs::read_to_string(told).unwrap();
        let mut rows: Vec<(u64, &str)> = table.lines().filter_map(row).collect();
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let Some(place) = rows.iter().position(|(_, name)| *name == "total") else { continue };
        let (total, _) = rows.remove(place);
        let most: Vec<String> = rows.iter().take(6).map(|(calls, name)| format!("{name} {calls}")).collect();
        println!("| {name} | {total} | {} |", most.join(", "));
    }
}

/// `     5102 openat`
fn row(line: &str) -> Option<(u64, &str)> {
    let (calls, name) = line.trim().split_once(char::is_whitespace)?;
    Some((calls.parse().ok()?, name.trim()))
}
