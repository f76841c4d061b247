//! Whether using a table makes SQLite compute: columns that are computed, checks and indexes that call functions. Computing
//! takes as long as whoever wrote the schema wants it to, and SQLite interrupts no function; no host of the databases that are
//! opened here has any of that.

use std::iter::Peekable;
use std::str::Bytes;

/// What a statement consists of, as far as it matters here. Comments are left out.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A keyword, name or number, in lower case.
    Word(String),
    /// A text, or a name in quotes.
    Quoted,
    Sign(u8),
}

/// What may stand before a bracket that is no function's.
const BEFORE_BRACKETS: [&str; 6] = ["and", "check", "in", "is", "not", "or"];

/// Whether what this statement of a schema makes can be used without that anything is computed. Views and triggers count as
/// such: they are switched off.
pub(super) fn is_plain(sql: &str) -> bool {
    let tokens = tokens(sql);
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    let kind = (1..4).map(word).find(|word| !matches!(*word, "temp" | "temporary" | "unique"));
    match kind {
        Some("view" | "trigger") => true,
        // What looks like one call are the columns behind the table's name.
        Some("index") => computes_nothing(&tokens, 1),
        Some("table") => tokens.iter().enumerate().all(|(at, _)| match word(at) {
            // Only of a computed column: what a table was made of is not kept.
            "as" => false,
            "check" => computes_nothing(group(&tokens[at + 1..]), 0),
            _ => true,
        }),
        // Virtual tables, and whatever else there may be.
        _ => false,
    }
}

/// Whether no more than so many functions are called, nothing is looked up, and no operator works on texts.
fn computes_nothing(tokens: &[Token], calls: usize) -> bool {
    let works = |token: &Token| match token {
        Token::Word(word) => matches!(word.as_str(), "like" | "glob" | "regexp" | "match" | "select"),
        Token::Sign(sign) => matches!(sign, b'|' | b'-'),
        Token::Quoted => false,
    };
    let is_call = |pair: &&[Token]| match &pair[0] {
        _ if pair[1] != Token::Sign(b'(') => false,
        Token::Word(word) => !BEFORE_BRACKETS.contains(&word.as_str()),
        Token::Quoted => true,
        Token::Sign(_) => false,
    };
    tokens.windows(2).filter(is_call).count() <= calls && !tokens.iter().any(works)
}

/// What is in the bracket with which these begin.
fn group(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    &tokens[..end.unwrap_or(tokens.len())]
}

/// As SQLite parts them (<https://www.sqlite.org/lang_keywords.html>, tokenize.c).
fn tokens(sql: &str) -> Vec<Token> {
    let mut bytes = sql.bytes().peekable();
    let mut tokens = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' | b'"' | b'`' => {
                skip_quoted(&mut bytes, byte);
                tokens.push(Token::Quoted);
            }
            b'[' => {
                bytes.by_ref().find(|byte| *byte == b']');
                tokens.push(Token::Quoted);
            }
            b'-' if bytes.peek() == Some(&b'-') => _ = bytes.by_ref().find(|byte| *byte == b'\n'),
            b'/' if bytes.peek() == Some(&b'*') => skip_comment(&mut bytes),
            byte if is_of_word(byte) => {
                let mut word = vec![byte.to_ascii_lowercase()];
                while let Some(byte) = bytes.next_if(|byte| is_of_word(*byte)) {
                    word.push(byte.to_ascii_lowercase());
                }
                tokens.push(Token::Word(String::from_utf8_lossy(&word).into_owned()));
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => tokens.push(Token::Sign(byte)),
        }
    }
    tokens
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

/// A quote that comes twice is one of the text.
fn skip_quoted(bytes: &mut Peekable<Bytes<'_>>, quote: u8) {
    while let Some(byte) = bytes.next() {
        if byte == quote && bytes.next_if_eq(&quote).is_none() {
            return;
        }
    }
}

fn skip_comment(bytes: &mut Peekable<Bytes<'_>>) {
    bytes.next();
    while let Some(byte) = bytes.next() {
        if byte == b'*' && bytes.next_if_eq(&b'/').is_some() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_write_is_plain() {
        for sql in [
            "CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, \"trigger\" INTEGER NOT NULL DEFAULT 1)",
            "CREATE TABLE a (\n  b TEXT, -- 'as (' of what it is used as (check it)\n  c TEXT /* as (b) */ DEFAULT 'as (b)'\n)",
            "CREATE TABLE container_state (id INTEGER PRIMARY KEY CHECK (id = 1), [as] TEXT, `check` TEXT)",
            "CREATE TABLE a (b VARCHAR(20), c TEXT REFERENCES d(e), f TEXT DEFAULT (datetime('now')), PRIMARY KEY (b, c))",
            "CREATE TABLE a (b TEXT CHECK (b IN ('c', 'd')), e CHECK (e IS NULL OR (e > 0 AND NOT (e = 7))))",
            "CREATE INDEX idx ON messages_in(series_id)",
            "CREATE INDEX idx ON \"messages_in\" (series_id)",
            "CREATE UNIQUE INDEX idx ON messages_in(seq, id DESC) WHERE \"trigger\" = 1",
            "CREATE TABLE a (asset TEXT, checked TEXT, \"it\"\"s as (b)\" TEXT)",
            "CREATE VIEW v AS SELECT instr(a, b) FROM t",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT instr(b, c) FROM a; END",
        ] {
            assert!(is_plain(sql), "{sql}");
        }
    }

    #[test]
    fn what_is_computed_is_not() {
        for sql in [
            "CREATE TABLE a (b, c AS (instr(b, b)))",
            "CREATE TABLE a (b, c GENERATED ALWAYS AS (b) STORED)",
            "create table a (b, c as(b))",
            "CREATE TABLE a (b, c AS/* */\n--\n(b || b))",
            "CREATE/**/TABLE a (b, c '' AS (b))",
            "CREATE TABLE a (b CHECK (length(b) < 9))",
            "CREATE TABLE a (b, CHECK (b IN (SELECT 1)))",
            "CREATE TABLE a (b CHECK (b || b = 'x'))",
            "CREATE TABLE a (b CHECK (b -> '$' = 'x'))",
            "CREATE TABLE a (b CHECK (b LIKE '%a%a'))",
            "CREATE TABLE a (b CHECK (\"instr\"(b, b)))",
            "CREATE TABLE a (b CHECK (b IN (hex(b))))",
            "CREATE TABLE a (b CHECK (NOT [instr] (b, b)))",
            "CREATE TABLE a (b CHECK (b > 0), c CHECK (abs(b)))",
            "CREATE INDEX i ON a (hex(b))",
            "CREATE INDEX i ON a (b) WHERE unhex(b, c)",
            "CREATE INDEX i ON a (b || c)",
            "CREATE VIRTUAL TABLE a USING fts5(b)",
            "",
        ] {
            assert!(!is_plain(sql), "{sql}");
        }
    }
}
