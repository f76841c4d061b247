//! Takes mappings out of the map's text; every other byte stays.

use std::ops::Range;

use super::shapes::Document;
use crate::json::{Edited, Run, next_sibling};

impl Document<'_> {
    /// The text without these entries (indexes in ascending order).
    pub(crate) fn without(&self, entries: impl IntoIterator<Item = usize>) -> Edited {
        let mut cuts: Vec<(Range<usize>, String)> = Vec::new();
        let mut run: Option<Run> = None;
        for index in entries {
            let span = self.entries[index].member;
            let next = next_sibling(self.text, span.end as usize);
            run = Some(match run.take() {
                Some(open) if open.next == Some(span.start as usize) => {
                    Run { start: open.start, end: span.end as usize, next }
                }
                other => {
                    cuts.extend(other.map(|open| (open.cut(self.text), String::new())));
                    Run { start: span.start as usize, end: span.end as usize, next }
                }
            });
        }
        cuts.extend(run.map(|open| (open.cut(self.text), String::new())));
        Edited::splice(self.text.len(), cuts)
    }
}
