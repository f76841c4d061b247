//! Questions at a terminal: asked on stderr, answered on stdin.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Result, bail};

/// Whether somebody is there to answer.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says something.
pub(super) fn say(text: &str) {
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The answer to a question, without the white space around it.
pub(super) fn ask(question: &str) -> Result<String> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} ")?;
    stderr.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        say("");
        bail!("the question was not answered");
    }
    Ok(answer.trim().to_owned())
}

/// Yes or no; nothing but a yes is one.
pub(super) fn agrees(question: &str) -> Result<bool> {
    loop {
        match ask(&format!("{question} [y/N]"))?.to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => say("Answer y or n."),
        }
    }
}
