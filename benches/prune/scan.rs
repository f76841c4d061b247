//! The floor's JSON: what a session map needs of it, and nothing more.

use memchr::memchr;

/// A cursor over JSON that is known to be valid and nested as a session map is.
pub(crate) struct Scan<'a> {
    /// The whole map.
    pub(crate) text: &'a [u8],
    /// Where the next byte is.
    pub(crate) at: usize,
}

impl<'a> Scan<'a> {
    /// The next byte that is no white space.
    pub(crate) fn next(&mut self) -> u8 {
        while self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.text[self.at]
    }

    /// Skips so many bytes that are no white space.
    pub(crate) fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
            self.at += 1;
        }
    }

    /// Skips a comma, if one is next.
    pub(crate) fn comma(&mut self) {
        if self.next() == b',' {
            self.at += 1;
        }
    }

    /// The string that begins here, with its quotes.
    pub(crate) fn string(&mut self) -> &'a [u8] {
        self.next();
        let start = self.at;
        self.at += 1;
        loop {
            self.at += memchr(b'"', &self.text[self.at..]).expect("a closing quote") + 1;
            let backslashes = self.text[..self.at - 1].iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                return &self.text[start..self.at];
            }
        }
    }

    /// Passes over a value; the session id in it, if it is a string or an object with one.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let inside = |string: &'a [u8]| &string[1..string.len() - 1];
        match self.next() {
            b'"' => Some(inside(self.string())),
            b'{' => {
                let mut id = None;
                self.skip(1);
                while self.next() == b'"' {
                    let key = self.string();
                    self.skip(1);
                    let value = self.value();
                    if key == b"\"session_id\"" {
                        id = value;
                    }
                    self.comma();
                }
                self.skip(1);
                id
            }
            _ => {
                while !matches!(self.next(), b',' | b'}' | b']') {
                    self.at += 1;
                }
                None
            }
        }
    }
}
